"""The server side of the resumable.js protocol: receive uploads and store them as files in a directory.

``Receiver`` does not depend on a framework, ``Application`` is the WSGI application of a receiver, and ``Server`` runs
it.
"""

from __future__ import annotations

try:
    import fcntl as _fcntl  # noqa: F401
except ModuleNotFoundError:
    raise ImportError(
        "resumable.receiver needs Linux, macOS or another POSIX system: this Python has no module 'fcntl'. "
        "Uploading works without it.",
        name="fcntl",
    ) from None

from .app import Receiver
from .dialects import parameter_names
from .messages import Refusal, Request, Response
from .s3.store import S3Store
from .server.connection import Limits
from .server.server import Server
from .server.wsgi import Application
from .signals import ReceiverSignals
from .store.base import PublishedUpload, Store, StoredUpload
from .store.files import FileStore
from .store.record import UploadRecord, UploadStatus
from .store.refusals import Discarded
from .sweeper import Sweeper

__all__ = [
    "Application",
    "Discarded",
    "FileStore",
    "Limits",
    "PublishedUpload",
    "Receiver",
    "ReceiverSignals",
    "Refusal",
    "Request",
    "Response",
    "S3Store",
    "Server",
    "Store",
    "StoredUpload",
    "Sweeper",
    "UploadRecord",
    "UploadStatus",
    "parameter_names",
]
