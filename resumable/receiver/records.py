"""The record of an upload as JSON in the file ``record`` of its directory."""

from __future__ import annotations

import dataclasses
import json
import os

from .directories import closing_file, open_file
from .store import UploadRecord

__all__ = ["read_record", "write_record"]


def read_record(directory: int) -> UploadRecord:
    """The record in the open directory. Raises FileNotFoundError, or ValueError where it is not whole."""
    with closing_file(open_file("record", os.O_RDONLY, directory)) as file:
        pieces = []
        while piece := os.read(file, 1 << 16):
            pieces.append(piece)
    return UploadRecord(**json.loads(b"".join(pieces)))


def write_record(directory: int, record: UploadRecord, *, durable: bool) -> None:
    """The open directory has this record afterwards; at no moment has it half of it."""
    text = json.dumps(dataclasses.asdict(record)).encode()
    with closing_file(open_file("record-new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, directory)) as file:
        while text:
            text = text[os.write(file, text) :]
        if durable:
            os.fsync(file)
    os.replace("record-new", "record", src_dir_fd=directory, dst_dir_fd=directory)
    if durable:
        os.fsync(directory)
