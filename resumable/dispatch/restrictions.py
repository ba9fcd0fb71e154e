"""The rules for which files are accepted, and under which names."""

from __future__ import annotations

import mimetypes
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

from ..errors import FileRejected, OptionError
from ..hooks import Hooks
from ..options import Options
from ..protocol import identifiers
from ..protocol.parameters import unescaped
from ..sources.path import Source, make_source
from ..sources.stream import BytesSource
from .registry import FileRecord

__all__ = ["Candidate", "Restrictions", "as_given", "shown"]

_HAS_DRIVES = sys.platform == "win32"


class Candidate(NamedTuple):
    """A file that may be added: ``given`` is what the user gave, ``record`` what the server will be sent of it."""

    given: Any
    source: Source
    record: FileRecord


class Restrictions:
    """The rules of one session."""

    def __init__(self, options: Options, hooks: Hooks) -> None:
        self._options = options
        self._hooks = hooks

    def make_room(self, sources: Sequence[Any], present: Callable[[], int]) -> None:
        """Check that there is room for these sources beside the files that are there, as many as ``present()``;
        max_files=1 makes it later.

        Raises FileRejected if there is none, after ``max_files_error_callback`` was called.
        """
        limit = self._options.max_files
        if limit is None or not sources:
            return
        count = present()
        if len(sources) <= (1 if limit == 1 else limit - count):
            return
        if self._options.max_files_error_callback is not None:
            self._options.max_files_error_callback(list(map(as_given, sources)), 0)
        raise FileRejected(shown(sources[0]), "max_files", f"max_files is {limit}, and there are {count} already")

    def examine(
        self,
        given: Any,
        relative_path: Any,
        *,
        refused: int = 0,
        unique_identifier: str | None = None,
        mime_type: str | None = None,
    ) -> Candidate:
        """Return the file as a candidate that the options allow. Its source is open only if it is a stream.

        ``refused`` of its batch were refused before, which callbacks get, as in resumable.js.

        Raises SourceError, FileRejected after the callback of the option that refuses it was called, and HookError.
        """
        path = None if relative_path is None else _posix(relative_path)
        source = make_source(given, name=_last(path) if path else None)
        try:
            whole = unescaped(path or source.name)
            name = _last(whole)
            kind = mime_type if mime_type is not None else mimetypes.guess_type(name)[0] or ""
            for option, reason, callback in self._objections(source.size, name, kind):
                if callback is not None:
                    callback(as_given(given), refused)
                raise FileRejected(whole, option, reason)
            identifier = unique_identifier
            if identifier is not None and not isinstance(identifier, str):
                raise TypeError(f"unique_identifier must be a string, got a {type(identifier).__name__}")
            if identifier is None:
                identifier = self._identify(source, whole if relative_path is None else relative_path, whole)
            if identifier is not None:
                identifier = identifiers.sendable(identifier)
        except BaseException:
            source.close()
            raise
        return Candidate(given, source, FileRecord(name, whole, source.size, kind, identifier))

    def _objections(self, size: int, name: str, kind: str) -> Iterator[tuple[str, str, Any]]:
        options = self._options
        if not _is_of_type(options.file_type, name, kind):
            allowed = ", ".join(options.file_type)
            yield "file_type", f"file_type allows {allowed}", options.file_type_error_callback
        if size < options.min_file_size:
            reason = f"it has {size} bytes, and min_file_size is {options.min_file_size}"
            yield "min_file_size", reason, options.min_file_size_error_callback
        if options.max_file_size is not None and size > options.max_file_size:
            reason = f"it has {size} bytes, and max_file_size is {options.max_file_size}"
            yield "max_file_size", reason, options.max_file_size_error_callback

    def _identify(self, source: Source, relative_path: Any, path: str) -> str | None:
        """Return the identifier, or None for one that has to be made on a worker."""
        made = self._options.generate_unique_identifier
        if made is not None and identifiers.is_slow(made):
            return None
        if self._hooks.has("generate_unique_identifier"):
            identifier, label = self._hooks.decide("generate_unique_identifier", source.path, relative_path)
            if isinstance(identifier, (str, int)) and not isinstance(identifier, bool):
                return str(identifier)
            if identifier is not None:
                # JavaScript takes integers, too; the text of bytes, or of an object, would be sent and stay.
                raise self._hooks.returned(label, type(identifier).__name__, "a string")
        if source.version:
            return identifiers.default(source.size, path, source.version)
        # Only its content tells a source without a time from another one of its name and size.
        return identifiers.without_time(source.path, path) if isinstance(source, BytesSource) else None


def as_given(source: Any) -> Any:
    """Return the source as users get it: an entry of a directory as a path, which takes as long to make as to add the
    file."""
    return Path(source) if isinstance(source, os.DirEntry) else source


def shown(given: Any) -> str:
    """Return what the user gave, as text that is not too long."""
    given = as_given(given)
    return "bytes" if isinstance(given, (bytes, bytearray, memoryview)) else str(given)


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _posix(path: Any) -> str:
    """Return the path with ``/``, without drive and root: what a server may know of where a file lies.

    If paths have no drives here, a folder may be called ``C:``, and only backslashes tell that a text begins with one.
    """
    try:
        text = PureWindowsPath(str(path)).as_posix() if isinstance(path, PureWindowsPath) else os.fsdecode(path)
    except TypeError:
        raise OptionError("relative_path", path, "a path") from None
    has_drive = _HAS_DRIVES or "\\" in text or isinstance(path, PureWindowsPath)
    text = text.replace("\\", "/")
    drive, colon, rest = text.partition(":/")
    if has_drive and colon and len(drive) == 1:
        text = rest
    return "/".join(part for part in text.split("/") if part not in ("", "."))


def _is_of_type(allowed: tuple[str, ...], name: str, kind: str) -> bool:
    """Return whether the file is of an allowed type: an extension with or without its dot, or a MIME type
    (``image/*``)."""
    if not allowed:
        return True
    lowered = name.lower()
    for item in (item.lower().replace(" ", "") for item in allowed):
        if "/" in item:
            family = item.partition("/")[0]
            if item == kind or (item.endswith("/*") and kind.startswith(f"{family}/")):
                return True
        elif lowered.endswith(item if item.startswith(".") else f".{item}"):
            return True
    return False
