"""The server side of the resumable.js protocol: what clients upload ends up as files in a directory.

``Receiver`` is free of any framework, ``Application`` makes a WSGI application of it, and ``Server`` runs that.
"""

from __future__ import annotations

from .app import Receiver, parameter_names
from .files import FileStore
from .messages import Request, Response
from .serve import Server
from .store import Store, StoredUpload, UploadRecord
from .wsgi import Application

__all__ = [
    "Application",
    "FileStore",
    "Receiver",
    "Request",
    "Response",
    "Server",
    "Store",
    "StoredUpload",
    "UploadRecord",
    "parameter_names",
]
