"""``python -m support.full_disk bytes|files DIRECTORY``: fill a small disk with uploads.

It mounts the disk on the directory, so it has to run where a mount concerns nobody else. Raises AssertionError, or
says ``done``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random

from resumable.receiver import FileStore, Receiver

from .sample import Sample

CHUNK = 1 << 18
DISKS = {"bytes": "size=4m", "files": "size=64m,nr_inodes=40"}


def sample_of(number: int, chunks: int) -> Sample:
    data = Random(number).randbytes(CHUNK * chunks)
    return Sample(data, CHUNK, identifier=str(number), relative_path=str(number))


def missing(receiver: Receiver, sample: Sample) -> list[int]:
    return [number for number in range(1, sample.count + 1) if sample.test(receiver, number).status != 200]


def fill(receiver: Receiver, samples: list[Sample]) -> None:
    """Send chunk by chunk what is missing, until the disk is full."""
    for sample in samples:
        for number in missing(receiver, sample):
            answer = receiver.handle(sample.octet(number))
            if answer.status == 507:
                return
            assert answer.status in (200, 201)
    raise AssertionError("the disk never was full")


def check(root: Path, receiver: Receiver, sample: Sample) -> bool:
    """Whether the file is there for good. Its name may be there earlier, and its bytes are right then, too."""
    path = root / sample.relative_path
    assert not path.exists() or path.read_bytes() == sample.data
    return path.exists() and not missing(receiver, sample)


def main(full_of: str, root: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", DISKS[full_of], "tmpfs", str(root)], check=True)
    store = FileStore(root, reserve=0)
    receiver = Receiver(store)
    finished, begun, *filling = (sample_of(number, 1 + number % 4) for number in range(60))
    finished.send(receiver)
    begun.send(receiver, 1)
    fill(receiver, filling)
    for _ in range(3):
        assert check(root, receiver, finished)
        assert missing(receiver, begun) == [2]
        done = [sample for sample in filling if check(root, receiver, sample)]
        assert 0 < len(done) < len(filling)
        # What was refused is refused again, and nothing of it is taken for stored.
        fill(receiver, [sample for sample in filling if sample not in done])
        assert store.sweep() == 0

    # Finished files go, and the memory of them, and there is room again.
    forgetful = FileStore(root, reserve=0, forget_after=0)
    for sample in done:
        os.unlink(root / sample.relative_path)
    assert forgetful.sweep() == len(done) + 1
    for sample in (begun, *(sample for sample in filling if sample not in done)):
        receiver.handle(sample.octet(sample.count))
        if lacking := missing(receiver, sample):
            assert set(sample.send(receiver, *lacking)) <= {200, 201}
        assert check(root, receiver, sample)
        os.unlink(root / sample.relative_path)
        assert forgetful.sweep() == 1
    print("done")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
