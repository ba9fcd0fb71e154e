"""What the record object of an upload says: JSON that is read and replaced as a whole."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from ..store.record import UploadRecord

__all__ = ["Snapshot", "UploadState"]

_VERSION = 1


@dataclass(frozen=True)
class UploadState:
    """A record, with what only its store knows.

    ``generation`` tells this upload from others that had the same key before. ``target`` is the name that it is
    published under, if that name is free, and ``upload_id`` the multipart upload for it; None if it is published by a
    single request. ``holder`` is who finishes the upload at the moment, an empty string if nobody does. ``etag`` is
    that of the published object.
    """

    record: UploadRecord
    generation: str
    target: str
    upload_id: str | None = None
    holder: str = ""
    etag: str | None = None

    def encoded(self) -> bytes:
        """Return the object's content."""
        said = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return json.dumps({"version": _VERSION, **said, "record": dataclasses.asdict(self.record)}).encode()

    @classmethod
    def decoded(cls, text: bytes) -> UploadState:
        """Return what :meth:`encoded` wrote.

        Raises ValueError if it is damaged, TypeError if another version of this program wrote it.
        """
        said: dict[str, Any] = json.loads(text)
        if said.pop("version", None) != _VERSION:
            raise TypeError("the record of the upload is of another version of this program")
        record = said.pop("record")
        return cls(UploadRecord(**{**record, "sessions": tuple(record.get("sessions", ()))}), **said)


@dataclass(frozen=True)
class Snapshot:
    """A state as it was read or written, the ETag that it had, and when it was written, by the clock of the store."""

    state: UploadState
    etag: str
    modified: float
