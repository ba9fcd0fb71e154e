"""Make the name under which an upload is published from the name that the client sent.

A client may send any text as a name. The result is a relative path with forward slashes that stays inside the
directory it is joined to, and that every common file system accepts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import lru_cache

from ..messages import Refusal

__all__ = ["STATE_DIRECTORY", "free_number", "numbered", "safe_name", "tenant_folder"]

STATE_DIRECTORY = ".resumable"
"""The directory for unfinished uploads, inside that of a store; no upload can be published under this name."""

_LONGEST_COMPONENT = 255
_LONGEST_PATH = 1024
_DEEPEST = 32
_LONGEST_SUFFIX = 32
_HASHED = re.compile("-[0-9a-f]{8}")

# Control characters, characters that Windows forbids, marks that change the writing direction, and lone surrogates.
_UNSAFE = re.compile('[\x00-\x1f\x7f-\x9f<>:"|?*\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f\ud800-\udfff]')
_RESERVED = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])", re.IGNORECASE)
# Characters that HFS+ ignores when it compares names and that are not replaced by _, because words and emoji need them.
_IGNORED = re.compile("[\u200c\u200d\ufeff]")


@lru_cache(maxsize=64)
def safe_name(name: str) -> str:
    """Return a safe relative path for the file name or relative path that a client sent.

    Both kinds of slashes separate components; an absolute path loses its root. Characters that are not safe everywhere
    become ``_``, dots and spaces at the end of a component are removed, a name that Windows reserves gets a ``_`` in
    front, and a component is cut to 255 bytes, before its suffix. Raises :class:`Refusal` (400) for ``..``, for more
    than 32 components, for more than 1,024 bytes, and if no name is left.
    """
    components = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    if ".." in components:
        raise Refusal(400, f"The path {name!r} leads out of the directory for uploads: send it without '..'.")
    if not components:
        raise Refusal(400, f"The path {name!r} has no file name.")
    if len(components) > _DEEPEST:
        raise Refusal(400, f"The path of the file has more than {_DEEPEST} parts: use a shorter one.")
    path = "/".join(_safe_component(part) for part in components)
    if len(path.encode()) > _LONGEST_PATH:
        raise Refusal(400, f"The path of the file has more than {_LONGEST_PATH} bytes: use a shorter one.")
    return path


def tenant_folder(tenant: str) -> str:
    """Return the name of the folder for the files of a tenant: no two tenants have the same one."""
    name = _safe_component(tenant.replace("/", "_").replace("\\", "_")) if tenant.strip(". ") else "_"
    if name == tenant and not _HASHED.fullmatch(name[-9:]):
        return name
    # Two tenants may have the same safe name, and a third one may be called like this folder.
    digest = hashlib.sha256(tenant.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return _fitted(name, f"-{digest}")


def numbered(component: str, number: int) -> str:
    """Return the last component of a path with ``(number)`` before its suffix: ``a (1).txt``."""
    stem, suffix = _split(component)
    return _fitted(stem, f" ({number}){suffix}")


def free_number(is_taken: Callable[[int], bool], *, above: int = 0) -> int:
    """Return a free number above a taken one; the number right below the free one is taken, too.

    The steps grow and then shrink: asking for each number would be slow for a name that many files have.
    """
    taken, step = above, 1
    while is_taken(taken + step):
        taken, step = taken + step, 2 * step
    free = taken + step
    while free - taken > 1:
        middle = (taken + free) // 2
        if is_taken(middle):
            taken = middle
        else:
            free = middle
    return free


def _safe_component(component: str) -> str:
    safe = _fitted(*_split(_UNSAFE.sub("_", component).rstrip(". ")))
    seen = _IGNORED.sub("", safe).casefold()
    if not seen or seen == STATE_DIRECTORY or _RESERVED.fullmatch(safe.partition(".")[0].rstrip()):
        return _fitted(*_split(f"_{safe}"))
    return safe


def _split(component: str) -> tuple[str, str]:
    """Split a component into stem and suffix with its dot; the suffix is empty if it is too long or has no stem."""
    stem, dot, suffix = component.rpartition(".")
    return (stem, dot + suffix) if stem and len(suffix) < _LONGEST_SUFFIX else (component, "")


def _fitted(stem: str, ending: str) -> str:
    if len((stem + ending).encode()) <= _LONGEST_COMPONENT:
        return stem + ending
    room = _LONGEST_COMPONENT - len(ending.encode())
    return stem.encode()[:room].decode(errors="ignore").rstrip(". ") + ending
