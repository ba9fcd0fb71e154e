"""What somebody may mean who passes an option that there is not."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType

from .events import EVENTS

__all__ = ["instead_of", "nearest"]

_INSTEAD: Mapping[str, str] = MappingProxyType(
    {
        **{
            name: f"it is an argument of add_file(): session.add_file(source, {name}=...)"
            for name in ("mime_type", "on", "relative_path", "unique_identifier")
        },
        **dict.fromkeys(("exclude", "links", "pattern", "select"), "it is an argument of add_directory()"),
        "raise_errors": "it is an argument of join()",
        **dict.fromkeys(
            ("auth", "cert", "cookies", "proxies", "verify"),
            "set it on a requests.Session, and pass that as the option session",
        ),
        **dict.fromkeys(("authorization", "password", "token", "username"), "use headers, or a requests.Session"),
        **dict.fromkeys(("endpoint", "url"), "did you mean 'target'?"),
        **dict.fromkeys(
            ("concurrency", "max_workers", "parallel", "threads", "workers"), "did you mean 'simultaneous_uploads'?"
        ),
    }
)
"""Names that are no options but often tried as such, and where to say instead what they stand for."""


def instead_of(name: str) -> str | None:
    """Return what to do instead, if the name stands for something that is no option."""
    if name in _INSTEAD:
        return _INSTEAD[name]
    event = name.removeprefix("on_").replace("_", "").lower()
    found = next((row.name for row in EVENTS.values() if row.name.replace("_", "") == event), None)
    return f"handlers are connected with session.on({found!r}, handler)" if found else None


def nearest(name: str, spellings: Mapping[str, str]) -> list[str]:
    """Return the option that is probably meant. ``spellings`` has the options by all names that they have anywhere."""
    plain = {spelling.replace("_", "").lower(): option for spelling, option in spellings.items()}
    near = difflib.get_close_matches(name.replace("_", "").lower(), plain, n=1, cutoff=0.6)
    return [plain[match] for match in near]
