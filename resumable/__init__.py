"""Chunked, parallel, resumable HTTP uploads: the protocol of resumable.js in Python."""

from __future__ import annotations

import atexit
import logging
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import errors as errors
    from . import signals, units
    from .asynchronous import UploadEvent
    from .chunk import ResumableChunk
    from .core.states import ChunkState, FileState, SessionState
    from .dispatch.transfers import SessionStats
    from .errors import (
        AuthenticationRefused,
        BlockedLoop,
        FileRejected,
        HookError,
        IncompleteUpload,
        OptionError,
        PluginError,
        RedirectRefused,
        ResumableError,
        RetriesExhausted,
        ServerRefused,
        SourceChanged,
        SourceError,
        StateError,
        TransportError,
        UnfinishedUpload,
        UnknownEvent,
        UnknownOption,
        UploadCancelled,
        UploadError,
        UploadFailed,
        UsageError,
        WaitTimeout,
    )
    from .file import ResumableFile
    from .hooks import Plugin
    from .protocol import dialects, identifiers
    from .result import Result
    from .session import Resumable
    from .simple import upload
    from .simple_async import upload_async
    from .subscription import Subscription

__all__ = [
    "AuthenticationRefused",
    "BlockedLoop",
    "ChunkState",
    "FileRejected",
    "FileState",
    "HookError",
    "IncompleteUpload",
    "OptionError",
    "Plugin",
    "PluginError",
    "RedirectRefused",
    "Result",
    "Resumable",
    "ResumableChunk",
    "ResumableError",
    "ResumableFile",
    "RetriesExhausted",
    "ServerRefused",
    "SessionState",
    "SessionStats",
    "SourceChanged",
    "SourceError",
    "StateError",
    "Subscription",
    "TransportError",
    "UnfinishedUpload",
    "UnknownEvent",
    "UnknownOption",
    "UploadCancelled",
    "UploadError",
    "UploadEvent",
    "UploadFailed",
    "UsageError",
    "WaitTimeout",
    "dialects",
    "identifiers",
    "signals",
    "units",
    "upload",
    "upload_async",
]

__version__ = "1.0.0.dev0"

_HOMES = {
    "ChunkState": ".core.states",
    "FileState": ".core.states",
    "Plugin": ".hooks",
    "Result": ".result",
    "Resumable": ".session",
    "ResumableChunk": ".chunk",
    "ResumableFile": ".file",
    "SessionState": ".core.states",
    "SessionStats": ".dispatch.transfers",
    "Subscription": ".subscription",
    "UploadEvent": ".asynchronous",
    "upload": ".simple",
    "upload_async": ".simple_async",
}
_MODULES = {
    "dialects": ".protocol.dialects",
    "errors": ".errors",
    "identifiers": ".protocol.identifiers",
    "signals": ".signals",
    "units": ".units",
}

logging.getLogger("resumable").addHandler(logging.NullHandler())


@atexit.register
def _tell_what_is_unfinished() -> None:
    # Registered here, so that what the program registers itself, which may join its sessions, runs before.
    if (unfinished := sys.modules.get(f"{__name__}.unfinished")) is not None:
        unfinished.tell_all()


if not TYPE_CHECKING:  # else every misspelt name would be Any

    def __getattr__(name: str) -> Any:
        # PEP 562: what is named is imported then, so that a program which may upload, and mostly does not, starts at
        # once.
        if name in _MODULES:
            found: Any = import_module(_MODULES[name], __name__)
        elif name in __all__:
            found = getattr(import_module(_HOMES.get(name, ".errors"), __name__), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *__all__})
