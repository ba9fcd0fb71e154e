"""The nine parameters that tell a server which chunk it gets, and how a browser would encode them.

Source: resumable.js 1.1.2. Its order is kept, because there are servers that read a form by position: in a test the
custom parameters come first, in an upload they come last; a custom name that equals one of the nine stands twice in
a test and replaces the value in place in an upload.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote

__all__ = [
    "ChunkFacts",
    "Pairs",
    "ParameterNames",
    "encode",
    "for_question",
    "for_test",
    "for_upload",
    "query_string",
    "text",
    "unescaped",
    "well_formed",
    "with_query",
]

Pairs = tuple[tuple[str, str], ...]

_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED = re.compile("[\udc80-\udcff]+")


class ChunkFacts(NamedTuple):
    """What the parameters say about one chunk. Sizes are bytes, ``number`` counts from 1."""

    number: int
    chunk_size: int
    current_chunk_size: int
    total_size: int
    type: str
    identifier: str
    file_name: str
    relative_path: str
    total_chunks: int


class ParameterNames(NamedTuple):
    """The names of the parameters; an empty one omits its parameter (``*ParameterName``, ``parameterNamespace``)."""

    chunk_number: str | None = "resumableChunkNumber"
    chunk_size: str | None = "resumableChunkSize"
    current_chunk_size: str | None = "resumableCurrentChunkSize"
    total_size: str | None = "resumableTotalSize"
    type: str | None = "resumableType"
    identifier: str | None = "resumableIdentifier"
    file_name: str | None = "resumableFilename"
    relative_path: str | None = "resumableRelativePath"
    total_chunks: str | None = "resumableTotalChunks"
    file: str = "file"
    namespace: str = ""

    def standard(self, facts: ChunkFacts) -> Pairs:
        """Return the nine parameters of a chunk in resumable.js's order, without the namespace in their names."""
        named = (
            (self.chunk_number, str(facts.number)),
            (self.chunk_size, str(facts.chunk_size)),
            (self.current_chunk_size, str(facts.current_chunk_size)),
            (self.total_size, str(facts.total_size)),
            (self.type, facts.type),
            (self.identifier, facts.identifier),
            (self.file_name, facts.file_name),
            (self.relative_path, facts.relative_path),
            (self.total_chunks, str(facts.total_chunks)),
        )
        return named if all(self[:9]) else tuple((name, value) for name, value in named if name)  # type: ignore[return-value]


def text(value: Any) -> str:
    """Return the value as JavaScript writes it: ``true``, numbers as plain decimals, the members of a list with
    commas."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (list, tuple)):
        return ",".join("" if member is None else text(member) for member in value)
    return str(value)


def _number(value: float) -> str:
    # ECMAScript, Number::toString: Python writes an exponent elsewhere, and with a leading zero.
    from decimal import Decimal

    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if 1e-6 <= abs(value) < 1e21 or value == 0:
        return format(Decimal(repr(abs(value) if value == 0 else value)), "f").removesuffix(".0")
    return re.sub(r"e([+-])0*", r"e\1", repr(value)).replace(".0e", "e")


def _custom(query: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> list[tuple[str, str]]:
    items = query.items() if isinstance(query, Mapping) else query
    return [(str(name), text(value)) for name, value in items if value is not None]


def for_test(names: ParameterNames, facts: ChunkFacts, query: Mapping[str, Any]) -> Pairs:
    """Return the parameters of a test, in order: the custom ones, then the nine."""
    pairs = (*_custom(query), *names.standard(facts))
    return tuple((names.namespace + name, value) for name, value in pairs)


def for_question(names: ParameterNames, query: Mapping[str, Any]) -> Pairs | None:
    """Return the parameters in the query of a question about many files: the custom ones. None if one of them has the
    name of one of the nine, and so might change which file is meant."""
    pairs = _custom(query)
    if any(name in names for name, _ in pairs):
        return None
    return tuple((names.namespace + name, value) for name, value in pairs)


def for_upload(names: ParameterNames, facts: ChunkFacts, query: Mapping[str, Any]) -> Pairs:
    """Return the parameters of an upload, in order: the nine, some with replaced values, then the custom ones."""
    merged = dict(names.standard(facts))
    if query:
        merged.update(_custom(query))
    if not names.namespace:
        return tuple(merged.items())
    return tuple((names.namespace + name, value) for name, value in merged.items())


def unescaped(value: str) -> str:
    """Return the text with UTF-8 in it decoded, which Python leaves as escaped bytes in names and arguments if the
    locale has no letters but those of ASCII."""
    return value if value.isascii() else _ESCAPED.sub(_decoded, value)


def _decoded(escaped: re.Match[str]) -> str:
    return escaped[0].encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


def well_formed(value: str) -> str:
    """Replace each lone surrogate (a byte of a file name that is not UTF-8) by U+FFFD, as a browser does."""
    return value if value.isascii() else _SURROGATE.sub("\ufffd", unescaped(value))


@lru_cache(maxsize=1024)
def encode(value: str) -> str:
    """Encode the value as a browser does in a query: UTF-8, percent-encoded, with ``!()*~-._`` kept.

    ``encodeURIComponent`` keeps the apostrophe too, which the browser then encodes when it makes the URL.
    """
    return quote(well_formed(value), safe="!()*~-._")


def query_string(pairs: Pairs) -> str:
    """Return the pairs as ``name=value``, joined by ``&``."""
    # Numbers change with every chunk and stand for themselves; they would only push the rest out of the cache.
    return "&".join([f"{encode(n)}={v if v.isascii() and v.isdigit() else encode(v)}" for n, v in pairs])


def with_query(url: str, query: str) -> str:
    """Return the URL with the query added to the one that it may have already."""
    if not query:
        return url
    url, hash_sign, fragment = url.partition("#")
    joint = "&" if "?" in url else "?"
    return f"{url}{joint}{query}{hash_sign}{fragment}"
