"""The dialects that a receiver can speak: the parameter names of resumable.js, of flow.js, or of both."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ..protocol import dialects
from ..protocol.parameters import ParameterNames
from .messages import Refusal

__all__ = ["DIALECTS", "check_dialect", "parameter_names"]


def parameter_names(dialect: Mapping[str, Any]) -> ParameterNames:
    """Return the parameter names of a preset of :mod:`resumable.protocol.dialects`, such as ``FLOWJS``."""
    ending = "_parameter_name"
    return ParameterNames(**{option[: -len(ending)]: dialect[option] for option in dialect if option.endswith(ending)})


_LIBRARIES = {"resumablejs": "resumable.js", "flowjs": "flow.js"}
_NAMES = {name: parameter_names(getattr(dialects, name.upper())) for name in _LIBRARIES}

DIALECTS: Mapping[str, tuple[ParameterNames, ...]] = MappingProxyType(
    {**{name: (names,) for name, names in _NAMES.items()}, "any": tuple(_NAMES.values())}
)
"""The dialects that a receiver can speak, and the parameter names of each."""


def check_dialect(sent: set[str], expected: str) -> None:
    """Raise :class:`Refusal` (400) if these are the parameters of the other dialect than the expected one."""
    dialect_of = {names.chunk_number: dialect for dialect, names in _NAMES.items()}
    if expected not in dialect_of:
        return
    for name in sent.intersection(filter(None, dialect_of)):
        dialect = dialect_of[name]
        raise Refusal(
            400,
            f"These are parameters of {_LIBRARIES[dialect]} ({name}), but this server expects those of "
            f"{_LIBRARIES[dialect_of[expected]]} ({expected}): start the server with --dialect {dialect} or any "
            f"(in Python: dialect={dialect!r} or 'any').",
        )
