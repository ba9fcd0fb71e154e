"""The list of uploads that the page asks for, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator

from ..protocol.parameters import ParameterNames
from .messages import Response
from .store.record import UploadStatus

__all__ = ["MOST_LISTED", "listing"]

MOST_LISTED = 200
"""The most uploads in one answer."""


def listing(uploads: Iterator[UploadStatus], names: ParameterNames, max_total_size: int | None) -> Response:
    """Return the uploads, in their order, and the parameter names and limits of the page's own uploads.

    The ``url`` of an upload is what the application has returned under this name when it was told of the file.
    """
    listed = [
        {
            "name": upload.name,
            "path": upload.record.relative_path or upload.record.file_name,
            "total_size": upload.total_size,
            "stored_bytes": upload.stored_bytes,
            "stored_chunks": upload.stored_chunks,
            "total_chunks": upload.total_chunks,
            "state": upload.state,
            "touched": upload.touched,
            "url": _url(upload),
        }
        for upload in uploads
    ]
    parameters = {
        field: name and names.namespace + name
        for field, name in names._asdict().items()
        if field not in ("file", "namespace")
    }
    body = json.dumps({"uploads": listed, "parameters": parameters, "limits": {"total_size": max_total_size}})
    return Response(200, body.encode(), (("Content-Type", "application/json"),))


def _url(upload: UploadStatus) -> str | None:
    url = (upload.record.result or {}).get("url")
    return url if isinstance(url, str) else None
