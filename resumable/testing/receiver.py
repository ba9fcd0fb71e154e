"""A receiver for tests of clients: it runs in the process of the test, and fails when it is told to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl

from ..receiver import FileStore, Receiver, Refusal, Request, Response, Server

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["LiveReceiver", "ReceivedRequest"]

_TESTS = ("GET", "HEAD")


class ReceivedRequest(NamedTuple):
    """A request that came. ``number`` is that of its chunk if the query says it, else None; ``status`` is what was
    answered, None if the connection was dropped."""

    method: str
    number: int | None
    status: int | None


@dataclass
class _Fault:
    """What happens to the next requests, so many, or to all if ``left`` is None."""

    act: Callable[[Request, Callable[[], Response]], Response | None]
    left: int | None
    of: str
    chunk: int | None

    def takes(self, method: str, number: int | None) -> bool:
        """Return whether the request is one that this fault is for, and count it."""
        kind = "tests" if method in _TESTS else "uploads"
        if self.left == 0 or self.of not in (kind, "all") or self.chunk not in (None, number):
            return False
        if self.left is not None:
            self.left -= 1
        return True


class LiveReceiver:
    """A receiver on a free port of this machine that puts files into ``directory``. ``options`` are those of
    :class:`~resumable.receiver.Receiver`.

    Faults happen to the requests that come after they were asked for: ``times`` of them, or all of them if it is None,
    until :meth:`heal`. ``of`` says to which: ``"uploads"``, ``"tests"`` or ``"all"``; ``chunk`` is the number of the
    chunk that they are about, as the query of the request says it. The first fault that fits a request is the one that
    it gets. Any thread may ask for faults, also while requests run. Raises ValueError for what is not possible.
    """

    def __init__(self, directory: str | Path, **options: Any) -> None:
        self.directory = directory = Path(directory)
        self._url: str | None = None
        self._faults: list[_Fault] = []
        self._requests: list[ReceivedRequest] = []
        self._token: str | None = None
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._server = Server(_Faulty(self, FileStore(directory, fsync="never"), **options))

    def start(self) -> Self:
        """Start to accept connections. Raises ImportError if a package that it needs is not installed."""
        self._server.start()
        self._url = self._server.url
        return self

    def stop(self) -> None:
        """Stop. Requests that are slow are answered at once."""
        self._stopping.set()
        self._server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it takes uploads, or took them before it stopped. Raises StateError if it was never started."""
        return self._url or self._server.url

    @property
    def files(self) -> dict[str, bytes]:
        """The bytes of all files that are finished, by their paths in the directory."""
        paths = [path for path in sorted(self.directory.rglob("*")) if path.is_file()]
        named = {path.relative_to(self.directory).as_posix(): path for path in paths}
        return {name: path.read_bytes() for name, path in named.items() if not name.startswith(".resumable/")}

    @property
    def requests(self) -> list[ReceivedRequest]:
        """The requests that were answered or dropped, in this order."""
        with self._lock:
            return list(self._requests)

    def refuse(
        self,
        status: int = 503,
        *,
        times: int | None = 1,
        of: str = "uploads",
        chunk: int | None = None,
        retry_after: int | None = None,
    ) -> None:
        """Answer with this status, and with ``Retry-After`` if that is given, in seconds. Nothing is stored."""
        if not _is_whole(status, 200) or status > 599:
            raise ValueError(f"status must be a whole number from 200 to 599, got {status!r}")
        if retry_after is not None and not _is_whole(retry_after, 0):
            raise ValueError(f"retry_after must be a whole number of seconds or None, got {retry_after!r}")
        headers = (("Retry-After", str(retry_after)),) if retry_after is not None else ()
        refusal = Refusal(status, "Refused, because the test asks for it.", *headers)
        receiver = self._server.receiver
        self._add(lambda request, answer: receiver.refuse(request, refusal), times, of, chunk)

    def drop(
        self, *, times: int | None = 1, of: str = "uploads", chunk: int | None = None, stored: bool = False
    ) -> None:
        """Close the connection without an answer. With ``stored`` the request is handled before: its answer is lost."""

        def act(request: Request, answer: Callable[[], Response]) -> None:
            if stored:
                answer()
            request.environ["wsgi.input"].abort()

        self._add(act, times, of, chunk)

    def slow(self, seconds: float, *, times: int | None = None, of: str = "all", chunk: int | None = None) -> None:
        """Wait before the request is handled."""
        if not _is_number(seconds) or not 0 <= seconds <= threading.TIMEOUT_MAX:
            raise ValueError(f"seconds must be a number of seconds, got {seconds!r}")

        def act(request: Request, answer: Callable[[], Response]) -> Response:
            self._stopping.wait(seconds)
            return answer()

        self._add(act, times, of, chunk)

    def require_token(self, token: str | None) -> None:
        """From now on answer 401 unless a request has ``Authorization: Bearer`` with this token; None wants none."""
        with self._lock:
            self._token = token

    def heal(self) -> None:
        """End all faults, and want no token."""
        with self._lock:
            self._faults.clear()
            self._token = None

    def _add(self, act: Callable[..., Response | None], times: int | None, of: str, chunk: int | None) -> None:
        if of not in ("uploads", "tests", "all"):
            raise ValueError(f"of must be 'uploads', 'tests' or 'all', got {of!r}")
        for name, number in (("times", times), ("chunk", chunk)):
            if number is not None and not _is_whole(number, 1):
                raise ValueError(f"{name} must be a whole number, 1 or more, or None; got {number!r}")
        with self._lock:
            self._faults.append(_Fault(act, times, of, chunk))

    def _handle(self, request: Request, answer: Callable[[], Response]) -> Response:
        """Answer a request, or do what was asked for instead."""
        number = _number(
            request, self._server.receiver.names.namespace + (self._server.receiver.names.chunk_number or "")
        )
        with self._lock:
            admitted = self._token is None or request.headers.get("authorization") == f"Bearer {self._token}"
            fault = next((fault for fault in self._faults if fault.takes(request.method, number)), None)
        if not admitted:
            refusal = Refusal(401, "The token is missing or wrong.", ("WWW-Authenticate", "Bearer"))
            response: Response | None = self._server.receiver.refuse(request, refusal)
        else:
            response = answer() if fault is None else fault.act(request, answer)
        with self._lock:
            self._requests.append(
                ReceivedRequest(request.method, number, None if response is None else response.status)
            )
        return response or Response(500)


class _Faulty(Receiver):
    """A receiver that lets its owner answer first."""

    def __init__(self, owner: LiveReceiver, store: FileStore, **options: Any) -> None:
        super().__init__(store, **options)
        self._owner = owner

    def handle(self, request: Request) -> Response:
        """Answer the request."""
        return self._owner._handle(request, lambda: super(_Faulty, self).handle(request))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float))


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and value >= least


def _number(request: Request, name: str) -> int | None:
    """Return the number of the chunk, as the query says it."""
    said = dict(parse_qsl(request.query)).get(name, "")
    return int(said) if said.isascii() and said.isdigit() else None
