"""``python -m support.crash_points``: die in the middle of one request, over and over.

Each line that it reads is a list in JSON: a scenario, ``fsync``, the calls between two deaths, and a directory.
A child process does what the scenario says, and kills itself with SIGKILL before its first call of the system; the next
one does it from the beginning, in another directory, and dies so many calls later; and so on, until one survives.
Written is a line for each: where it died, as the function that made the call and the call, and an empty one at the end.
"""

from __future__ import annotations

import fcntl
import gc
import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from types import BuiltinFunctionType

from resumable.receiver import FileStore, Receiver

from .sample import Sample
from .stored_uploads import aged, directory_of, marks_of, memory_directory, restarted, write_at

SAMPLE = Sample(Random(0).randbytes(3000), 1000, relative_path="dir/sample.bin", identifier="sample")
HASHED = replace(SAMPLE, extra={"resumableFileSha256": hashlib.sha256(SAMPLE.data).hexdigest()})
SMALL = Sample(SAMPLE.data[:1000], 1000, relative_path="dir/sample.bin", identifier="sample")


OLDER = replace(SAMPLE, data=Random(1).randbytes(3000), identifier="older")


def store_in(root: Path, fsync: str, existing: str = "number") -> FileStore:
    return FileStore(root, fsync=fsync, existing=existing, max_open_uploads=1, max_bytes=3000, stale_after=100)


def receiver_of(store: FileStore, told: Path) -> Receiver:
    def tell(record: object) -> None:
        with open(told, "a", encoding="utf-8") as file:
            file.write("told\n")

    return Receiver(store, on_file_received=tell)


def key_in(root: Path) -> str:
    (key,) = (name for name in os.listdir(root / ".resumable") if len(name) == 40)
    return key


@dataclass(frozen=True)
class Scenario:
    """``act`` is done by who dies; before, these chunks of the sample were acknowledged, and ``prepare`` was done."""

    act: Callable[[Receiver, Path], object]
    acknowledged: tuple[int, ...] = ()
    prepare: Callable[[Path], object] = lambda directory: None
    sample: Sample = field(default_factory=lambda: SAMPLE)
    kept: bool = True
    """Whether what was acknowledged is there as long as it is not published."""
    hook: bool = True
    """Whether who dies has an application to tell."""
    older: Sample | None = None
    """Another file that was published under the same name, and is replaced."""

    @property
    def existing(self) -> str:
        return "replace" if self.older else "number"

    def begin(self, root: Path, fsync: str) -> None:
        receiver = Receiver(store_in(root, fsync, self.existing))
        statuses = self.older.send(receiver) if self.older else []
        statuses += self.sample.send(receiver, *self.acknowledged) if self.acknowledged else []
        assert set(statuses) <= {200, 201}
        if self.acknowledged and not self.older:
            self.prepare(directory_of(root, key_in(root)))


def sends(number: int, sample: Sample = SAMPLE) -> Callable[[Receiver, Path], object]:
    return lambda receiver, root: receiver.handle(sample.octet(number))


def sends_without_hook(receiver: Receiver, root: Path) -> object:
    return Receiver(receiver.store).handle(SAMPLE.octet(3))


def sweeps(receiver: Receiver, root: Path) -> object:
    return receiver.sweep()


def discards(receiver: Receiver, root: Path) -> object:
    upload = receiver.store.open(key_in(root))
    assert upload is not None
    with upload:
        upload.discard()
    return None


def stale(directory: Path) -> None:
    aged(directory.parent.parent, 200, directory.name)


def lost_first_chunk(directory: Path) -> None:
    """The power failed before its bytes were on the disk, and after its mark was, where it did not have to be."""
    root, key = directory.parent.parent, directory.name
    if marks_of(root, key)[0] == 1:
        write_at(directory / "part", 0, bytes(1000))
    restarted(root, key)


def deleted(directory: Path) -> None:
    """Somebody has taken the published file away."""
    (directory.parent.parent / "dir" / "sample.bin").unlink()


def touched(directory: Path) -> None:
    """The published file has another time, so that it is compared with what is known of it."""
    os.utime(directory.parent.parent / "dir" / "sample.bin", times=(1, 1))


def tests(receiver: Receiver, root: Path) -> object:
    return SAMPLE.test(receiver, 1)


def forgets(receiver: Receiver, root: Path) -> object:
    (status,) = receiver.store.uploads()
    return receiver.forget(status.record)


SCENARIOS = {
    "a file of one chunk": Scenario(sends(1, SMALL), sample=SMALL),
    "the first chunk": Scenario(sends(1)),
    "a chunk": Scenario(sends(2), (1,)),
    "a chunk that is there": Scenario(sends(1), (1,)),
    "the hash of the file with a later chunk": Scenario(sends(2, HASHED), (1,)),
    "the last chunk": Scenario(sends(3), (1, 2)),
    "the last chunk without a hook": Scenario(sends_without_hook, (1, 2), hook=False),
    "a sweep": Scenario(sweeps, (1, 2)),
    "a sweep of a stale upload": Scenario(sweeps, (1, 2), stale, kept=False),
    "a discard": Scenario(discards, (1, 2), kept=False),
    "a chunk of a file that is gone": Scenario(sends(1), (1, 2, 3), deleted, kept=False),
    "a chunk of a file that is there": Scenario(sends(1), (1, 2, 3)),
    "a test of a file with another time": Scenario(tests, (1, 2, 3), touched),
    "forgetting a file that is gone": Scenario(forgets, (1, 2, 3), deleted, kept=False),
    "the last chunk of a file that replaces another": Scenario(sends(3), (1, 2), older=OLDER),
    "a chunk after a power failure": Scenario(sends(3), (1, 2), lost_first_chunk, kept=False),
}
"""By what is done."""


def count_calls() -> Callable[[int, int], None]:
    """Count the calls of the system from now on. ``die_at(number, told)`` has this process kill itself before the one
    with this number, and say where."""
    left = 0
    said = -1
    write, kill, process = os.write, os.kill, os.getpid

    def counted(call: Callable[..., object]) -> Callable[..., object]:
        def count(*arguments: object, **options: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                write(said, f"{sys._getframe(1).f_code.co_name} {call.__name__}\n".encode())
                kill(process(), signal.SIGKILL)
            return call(*arguments, **options)

        return count

    def die_at(number: int, told: int) -> None:
        nonlocal left, said
        left, said = number, told

    for module in (os, fcntl):
        for name, call in list(vars(module).items()):
            ours = isinstance(call, BuiltinFunctionType) and call.__module__ in ("posix", "fcntl")
            if ours and call not in (os.fspath, os._exit):
                setattr(module, name, counted(call))
    return die_at


def main(die_at: Callable[[int, int], None], name: str, fsync: str, every: int, directory: Path) -> None:
    scenario = SCENARIOS[name]
    number, died = 0, True
    while died:
        number += 1
        root = directory / str(number)
        scenario.begin(root, fsync)
        receiver = receiver_of(store_in(root, fsync, scenario.existing), directory / f"{number}.told")
        child = os.fork()
        if child == 0:
            die_at(1 + every * (number - 1), sys.stdout.fileno())
            scenario.act(receiver, root)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        died = os.WIFSIGNALED(status)
        if not died and os.waitstatus_to_exitcode(status) != 0:
            sys.exit("the scenario failed")
    print(flush=True)


if __name__ == "__main__":
    with memory_directory() as directory:  # what the children import is imported once
        SMALL.send(receiver_of(store_in(directory, "never"), directory / "told"))
    gc.freeze()
    die_at = count_calls()
    for line in sys.stdin:
        name, fsync, every, root = json.loads(line)
        main(die_at, name, fsync, every, Path(root))
