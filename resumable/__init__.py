"""Chunked, parallel, resumable HTTP uploads: the protocol of resumable.js in Python."""

from __future__ import annotations

import logging
from typing import Any

from .core.states import ChunkState, FileState, SessionState
from .errors import (
    AuthenticationRefused,
    FileRejected,
    HookError,
    OptionError,
    RedirectRefused,
    ResumableError,
    RetriesExhausted,
    ServerRefused,
    SourceChanged,
    SourceError,
    StateError,
    TransportError,
    UnknownEvent,
    UnknownOption,
    UploadCancelled,
    UploadError,
    UploadFailed,
    UsageError,
    WaitTimeout,
)
from .file import ResumableChunk, ResumableFile
from .protocol import dialects, identifiers
from .session import Result, Resumable
from .signals import Subscription

__all__ = [
    "AuthenticationRefused",
    "ChunkState",
    "FileRejected",
    "FileState",
    "HookError",
    "OptionError",
    "RedirectRefused",
    "Result",
    "Resumable",
    "ResumableChunk",
    "ResumableError",
    "ResumableFile",
    "RetriesExhausted",
    "ServerRefused",
    "SessionState",
    "SourceChanged",
    "SourceError",
    "StateError",
    "Subscription",
    "TransportError",
    "UnknownEvent",
    "UnknownOption",
    "UploadCancelled",
    "UploadError",
    "UploadFailed",
    "UsageError",
    "WaitTimeout",
    "dialects",
    "identifiers",
    "upload",
]

__version__ = "1.0.0.dev0"

logging.getLogger("resumable").addHandler(logging.NullHandler())


def upload(source: Any, target: str, **options: Any) -> Result:
    """Uploads one source (or, given a list or tuple, several; a directory with all that is in it) and waits for it.

    ``options`` are those of :class:`Resumable`. Returns what became of the files; raises UploadFailed where one
    failed, and what :meth:`Resumable.add_file` raises.
    """
    import os

    with Resumable(target, **{"auto_upload": False, **options}) as session:
        for item in source if isinstance(source, (list, tuple)) else [source]:
            if isinstance(item, (str, os.PathLike)) and os.path.isdir(item):
                session.add_directory(item)
            else:
                session.add_file(item)
        return session.join()
