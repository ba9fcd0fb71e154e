"""Presets of options for servers that speak a near relative of the protocol.

A preset is a plain mapping, to be spread into the constructor: ``Resumable(target, **dialects.FLOWJS)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from . import identifiers

__all__ = ["FLOWJS", "RESUMABLEJS"]

RESUMABLEJS: Mapping[str, Any] = MappingProxyType(
    {
        "generate_unique_identifier": identifiers.resumablejs,
        "chunk_order": "free",
        "permanent_errors": (400, 401, 403, 404, 409, 415, 500, 501),
        "chunk_retry_interval": 0,
        "min_file_size": 1,
        "trust_tests": True,
        "auto_upload": False,
    }
)
"""As close to resumable.js 1.1.2 as the contract lets us be, to take over for a browser in the middle of an upload."""

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
        "permanent_errors": (404, 413, 415, 500, 501),
        "test_errors_are_permanent": True,
        "max_chunk_retries": 0,
        "chunk_retry_interval": 0,
        "generate_unique_identifier": identifiers.resumablejs,
        "chunk_order": "free",
        "trust_tests": True,
        "auto_upload": False,
    }
)
"""flow.js 2.14: its parameter names, its verdicts (202 is success, a permanent status fails a test), its defaults."""
