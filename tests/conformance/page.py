"""The page of the recordings, with our client in the place of the JavaScript library.

What the recorded page did with the library (options, functions, calls, files) is done with a :class:`Resumable`, and
everything that the session tells is written down as the recorder wrote it.
"""

from __future__ import annotations

import math
import mimetypes
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import urljoin

from resumable import (
    FileRejected,
    Result,
    Resumable,
    ResumableChunk,
    ResumableError,
    ResumableFile,
    dialects,
)
from resumable.events import EVENTS
from resumable.options import OPTIONS

from .javascript import Dispatcher, NativeFile, Undefined
from .trace import Trace

__all__ = ["Page", "rounded", "snake_case"]

DIALECTS: Mapping[str, Mapping[str, Any]] = {
    "resumable": dialects.RESUMABLEJS_EXACT,
    "flow": dialects.FLOWJS_EXACT,
}

MILLISECONDS = frozenset({"xhrTimeout", "chunkRetryInterval", "progressCallbacksInterval"})
"""Options that JavaScript counts in milliseconds; ours are all in seconds."""

RENAMED = {"progressCallbacksInterval": "throttle_progress_callbacks"}
"""What flow.js calls differently."""

BROWSER_ONLY = frozenset({"withCredentials", "clearInput", "dragOverClass"})
"""Options that have no meaning outside of a browser."""

ALIASES = {
    (ResumableChunk, "startByte"): "start",
    (ResumableChunk, "endByte"): "end",
    (ResumableChunk, "fileObj"): "file",
    (ResumableFile, "name"): "file_name",
}
"""Properties whose name is not ours in camelCase."""

STATUS = {
    "pending": "pending",
    "testing": "uploading",
    "sending": "uploading",
    "backoff": "uploading",
    "stopping": "uploading",
    "done": "success",
    "failed": "error",
}
"""Our states of a chunk, and what resumable.js calls them."""


def snake_case(name: str) -> str:
    """A JavaScript name as we write it."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def rounded(value: float) -> float | int | str:
    """A number as the recorder wrote it: six digits, whole numbers whole, NaN as text."""
    if math.isnan(value):
        return "NaN"
    digits = round(float(value), 6)
    return int(digits) if digits.is_integer() else digits


@contextmanager
def _types(types: Mapping[str, str]) -> Iterator[None]:
    """File names with these endings are of these types, for as long as the block lasts."""
    for suffix, type in types.items():
        mimetypes.add_type(type, suffix)
    try:
        yield
    finally:
        mimetypes.init()


class Page:
    """One page: its files on disk, its uploaders one after the other, and the lines that it writes."""

    def __init__(self, trace: Trace, origin: str, folder: Path, write: Callable[[dict[str, Any]], None]) -> None:
        self.sessions: list[Resumable] = []
        self.paths: list[Path] = []
        self.files: dict[Path, ResumableFile] = {}
        self._trace = trace
        self._origin = origin
        self._folder = folder
        self._write = write
        self._natives: dict[Path, NativeFile] = {}
        self._finished: set[Any] = set()
        self._dispatcher = Dispatcher(self)
        for index, (facts, data) in enumerate(trace.expected_contents()):
            relative = facts.get("relative_path")
            path = self._folder / "dropped" / relative if relative else self._folder / str(index) / facts["name"]
            self._store(path, data, facts["type"] or "application/octet-stream", relative)
            self.paths.append(path)

    @property
    def session(self) -> Resumable:
        """The uploader ``u``: the newest."""
        return self.sessions[-1]

    # -- what the driver does ------------------------------------------------------------------------------------

    def open(self) -> None:
        """There is a new uploader."""
        session = Resumable(**self.options(), deliver="manual")
        session.on("catch_all", lambda event, *arguments: self._event(session, event, arguments))
        for event, function in self._trace.data.get("hooks", {}).items():
            session.on(event, self._hook(session, function))
        self.sessions.append(session)

    def add(self, indexes: Iterable[int]) -> None:
        """The files of these indexes are added in one go."""
        self._add([self.paths[index] for index in indexes])

    def drop(self, indexes: Iterable[int]) -> None:
        """The directories of the files of these indexes are added, each in one go."""
        dropped = self._folder / "dropped"
        tops = dict.fromkeys(self.paths[index].relative_to(dropped).parts[0] for index in indexes)
        with _types({path.suffix.lower(): self._natives[path].type for path in self.paths}):
            for top in tops:
                self.session.add_directory(dropped / top)

    def evaluate(self, source: str) -> None:
        """JavaScript on the uploader ``u``."""
        self._dispatcher.run(source, u=self.session)

    def drain(self) -> int:
        """How many notices were delivered: all that wait, those that handlers caused as well."""
        total = 0
        while delivered := sum(session.process_events() for session in self.sessions):
            total += delivered
        return total

    def close(self) -> None:
        """Nothing is left running."""
        for session in self.sessions:
            session.close()

    # -- options -------------------------------------------------------------------------------------------------

    def options(self) -> dict[str, Any]:
        """What our constructor gets: the preset of the dialect, and over it what the recorded constructor was given."""
        ours = {row.js_name: row.name for row in OPTIONS.values() if row.js_name} | RENAMED
        given = dict(DIALECTS[self._trace.kind])
        for js_name, value in self._trace.options.items():
            if js_name in BROWSER_ONLY or value is None or (js_name, value) == ("testTarget", "/"):
                continue
            name = ours[js_name]
            if js_name in MILLISECONDS:
                value = value / 1000
            given[name] = self._value(js_name, value)
        given.setdefault("target", self._origin + "/")
        if "timeout" in given:
            # In JavaScript the limit is the same for every request; ours has one of its own for the last chunk.
            # What answers does so in time, however busy the machine, and the rest never.
            longer = max(given["timeout"], 3.0) if given["timeout"] else None
            given["timeout"] = given["final_chunk_timeout"] = longer
        return given

    def _value(self, js_name: str, value: Any) -> Any:
        if value == "$record":
            return self._recording(js_name)
        if isinstance(value, dict) and "$js" in value:
            return self._function(js_name, value["$js"])
        if js_name in ("target", "testTarget"):
            return urljoin(self._origin, value)
        return value

    def _function(self, js_name: str, source: str) -> Callable[..., Any]:
        function = self._dispatcher.function(source)

        def target(*arguments: Any) -> Any:
            return urljoin(self._origin, function(*map(self._to_javascript, arguments)))

        def preprocess(subject: Any) -> None:
            function(subject)
            if self._identity(subject) not in self._finished:
                raise RuntimeError(f"{js_name} did not call preprocessFinished()")
            self._finished.discard(self._identity(subject))

        def other(*arguments: Any) -> Any:
            return function(*map(self._to_javascript, arguments))

        def identify(path: Any, relative_path: str) -> Any:
            return function(self._to_javascript(path), Undefined)

        return {
            "target": target,
            "testTarget": target,
            "preprocess": preprocess,
            "preprocessFile": preprocess,
            "generateUniqueIdentifier": identify,
        }.get(js_name, other)

    def _hook(self, session: Resumable, function: Mapping[str, str]) -> Callable[..., Any]:
        run = self._dispatcher.function(function["$js"])
        return lambda *arguments: run(*map(self._to_javascript, arguments), this=session)

    # -- what JavaScript asks ------------------------------------------------------------------------------------

    def read(self, subject: Any, name: str) -> Any:
        """See :class:`Host`."""
        if isinstance(subject, ResumableFile) and name == "file":
            return self._native_of(subject)
        value = getattr(subject, self._named(subject, name), Undefined)
        return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value

    def call(self, subject: Any, name: str, arguments: Sequence[Any]) -> Any:
        """See :class:`Host`."""
        if name == "preprocessFinished":
            self._finished.add(self._identity(subject))
            return None
        if name in ("addFile", "addFiles"):
            files = arguments[0] if name == "addFiles" else arguments[:1]
            self._add([self._path_of(file) for file in files])
            return None
        member = getattr(subject, self._named(subject, name))
        return member(*arguments) if callable(member) else member

    def line(self, line: dict[str, Any]) -> None:
        """See :class:`Host`."""
        self._write(line)

    @staticmethod
    def _named(subject: Any, name: str) -> str:
        return ALIASES.get((type(subject), name), snake_case(name))

    @staticmethod
    def _identity(subject: Any) -> Any:
        if isinstance(subject, ResumableChunk):
            return subject.file.unique_identifier, subject.index
        return subject.unique_identifier

    # -- files ---------------------------------------------------------------------------------------------------

    def _store(self, path: Path, data: bytes, type: str, relative_path: str | None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self._natives[path] = NativeFile(path.name, len(data), type, relative_path=relative_path)

    def _path_of(self, native: NativeFile) -> Path:
        for path, known in self._natives.items():
            if known is native:
                return path
        path = self._folder / f"made-{len(self._natives)}" / native.name
        self._store(path, native.data, native.type or "application/octet-stream", native.relative_path)
        return path

    def _add(self, paths: Sequence[Path]) -> None:
        natives = [self._natives[path] for path in paths]
        types = {path.suffix.lower(): native.type for path, native in zip(paths, natives, strict=True)}
        sources = [(path, native.relative_path) for path, native in zip(paths, natives, strict=True)]
        try:
            if len(paths) == 1 and not paths[0].suffix:
                # A browser gives every file a type; ours is guessed from the ending, or given for a single file.
                self.session.add_file(paths[0], relative_path=natives[0].relative_path, mime_type=natives[0].type)
            else:
                with _types(types):
                    self.session.add_files(sources)
        except ResumableError as error:
            self._write({"raised": type(error).__name__})

    def _native_of(self, file: ResumableFile) -> NativeFile:
        return self._natives[Path(file.path)]

    # -- what is written down ------------------------------------------------------------------------------------

    def _event(self, session: Resumable, event: str, arguments: Sequence[Any]) -> None:
        row = EVENTS[event]
        if row.js_name is None:
            return
        line: dict[str, Any] = {"event": row.js_name, "args": [self._plain(argument) for argument in arguments]}
        if row.name == "file_added":
            self.files[Path(arguments[0].path)] = arguments[0]
        if row.name in ("file_added", "chunking_complete"):
            line["chunks"] = [[chunk.number, chunk.start, chunk.end] for chunk in arguments[0].chunks]
        if row.name == "file_progress":
            line |= {"fileProgress": rounded(arguments[0].progress()), "totalProgress": rounded(session.progress())}
        self._write(line)

    def _recording(self, js_name: str) -> Callable[..., None]:
        def record(*arguments: Any) -> None:
            self._write({"callback": js_name, "args": [self._plain(argument) for argument in arguments]})

        return record

    def _plain(self, value: Any) -> Any:
        """An argument as the recorder wrote it."""
        if value is None:
            return {"$undefined": True}
        if isinstance(value, ResumableFile):
            return {"$file": value.unique_identifier}
        if isinstance(value, ResumableChunk):
            return {"$chunk": value.number, "$of": value.file.unique_identifier}
        if isinstance(value, (bool, str)):
            return value
        if isinstance(value, (int, float)):
            return rounded(value)
        if isinstance(value, PurePath):
            return {"$native": value.name}
        if isinstance(value, FileRejected):
            return {"$native": PurePath(value.source).name}
        if isinstance(value, Result):
            return {"$result": {name: self._plain(files) for name, files in value._asdict().items()}}
        if isinstance(value, Sequence):
            return [self._plain(item) for item in value]
        return {"$other": type(value).__name__}

    def _to_javascript(self, value: Any) -> Any:
        if isinstance(value, Path):
            return self._natives.get(value, value)
        if isinstance(value, Sequence) and not isinstance(value, str):
            return [self._to_javascript(item) for item in value]
        return value
