"""``python -m support.other_mounts DIRECTORY``: receive into a store that is on several mounts, or on a read-only one.

It mounts, so it has to run where a mount concerns nobody else. Raises AssertionError, or says ``done``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from resumable.receiver import FileStore, Receiver

from .sample import Sample


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def main(root: Path) -> None:
    apart, folder = root / "apart", root / "folder"
    (apart / ".resumable").mkdir(parents=True, mode=0o700)
    mount("-t", "tmpfs", "-o", "mode=700", "tmpfs", str(apart / ".resumable"))
    assert Sample().send(Receiver(apart), 1) == [501], "the first chunk says so, not the last one"

    receiver, sample = Receiver(folder), Sample(relative_path="videos/sample.bin")
    (folder / "videos").mkdir(parents=True)
    assert sample.send(receiver, 1) == [200]
    mount("-t", "tmpfs", "tmpfs", str(folder / "videos"))
    assert sample.send(receiver, 2) == [501]
    assert Sample(identifier="other", relative_path="videos/a/other.bin").send(receiver, 1) == [501]
    subprocess.run(["umount", str(folder / "videos")], check=True)
    assert sample.send(receiver, 2) == [201], "nothing is lost"

    disk = root / "disk"
    disk.mkdir()
    mount("-t", "tmpfs", "tmpfs", str(disk))
    receiver = Receiver(FileStore(disk, reserve=0))
    assert Sample().send(receiver, 1) == [200]
    mount("-o", "remount,ro", str(disk))
    answer = receiver.handle(Sample().octet(2))
    assert (answer.status, b"read-only" in answer.body) == (503, True)
    mount("-o", "remount,rw", str(disk))
    assert Sample().send(receiver, 2) == [201]
    print("done")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
