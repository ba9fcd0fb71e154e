"""Presets of options for servers that speak a near relative of the protocol.

A preset is a plain mapping to spread into the constructor: ``Resumable(target, **dialects.FLOWJS)``. It changes the
words on the wire. The safe defaults stay: the first and the last chunk of a file are sent alone, retries wait, and
tests are believed only if the server can say no.

Identifiers of both libraries are the size and the name of a file. If a file was edited and has kept both, its upload
goes on where the interrupted upload of the older version stopped, and the result is an unnoticed mixture. See "From the
browser to Python and back" in the documentation for what helps.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from . import identifiers

__all__ = ["FLOWJS", "FLOWJS_EXACT", "RESUMABLEJS", "RESUMABLEJS_EXACT"]

RESUMABLEJS: Mapping[str, Any] = MappingProxyType(
    {"generate_unique_identifier": identifiers.resumablejs, "simultaneous_uploads": 3}
)
"""The identifiers of resumable.js, so that Python can continue the upload of a browser, and as many uploads at once. To
have another number: ``Resumable(target, **{**dialects.RESUMABLEJS, "simultaneous_uploads": "auto"})``."""

FLOWJS: Mapping[str, Any] = MappingProxyType(
    {
        "chunk_number_parameter_name": "flowChunkNumber",
        "chunk_size_parameter_name": "flowChunkSize",
        "current_chunk_size_parameter_name": "flowCurrentChunkSize",
        "total_size_parameter_name": "flowTotalSize",
        "type_parameter_name": None,
        "identifier_parameter_name": "flowIdentifier",
        "file_name_parameter_name": "flowFilename",
        "relative_path_parameter_name": "flowRelativePath",
        "total_chunks_parameter_name": "flowTotalChunks",
        "params_in": "form",
        "set_chunk_type_from_file": True,
        "success_statuses": (200, 201, 202),
        "generate_unique_identifier": identifiers.resumablejs,
    }
)
"""flow.js 2.14: the names of its parameters and where they stand, its identifiers, and 202 as success."""

RESUMABLEJS_EXACT: Mapping[str, Any] = MappingProxyType(
    {
        **RESUMABLEJS,
        "chunk_order": "free",
        "permanent_errors": (400, 401, 403, 404, 409, 415, 500, 501),
        "chunk_retry_interval": 0,
        "min_file_size": 1,
        "test_every_chunk": True,
        "trust_tests": True,
        "auto_upload": False,
    }
)
"""resumable.js 1.1.2 except for ``docs/explanation/differences.rst``, even if that loses data: only to compare."""

FLOWJS_EXACT: Mapping[str, Any] = MappingProxyType(
    {
        **FLOWJS,
        "simultaneous_uploads": 3,
        "chunk_order": "free",
        "permanent_errors": (404, 413, 415, 500, 501),
        "test_errors_are_permanent": True,
        "max_chunk_retries": 0,
        "chunk_retry_interval": 0,
        "test_every_chunk": True,
        "trust_tests": True,
        "auto_upload": False,
    }
)
"""flow.js 2.14 with its decisions and its order, also where that loses data: to compare, not to upload."""
