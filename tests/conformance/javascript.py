"""The JavaScript of the recordings, run by a real engine, with Python objects in the place of the library's.

A recording holds functions (``headers``, ``target``, hooks) and calls (``u.files[0].pause(true)``) as source. They run
here against *handles*: JavaScript objects that ask Python for each property and each call, synchronously. Of a browser
there is what such sources use: ``File``, ``setTimeout``, ``window`` and the recorder's own ``window.H.T``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import quickjs

__all__ = ["Dispatcher", "Host", "JavaScriptError", "NativeFile", "Undefined"]

BROWSER = (Path(__file__).parent / "browser.js").read_text(encoding="utf-8")


class JavaScriptError(Exception):
    """What JavaScript threw, or a promise that it rejected."""


class Undefined:
    """JavaScript's ``undefined``, which is not ``null``."""


class NativeFile:
    """A browser's ``File``: facts that do not change, and the bytes where JavaScript made it."""

    def __init__(self, name: str, size: int, type: str, *, relative_path: str | None = None, data: bytes = b"") -> None:
        self.name = name
        self.size = size
        self.type = type
        self.relative_path = relative_path
        self.data = data


class Host(Protocol):
    """What Python tells JavaScript of the objects behind handles."""

    def read(self, subject: Any, name: str) -> Any:
        """The property of this JavaScript name, Undefined where there is none."""

    def call(self, subject: Any, name: str, arguments: Sequence[Any]) -> Any:
        """What the method of this JavaScript name returns."""

    def line(self, line: dict[str, Any]) -> None:
        """JavaScript wrote a line into the recorder's timeline."""


class Dispatcher:
    """One page. Any thread may call in; one is in at a time, and Python that JavaScript called may call in again."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._subjects: list[Any] = []
        self._lock = threading.RLock()
        self._context = quickjs.Context()
        self._context.add_callable("__python", self._asked)
        self._context.eval(BROWSER)

    def run(self, source: str, **names: Any) -> Any:
        """The value of an expression, with these names in scope; promises that it left are settled."""
        return self._apply(f"(function ({', '.join(names)}) {{ return {source}; }})", None, tuple(names.values()))

    def function(self, source: str) -> Callable[..., Any]:
        """A Python callable for the source of a JavaScript function. Its keyword ``this`` is JavaScript's.

        A promise is waited for: the callable returns what it resolves to, and raises JavaScriptError where it is
        rejected, as for anything that the function throws.
        """

        def call(*arguments: Any, this: Any = None) -> Any:
            return self._apply(f"({source})", this, arguments)

        return call

    def _apply(self, source: str, this: Any, arguments: Sequence[Any]) -> Any:
        packed = json.dumps([source, self._pack(this), [self._pack(argument) for argument in arguments]])
        with self._lock:
            started = self._context.eval(f"__start({json.dumps(packed)})")
            answer = json.loads(self._context.eval(f"__outcome({started})"))
            while "pending" in answer and (self._context.execute_pending_job() or self._context.eval("__timer()")):
                answer = json.loads(self._context.eval(f"__outcome({started})"))
            self._settle()
        if "pending" in answer:
            raise JavaScriptError("a promise that nothing will ever settle")
        if "thrown" in answer:
            raise JavaScriptError(answer["thrown"])
        return self._unpack(answer["value"])

    def _settle(self) -> None:
        while self._context.execute_pending_job() or self._context.eval("__timer()"):
            pass

    # Everything crosses as JSON, because that is what the engine takes; handles cross as their number.

    def _asked(self, question: str) -> str:
        try:
            kind, *facts = json.loads(question)
            if kind == "line":
                self._host.line(facts[0])
                value: Any = None
            elif kind == "read":
                value = self._host.read(self._subjects[facts[0]], facts[1])
            else:
                value = self._host.call(self._subjects[facts[0]], facts[1], [self._unpack(item) for item in facts[2]])
            return json.dumps({"value": self._pack(value)})
        except Exception as error:
            return json.dumps({"error": f"{type(error).__name__}: {error}"})

    def _pack(self, value: Any) -> Any:
        if value is Undefined:
            return {"$undefined": True}
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, NativeFile):
            return {"$file": {"name": value.name, "size": value.size, "type": value.type}, "path": value.relative_path}
        if isinstance(value, dict):
            return {str(name): self._pack(item) for name, item in value.items()}
        if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
            return [self._pack(item) for item in value]
        for number, subject in enumerate(self._subjects):
            if subject is value:
                return {"$handle": number}
        self._subjects.append(value)
        return {"$handle": len(self._subjects) - 1}

    def _unpack(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._unpack(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "$undefined" in value:
            return None
        if "$handle" in value:
            return self._subjects[value["$handle"]]
        if "$function" in value:
            return self._given(value["$function"])
        if "$file" in value:
            facts = value["$file"]
            return NativeFile(
                facts["name"],
                facts["size"],
                facts["type"],
                relative_path=value.get("path"),
                data=bytes(value.get("bytes", ())),
            )
        return {name: self._unpack(item) for name, item in value.items()}

    def _given(self, number: int) -> Callable[..., Any]:
        return self.function(f"__given[{number}]")
