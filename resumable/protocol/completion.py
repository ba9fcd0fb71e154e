"""Tell a client, in the answer that completes a file, how the file is called and what the application says of it.

The name is in a header of every such answer. What the application says is in the body, as JSON:
``{"state": "whole", "name": "dir/a (1).bin", "result": {"id": 7}}``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

from .headers import NAME_HEADER

__all__ = ["format_completion", "format_name", "parse_completion", "parse_name"]

_CHARSET = "UTF-8''"
_KEPT = "!#$&+^`|"


def format_name(name: str) -> str:
    """Return the value of :data:`~resumable.protocol.headers.NAME_HEADER` (RFC 8187)."""
    return _CHARSET + quote(name.encode("utf-8", "surrogateescape"), safe=_KEPT)


def parse_name(value: str) -> str | None:
    """Return the name in a value of that header, None if it is not well formed."""
    value = value.strip()
    if value[: len(_CHARSET)].upper() != _CHARSET:
        return None
    return unquote(value[len(_CHARSET) :], errors="surrogateescape") or None


def format_completion(name: str, result: Mapping[str, Any] | None) -> str:
    """Return the body for a client that reads JSON. Raises TypeError and ValueError if the result cannot be JSON."""
    return json.dumps({"state": "whole", "name": name, "result": result}, allow_nan=False)


def parse_completion(fields: Mapping[str, str], text: str) -> dict[str, Any] | None:
    """Return what the answer with these header fields and this body says of a whole file; None if it says nothing.

    It is what the application returned, with the name of the file under ``name`` unless the application said that
    itself.
    """
    name = parse_name(fields.get(NAME_HEADER.lower(), ""))
    said: dict[str, Any] = {} if name is None else {"name": name}
    if fields.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            body = None
        if isinstance(body, dict) and isinstance(body.get("result"), dict):
            said |= body["result"]
    return said or None
