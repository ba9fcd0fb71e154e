"""Everything at once: a receiver, a big file, a directory, a connection that breaks, and a second run.

It needs only the extra ``server``, because the command line may not be installed yet.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from .. import Resumable, ResumableFile
from ..receiver import Server
from .breaking_proxy import BreakingProxy
from .output import units

__all__ = ["demonstrate"]

MIB = 1024 * 1024


class _Screen:
    """A line of progress that is redrawn, and the events above it."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._drawn = False
        self._full, self._empty = ("█", "░") if _can_show("█░") else ("#", "-")

    def say(self, text: str = "") -> None:
        """Print a line that stays."""
        print(f"\r\033[K{text}" if self._drawn else text, flush=True)
        self._drawn = False

    def progress(self, session: Resumable) -> None:
        """Redraw the line of progress, if there is a terminal."""
        if self._live:
            part = session.progress()
            bar = (self._full * int(part * 30)).ljust(30, self._empty)
            print(f"\r\033[K   {bar} {part:4.0%}  {units.rate(session.speed)}", end="", flush=True)
            self._drawn = True


def _can_show(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _make_files(folder: Path) -> None:
    """Make a file of 64 MiB and a small tree, with the same bytes in every run."""
    chance = random.Random(0)
    (folder / "big.bin").write_bytes(chance.randbytes(64 * MIB))
    for name, size in (("notes.txt", 700), ("data/one.csv", 40_000), ("data/two.csv", 2 * MIB), ("data/empty.log", 0)):
        path = folder / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(size))


def _digest(path: Path) -> str:
    """Return the SHA-256 of the file."""
    with path.open("rb") as file:
        value = hashlib.sha256()
        while piece := file.read(MIB):
            value.update(piece)
    return value.hexdigest()


def _upload(url: str, folder: Path, screen: _Screen) -> tuple[int, int]:
    """Upload everything in the folder. Return how many bytes were sent, and how many were there already."""
    with Resumable(url, chunk_size=MIB, throttle_progress_callbacks=0.1, chunk_retry_interval=0.3) as session:
        retried: set[str] = set()

        @session.on("file_retry")
        def retry(file: ResumableFile) -> None:
            # Several chunks of a file are in transit at once, and each of them may be tried more than once.
            if file.relative_path not in retried:
                retried.add(file.relative_path)
                screen.say(f"   file_retry     {file.relative_path}: the connection broke, its chunks are sent again")

        @session.on("file_success")
        def success(file: ResumableFile) -> None:
            there = f", {units.size(file.bytes_skipped)} already there" if file.bytes_skipped else ""
            chunks = units.count(len(file.chunks), "chunk")
            screen.say(f"   file_success   {file.relative_path}: {units.size(file.size)}, {chunks}{there}")

        @session.on("progress")
        def progress() -> None:
            screen.progress(session)

        session.on("complete", lambda: screen.say("   complete"))
        session.add_file(folder / "big.bin")
        session.add_directory(folder / "tree")
        session.join()
        return session.bytes_sent, session.bytes_skipped


def demonstrate() -> int:
    """Run the demonstration. Return 0 if everything arrived unchanged."""
    screen = _Screen()
    with tempfile.TemporaryDirectory(prefix="resumable-demo-") as name:
        folder, store = Path(name, "source"), Path(name, "store")
        folder.mkdir()
        _make_files(folder)
        with Server(store) as server:
            screen.say(f"1. A receiver is listening at {server.url}")
            screen.say("2. Uploading over a connection that will break in the middle of a chunk:")
            began = time.monotonic()
            with BreakingProxy(server.port, cut_after=20 * MIB) as proxy:
                sent, _ = _upload(proxy.url, folder, screen)
            took = time.monotonic() - began
            screen.say(f"   {units.size(sent)} in {took:.1f} s; {units.count(proxy.cut, 'connection')} cut on purpose")
            screen.say("3. Uploading again; the receiver already has everything:")
            again, skipped = _upload(server.url, folder, screen)
            screen.say(f"   {units.size(again)} sent, {units.size(skipped)} already there")
        screen.say("4. Comparing the SHA-256 of what was sent and what arrived:")
        wrong = 0
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            arrived = store / path.relative_to(folder)
            same = arrived.is_file() and _digest(arrived) == _digest(path)
            wrong += not same
            screen.say(f"   {'same' if same else 'DIFFERENT'}  {_digest(path)[:16]}...  {path.relative_to(folder)}")
    if wrong or again or not proxy.cut:
        screen.say("Something went wrong: see above.")
        return 1
    python = os.path.relpath(sys.executable) if sys.executable.startswith(os.getcwd()) else sys.executable
    screen.say("Everything arrived. What to type next:")
    screen.say(f"   {python} -m resumable serve incoming          # a receiver of your own")
    screen.say(f"   {python} -m resumable upload FILE URL         # an upload to it; run it again to resume")
    return 0
