"""Anything in any order, and everything that was promised still holds.

Hypothesis chooses what happens: files are added, changed, paused, cancelled and tried again, the line breaks and
stalls, client and receiver are killed with SIGKILL and begin again. Both are programs of their own, on real sockets.
After each step, and when all is done, the promises are compared with what the disk and the events say.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.breaking_proxy import Fault, Proxy, Scenario
from support.client import content
from support.remote_client import CHUNK, WORKERS

from resumable.receiver import FileStore

PATIENCE = 90
HEAD = 3000
"""More bytes than a request has besides its chunk."""

EXAMPLES = os.environ.get("RESUMABLE_EXAMPLES")
"""How many worlds to go through, others each time; without it the same few."""

ENDINGS = {"file_success", "file_error", "file_cancelled"}
RUN = {
    "upload_start": (("over", "paused"), "going on"),
    "pause": (("over", "going on"), "paused"),
    "complete": (("going on", "paused"), "over"),
    "cancel": (("over", "going on", "paused"), "over"),
}
"""The events of a run: behind what each may come, and what is then."""

NAMES = [f"folder/{letter}.bin" for letter in "abcde"]
SIZE = st.one_of(st.integers(0, 3), st.integers(1, 20).map(lambda count: count * CHUNK - count % 2))
A_FILE = st.integers(0, len(NAMES) - 1)


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-X", "faulthandler", "-m", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, **options)


class Client:
    """The program that uploads, and what its words say so far.

    ``files`` has the version that each file had when it was added, ``ended`` the events that ended them.
    """

    def __init__(self, url: str) -> None:
        self.files: dict[str, int] = {}
        self.cancelled: set[str] = set()
        self.ended: dict[str, str] = {}
        self.run = "over"
        self.told: queue.Queue[dict[str, Any]] = queue.Queue()
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._process = start("support.remote_client", url, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith("\n"):  # or it was killed in the middle of a word
                facts = json.loads(line)
                (self._answers if "answer" in facts else self.told).put(facts)
        self._answers.put(None)

    def tell(self, command: str, *arguments: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([command, *arguments]) + "\n")
        self._process.stdin.flush()
        try:
            answer = self._answers.get(timeout=PATIENCE)
        except queue.Empty:
            self._process.send_signal(signal.SIGABRT)  # faulthandler says where all its threads are
            answer = None
        assert answer is not None, f"{command} was not answered: {self._process.communicate(timeout=PATIENCE)[1]}"
        return answer["answer"]

    def end(self) -> None:
        """It is killed, and all that it said is there."""
        self._process.kill()
        self._process.wait(PATIENCE)
        self._listener.join(PATIENCE)
        self._process.communicate(timeout=PATIENCE)


class World(RuleBasedStateMachine):
    """A folder with files, a receiver, a line between, and a client."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="resumable-world-"))
        self.received = self.folder / "received"
        self.versions: dict[str, list[bytes]] = {}
        self.digests: dict[tuple[int, int, int], bytes] = {}
        self.start_receiver()
        # Slow, so that there is a middle to do things in.
        self.proxy = Proxy(self.url, Scenario(bandwidth=250_000, slice=1024))
        self.proxy.__enter__()
        self.start_client()

    def start_receiver(self) -> None:
        self.receiver = start("resumable", "serve", "--quiet", str(self.received), "--fsync", "never")
        assert self.receiver.stdout is not None
        self.url = self.receiver.stdout.readline().strip()
        assert self.url

    def stop_receiver(self) -> None:
        self.receiver.kill()
        self.receiver.communicate(timeout=PATIENCE)

    def start_client(self) -> None:
        self.disturbances = 0
        self.sent = self.proxy.ledger.up
        self.stored = self.stored_bytes()
        self.client = Client(self.proxy.url)

    def end_client(self) -> None:
        """It is gone, and has sent little more than what was missing."""
        self.client.end()
        self.events_are_true_and_in_order()
        sent, stored = self.proxy.ledger.up - self.sent, self.stored_bytes() - self.stored
        chunks = sum(len(self.versions[name][version]) // CHUNK + 1 for name, version in self.client.files.items())
        twice = (self.disturbances + 1) * WORKERS * 2 * CHUNK
        assert sent <= stored + twice + (self.disturbances + 2) * (chunks + WORKERS) * HEAD

    def stored_bytes(self) -> int:
        return sum(upload.stored_bytes for upload in FileStore(self.received).uploads())

    def write(self, name: str, size: int) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        versions = self.versions.setdefault(name, [])
        versions.append(content(size, seed=100 * NAMES.index(name) + len(versions)))
        path.write_bytes(versions[-1])
        # Two versions within one tick of the clock would look alike; nobody edits that fast.
        os.utime(path, ns=(0, 10**18 + len(versions)))

    def add(self, name: str) -> None:
        self.client.files[name] = len(self.versions[name]) - 1
        self.client.tell("add", str(self.folder / name), name)

    # -- what happens --------------------------------------------------------------------------------------------

    @initialize(sizes=st.lists(SIZE, min_size=2, max_size=3))
    def files_are_added(self, sizes: list[int]) -> None:
        for size in sizes:
            self.a_file_is_added(size)

    @precondition(lambda self: len(self.client.files) < len(NAMES))
    @rule(size=SIZE)
    def a_file_is_added(self, size: int) -> None:
        name = next(name for name in NAMES if name not in self.client.files)
        if name not in self.versions:
            self.write(name, size)
        self.add(name)

    @precondition(lambda self: self.versions)
    @rule(place=A_FILE, change=st.sampled_from([lambda size: size, lambda size: size + 1, lambda size: size // 2]))
    def a_file_is_changed(self, place: int, change: Any) -> None:
        name = sorted(self.versions)[place % len(self.versions)]
        self.disturbances += 1
        self.write(name, change(len(self.versions[name][-1])))

    @rule(command=st.sampled_from(["pause", "resume", "resume", "upload", "retry", "cancel"]))
    def the_session_is_told(self, command: str) -> None:
        self.disturbances += command in ("pause", "retry", "cancel")
        self.client.tell(command)
        if command == "cancel":
            self.client.cancelled.update(self.client.files)
            assert self.client.tell("states") == {}

    @precondition(lambda self: self.client.files)
    @rule(place=A_FILE, command=st.sampled_from(["pause", "resume", "abort", "cancel"]))
    def a_file_is_told(self, place: int, command: str) -> None:
        name = sorted(self.client.files)[place % len(self.client.files)]
        self.disturbances += 1
        self.client.tell("file", name, command)
        if command == "cancel":
            self.client.cancelled.add(name)

    @rule(
        action=st.sampled_from(["reset", "close", "reset", "close", "stall"]),
        direction=st.sampled_from(["up", "down"]),
        at=st.integers(0, 3 * CHUNK),
    )
    def the_line_breaks(self, action: str, direction: str, at: int) -> None:
        self.disturbances += 1
        self.proxy.expect(Fault(action, at if direction == "up" else at % 600, direction))

    @rule()
    def the_receiver_is_killed(self) -> None:
        self.disturbances += 1
        self.stop_receiver()
        self.start_receiver()
        self.proxy.aim(self.url)

    @rule()
    def the_client_is_killed(self) -> None:
        again = sorted(set(self.client.files) - self.client.cancelled)
        self.end_client()
        self.start_client()
        for name in again:
            self.add(name)

    # -- what holds ----------------------------------------------------------------------------------------------

    @invariant()
    def what_is_published_is_whole(self) -> None:
        assert self.published() <= {digest(data) for versions in self.versions.values() for data in versions}

    def published(self) -> set[bytes]:
        """The hashes of what is there under a final name."""
        found = set()
        for folder, folders, names in os.walk(self.received):
            folders[:] = [name for name in folders if name != ".resumable"]
            for path in (Path(folder, name) for name in names):
                facts = path.stat()
                key = facts.st_ino, facts.st_size, facts.st_mtime_ns
                if key not in self.digests:
                    self.digests[key] = digest(path.read_bytes())
                found.add(self.digests[key])
        return found

    @invariant()
    def time_passes(self) -> None:
        self.client.tell("watch")

    @invariant()
    def events_are_true_and_in_order(self) -> None:
        client = self.client
        while not client.told.empty():
            facts = client.told.get()
            if "begins" in facts:
                client.ended.pop(facts["begins"], None)
                continue
            event, name = facts["event"], facts["path"]
            assert event != "handler_error"
            if name is not None and event != "error":
                assert name not in client.ended, f"{event} of {name} behind {client.ended[name]}"
            if event in ENDINGS:
                client.ended[name] = event
            if event == "file_success":
                assert digest(self.versions[name][client.files[name]]) in self.published()
            if event in RUN:
                run = client.run
                before, client.run = RUN[event]
                assert run in before, f"{event} while {run}"

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self.come_to_the_end()
            else:
                # Hypothesis tries the same steps again, sees something else, and may tell only of that.
                traceback.print_exc()
        finally:
            self.client.end()
            self.stop_receiver()
            self.proxy.forget()
            self.proxy.__exit__(None, None, None)
            shutil.rmtree(self.folder)

    def come_to_the_end(self) -> None:
        """The same command is run once more, on a line that holds, and everything is there then."""
        self.proxy.forget()
        self.end_client()
        self.start_client()
        for name in self.versions:
            self.add(name)
        states = self.client.tell("finish")
        assert states == dict.fromkeys(self.versions, "success")
        self.end_client()
        assert self.client.run == "over"
        assert self.client.ended == dict.fromkeys(self.versions, "file_success")


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.unmeasured
@pytest.mark.timeout(500)
def test_whatever_happens_in_whatever_order_no_promise_is_broken() -> None:
    run_state_machine_as_test(
        World,
        settings=settings(
            max_examples=int(EXAMPLES or 3),
            stateful_step_count=20,
            derandomize=EXAMPLES is None,
            database=None,
            # The world does not stand still for a second look at the same steps.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
