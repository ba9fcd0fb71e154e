"""Uploads straight into a store, for the tests of storing: no request is around them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from resumable.receiver import FileStore, UploadRecord
from resumable.receiver.store.upload import FileUpload

KEY = "0" * 40
DATA = bytes(range(100))
HEAD = 32
"""How many bytes stand before the marks in the file ``chunks``."""


def a_record(
    data: bytes = DATA,
    chunk_size: int = 30,
    name: str = "a.bin",
    total_chunks: int | None = None,
    tenant: str = "",
) -> UploadRecord:
    count = max(len(data) // chunk_size, 1) if total_chunks is None else total_chunks
    return UploadRecord("identifier", name, name, "", len(data), chunk_size, count, name, tenant)


def entries(root: Path) -> list[str]:
    """Return, in order, what the store holds of uploads."""
    return sorted(set(os.listdir(root / ".resumable")) - {"accounts", "layout"})


def key_of(number: int) -> str:
    return f"{number:040x}"


def opened(store: FileStore, record: UploadRecord | None = None, key: str = KEY) -> FileUpload:
    """The upload, begun where there is none, or a damaged one; to be used in a with block."""
    for _ in range(2):
        store.create(key, record or a_record())
        upload = store.open(key)
        if upload is not None:
            return upload
    raise AssertionError("there is no upload after it was made")


def begun(store: FileStore, record: UploadRecord | None = None, key: str = KEY) -> None:
    """There is an upload, and nobody holds it."""
    with opened(store, record, key):
        pass


def filled(store: FileStore, record: UploadRecord | None = None, data: bytes = DATA, key: str = KEY) -> FileUpload:
    """The upload with all chunks that were missing."""
    upload = opened(store, record, key)
    for index in range(upload.record.total_chunks):
        if not upload.has(index):
            upload.receive(index, whole(upload, index, data))
    return upload


def whole(upload: FileUpload, index: int, data: bytes = DATA) -> Iterator[bytes]:
    """The chunk in one piece."""
    start, end = upload.record.plan.span(index)
    return iter([data[start:end]])


def directory_of(root: Path, key: str = KEY) -> Path:
    return root / ".resumable" / key


def state_of(root: Path, key: str = KEY) -> set[str]:
    return set(os.listdir(directory_of(root, key)))


def marks_of(root: Path, key: str = KEY) -> bytes:
    count = json.loads((directory_of(root, key) / "record").read_text().splitlines()[0])["total_chunks"]
    return (directory_of(root, key) / "chunks").read_bytes()[HEAD : HEAD + count]


def aged(root: Path, seconds: float, key: str = KEY) -> None:
    """The upload was touched last so many seconds ago."""
    directory = directory_of(root, key)
    if "chunks" in os.listdir(directory):
        touched = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - int(seconds * 1e9)
        write_at(directory / "chunks", 8, touched.to_bytes(8, "little", signed=True))
    else:
        older(directory / "record", seconds)


def older(path: Path, seconds: float) -> None:
    """The file was changed last so many seconds ago."""
    os.utime(path, times=(time.time() - seconds,) * 2)


def restarted(root: Path, key: str = KEY) -> None:
    """The machine was started since the upload was last touched."""
    write_at(directory_of(root, key) / "chunks", 16, os.urandom(16))


def write_at(path: Path, offset: int, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


@contextmanager
def memory_directory() -> Iterator[Path]:
    """An empty directory in memory, where there is a file system there, or else on the disk."""
    memory = "/dev/shm"
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as directory:
        yield Path(directory)


def run_module(name: str, *arguments: str, before: Sequence[str] = ()) -> str:
    """What a program beside this module writes, in a process of its own; ``before`` are words before its command."""
    ran = subprocess.run(
        [*before, *_command(name), *arguments],
        env=_environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=280,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@contextmanager
def module_running(name: str) -> Iterator[subprocess.Popen[str]]:
    """A program beside this module in a process of its own, which reads lines and writes lines until there are none."""
    with subprocess.Popen(
        _command(name), env=_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        yield process
        process.communicate()
    assert process.returncode == 0


def _command(name: str) -> list[str]:
    return [sys.executable, "-W", "error", "-m", f"{Path(__file__).parent.name}.{name}"]


def _environment() -> dict[str, str]:
    tests = Path(__file__).parent.parent
    path = os.pathsep.join([str(tests), str(tests.parent), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path}
