"""What an upload may have to do otherwise for a server to accept it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ...options import OPTIONS
from ...protocol import dialects
from ..output.units import size, size_typed

__all__ = ["FLOWJS", "FORCE_CHUNK_SIZE", "FORM", "NO_TESTS", "OCTET", "QUERY", "RESUMABLEJS", "Change", "chunks_of"]


class Change(NamedTuple):
    """Something that an upload has to do otherwise: the flag as it is typed, and the options that it sets."""

    flag: str
    words: tuple[str, ...]
    options: Mapping[str, Any]

    @property
    def typed(self) -> str:
        """The change as a user types it, or in words if it is only for the test files."""
        return " ".join(self.words) or f"chunks of {size(self.options['chunk_size'])}"


FORM = Change("params_in", ("--params-in", "form"), {"params_in": "form"})
QUERY = Change("params_in", ("--params-in", "query"), {"params_in": "query"})
OCTET = Change("method", ("--method", "octet"), {"method": "octet"})
FLOWJS = Change("dialect", ("--dialect", "flowjs"), dialects.FLOWJS)
RESUMABLEJS = Change(
    "dialect",
    ("--dialect", "resumablejs"),
    {**{name: OPTIONS[name].default for name in dialects.FLOWJS}, **dialects.RESUMABLEJS},
)
FORCE_CHUNK_SIZE = Change("force_chunk_size", ("--force-chunk-size",), {"force_chunk_size": True})
NO_TESTS = Change("test_chunks", ("--no-test-chunks",), {"test_chunks": False})


def chunks_of(chunk_size: int) -> Change:
    """Return the change to chunks of this size, in bytes."""
    return Change("chunk_size", ("--chunk-size", size_typed(chunk_size)), {"chunk_size": chunk_size})
