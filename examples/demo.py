"""Everything at once: a receiver, a big file, a directory, a line that breaks, and a second run.

Run it with ``make demo``, or ``python examples/demo.py``. It takes a few seconds, listens on the loopback address only,
and leaves nothing behind.
"""

from __future__ import annotations

import hashlib
import os
import random
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from resumable import Resumable, ResumableFile
from resumable.receiver.serve import Server

MIB = 1024 * 1024


class BreakingRelay:
    """Passes bytes between clients and a server. In the middle of a chunk the line goes dead, for half a second."""

    def __init__(self, port: int, *, cut_after: int) -> None:
        self._port = port
        self._left = cut_after
        self._dead_until = 0.0
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self.cut = 0

    def __enter__(self) -> BreakingRelay:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._cut_all()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        self._threads.append(threading.Thread(target=target, args=arguments, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if time.monotonic() < self._dead_until:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self._port))
            self._open += [client, server]
            self._start(self._serve, client, server)

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        """Both directions of one connection, until it ends."""
        with client, server:
            answers = threading.Thread(target=self._pass, args=(server, client, False), daemon=True)
            answers.start()
            self._pass(client, server, True)
            answers.join()

    def _pass(self, here: socket.socket, there: socket.socket, upstream: bool) -> None:
        try:
            while data := here.recv(65536):
                if upstream and self._breaks(len(data)):
                    self.cut += self._cut_all()
                there.sendall(data)
        except OSError:
            pass
        for end in (here, there):
            hang_up(end)

    def _breaks(self, size: int) -> bool:
        with self._lock:
            before, self._left = self._left, self._left - size
            return before > 0 >= self._left

    def _cut_all(self) -> int:
        """How many connections were cut."""
        self._dead_until = time.monotonic() + 0.5
        ends, self._open = self._open, []
        return sum(hang_up(end) for end in ends) // 2


def hang_up(end: socket.socket) -> bool:
    """Whether there was a connection to end."""
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        return False
    return True


class Screen:
    """One line of progress that is drawn again and again, and the events above it."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._drawn = False

    def say(self, text: str = "") -> None:
        """A line that stays."""
        print(f"\r\033[K{text}" if self._drawn else text, flush=True)
        self._drawn = False

    def progress(self, session: Resumable) -> None:
        """The line that changes. Without a terminal there is none."""
        if self._live:
            part = session.progress()
            bar = "█" * int(part * 30)
            print(f"\r\033[K   {bar:░<30} {part:4.0%}  {session.speed / MIB:6.1f} MiB/s", end="", flush=True)
            self._drawn = True


def make_files(folder: Path) -> None:
    """A file of 64 MiB and a small tree, the same bytes at every run."""
    chance = random.Random(0)
    (folder / "big.bin").write_bytes(chance.randbytes(64 * MIB))
    for name, size in (("notes.txt", 700), ("data/one.csv", 40_000), ("data/two.csv", 2 * MIB), ("data/empty.log", 0)):
        path = folder / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(size))


def digest(path: Path) -> str:
    """The SHA-256 of the file."""
    with path.open("rb") as file:
        value = hashlib.sha256()
        while piece := file.read(MIB):
            value.update(piece)
    return value.hexdigest()


def upload(url: str, folder: Path, screen: Screen) -> tuple[int, int]:
    """Uploads everything in the folder: how many bytes were sent, and how many were there already."""
    with Resumable(url, chunk_size=MIB, throttle_progress_callbacks=0.1, chunk_retry_interval=0.3) as session:

        @session.on("file_added")
        def added(file: ResumableFile) -> None:
            screen.say(f"   file_added     {file.relative_path}: {file.size} bytes, {len(file.chunks)} chunks")

        @session.on("file_retry")
        def retry(file: ResumableFile) -> None:
            screen.say(f"   file_retry     {file.relative_path}: the line broke, the chunk is sent again")

        @session.on("file_success")
        def success(file: ResumableFile) -> None:
            there = f", {file.bytes_skipped} bytes were there already" if file.bytes_skipped else ""
            screen.say(f"   file_success   {file.relative_path}{there}")

        @session.on("progress")
        def progress() -> None:
            screen.progress(session)

        session.on("complete", lambda: screen.say("   complete"))
        session.add_file(folder / "big.bin")
        session.add_directory(folder / "tree")
        session.join()
        return session.bytes_sent, session.bytes_skipped


def main() -> int:
    """Runs the demonstration: 0 where everything arrived as it was sent."""
    screen = Screen()
    with tempfile.TemporaryDirectory(prefix="resumable-demo-") as name:
        folder, store = Path(name, "source"), Path(name, "store")
        folder.mkdir()
        make_files(folder)
        with Server(store) as server:
            screen.say(f"1. A receiver is listening at {server.url}")
            screen.say("2. Uploading, over a line that will break in the middle of a chunk:")
            began = time.monotonic()
            with BreakingRelay(server.port, cut_after=20 * MIB) as relay:
                sent, _ = upload(relay.url, folder, screen)
            took = time.monotonic() - began
            screen.say(f"   {sent} bytes in {took:.1f} s; connections cut on purpose: {relay.cut}")
            screen.say("3. The same again; the receiver has everything:")
            again, skipped = upload(server.url, folder, screen)
            screen.say(f"   {again} bytes sent, {skipped} bytes were there already")
        screen.say("4. Comparing SHA-256 of what was sent and what arrived:")
        wrong = 0
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            arrived = store / path.relative_to(folder)
            same = arrived.is_file() and digest(arrived) == digest(path)
            wrong += not same
            screen.say(f"   {'same' if same else 'DIFFERENT'}  {digest(path)[:16]}…  {path.relative_to(folder)}")
    if wrong or again or not relay.cut:
        screen.say("Something is not as it should be.")
        return 1
    python = os.path.relpath(sys.executable) if sys.executable.startswith(os.getcwd()) else sys.executable
    screen.say("Everything arrived. What to type next:")
    screen.say(f"   {python} -m resumable.receiver incoming      # a receiver of your own")
    screen.say(f"   {python} examples/simple.py                  # an upload in a few lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
