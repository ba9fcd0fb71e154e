"""Borrow, watch and read connections: all that depends on private parts of urllib3 and http.client.

Nothing here is needed for a request to succeed. Each part is tried when the program runs: the readers of answers once,
on a made-up answer, and a watched connection by its :class:`RequestControl`, which knows whether it saw the request
begin. If one does not work, requests goes its usual way, and only the exact count of bytes and the way to stop a
request that hangs are missing.

A connection is watched from when a pool lends it until it is given back, whoever opened it. Nothing is left behind on a
pool or a connection, and other threads that use them at the same time are not disturbed.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import io
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from .control import RequestControl
from .idle_connections import put_widest_first
from .packet_pacing import spread_packets
from .response import (
    PromptStream,
    content_length,
    message,
    parse_fields,
    read_head,
)

__all__ = ["FastResponse", "StrictResponse", "borrow", "can_read", "give_back", "reads_at_once", "watched"]

_MOST_INTERIM = 100
_MOST_KINDS = 64
_OF_CONNECTIONS = ("getresponse", "putrequest", "request", "send")
_OF_SOCKETS = ("gettimeout", "send", "settimeout")
_PLAIN = frozenset({"http.client", "urllib3.connection"})
_RESPONSE = http.client.HTTPResponse

_current = threading.local()
_lock = threading.Lock()


class StrictResponse(http.client.HTTPResponse):
    """The final response with a complete head. Raises NetworkFailure if the head ends too early.

    http.client takes the end of the connection for the end of the head, so that a server which dies behind
    ``HTTP/1.1 200 OK`` would have said yes; and it takes 102 and 103 for final, so that the answer to this request
    would be read as that to the next one. It has the head read by the parser of e-mail, too, which takes as long as
    all the rest of a small request.
    """

    def __init__(self, sock: Any, *arguments: Any, **options: Any) -> None:
        self._patience: float | None = sock.gettimeout() if hasattr(sock, "gettimeout") else None
        super().__init__(sock, *arguments, **options)

    def begin(self) -> None:
        """Read the head; the body follows. See http.client.

        The timeout of the socket limits the wait for its first byte, and again that for the rest of it.
        """
        stream = self.fp
        try:
            self._begin(stream)
        finally:
            if self.fp is not None:
                self.fp = stream

    def _begin(self, stream: Any) -> None:
        for _ in range(_MOST_INTERIM):
            # Mostly the whole head comes at once, and then there is nothing to wait for.
            whole = b"\r\n\r\n" in stream.peek(1)
            self.fp = stream if whole else PromptStream(stream, self._patience)  # type: ignore[assignment]
            version, status, reason = self._read_status()  # type: ignore[attr-defined]
            lines = read_head(self.fp)
            if not 100 <= status < 200 or status == http.client.SWITCHING_PROTOCOLS:
                break
        else:
            raise http.client.HTTPException(f"the server sent {_MOST_INTERIM} interim answers and no final one")
        if not version.startswith("HTTP/1."):
            raise http.client.UnknownProtocol(version)
        self.code = self.status = status
        self.reason = reason.strip()
        self.version = 10 if version == "HTTP/1.0" else 11
        self.headers = self.msg = fields = self._fields(lines)
        self.chunked = fields.get("transfer-encoding", "").lower().rpartition(",")[2].strip() == "chunked"
        self.chunk_left = None
        self.will_close = self._check_close()  # type: ignore[attr-defined]
        self.length = None if self.chunked else content_length(fields.get("content-length", ""))
        if status in (http.client.NO_CONTENT, http.client.NOT_MODIFIED) or self._method == "HEAD":  # type: ignore[attr-defined]
            # Whatever its head says, there is no body to wait for.
            self.chunked = False
            self.length = 0
            if "transfer-encoding" in fields:
                del fields["transfer-encoding"]
        if not self.chunked and self.length is None:
            self.will_close = True

    def _fields(self, lines: list[str]) -> Any:
        return message(lines)


class FastResponse(StrictResponse):
    """One whose ``headers`` are a plain dictionary with names in lower case; those of the library take as long to make
    as all the rest of a small answer. ``cookies`` are the lines that set one."""

    headers: Any
    cookies: list[str]

    def _fields(self, lines: list[str]) -> dict[str, str]:
        fields, self.cookies = parse_fields(lines)
        return fields


class _Canned:
    """A socket to which one answer has come."""

    def gettimeout(self) -> float | None:
        return None

    def makefile(self, _mode: str) -> io.BufferedReader:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=b\r\n\r\nok"
        return io.BufferedReader(io.BytesIO(answer))


@functools.cache
def can_read() -> bool:
    """Return whether the classes of responses here work with the http.client of this Python."""
    try:
        return all(_reads(kind) for kind in (StrictResponse, FastResponse))
    except Exception:
        return False


def _reads(kind: type[StrictResponse]) -> bool:
    response = kind(_Canned(), method="POST")
    response.begin()
    facts = response.status, response.headers["content-length"], response.will_close, response.read1(3)
    response.close()
    return facts == (200, "2", False, b"ok")


def reads_at_once(raw: Any) -> bool:
    """Return whether ``read1`` of urllib3's response gives what has come. It has to exist, and nothing that wants to
    see what is read, as a cache does, may be in between."""
    return hasattr(raw, "read1") and isinstance(getattr(raw, "_fp", None), StrictResponse)


# -- connections that are watched ------------------------------------------------------------------------------------


class _Loan:
    """The connections that a pool lends to one thread for one request: ``lent`` are those that it got, ``kept`` those
    that came back already. A log-in of several steps gets the same connection again."""

    def __init__(self, pool: Any, control: RequestControl, method: str, path: str) -> None:
        self.pool = pool
        self.control = control
        self._method = method
        self._path = unquote(path)
        self.lent: list[Any] = []
        self.kept: list[Any] = []

    def is_for(self, method: str, url: str) -> bool:
        return method == self._method and unquote(url).endswith(self._path)

    def take(self) -> Any:
        """Return a connection that came back, if one did. One that the server closed meanwhile will open again."""
        if not self.kept:
            return None
        connection = self.kept.pop()
        if not getattr(connection, "is_connected", True):
            connection.close()
        return connection

    def attach(self, connection: Any) -> None:
        kind = _watched_kind(type(connection))  # type: ignore[arg-type]
        if kind is not None:
            connection._resumable_loan = self
            connection.__class__ = kind
            self.lent.append(connection)


class _Watched:
    """A connection that writes through the control of the request that it was lent for."""

    sock: Any
    _resumable_loan: _Loan

    def connect(self) -> None:
        # Before, because a proxy is asked for a tunnel meanwhile.
        self._resumable_loan.control.opened()
        super().connect()  # type: ignore[misc]
        spread_packets(self.sock)

    def putrequest(self, method: str, url: str, *arguments: Any, **options: Any) -> None:
        loan = self._resumable_loan
        if loan.is_for(method, url):
            # Adapters, and auth that answers a challenge, send a request more than once.
            loan.control.rewind()
            super().putrequest(method, url, *arguments, **options)  # type: ignore[misc]
        else:
            # A hook, or auth that renews a token, has something of its own to send.
            _let_go(self)
            self.putrequest(method, url, *arguments, **options)

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        if all(hasattr(self.sock, name) for name in _OF_SOCKETS):
            self._resumable_loan.control.write(self.sock, data)
        else:
            super().send(data)  # type: ignore[misc]

    def getresponse(self, *arguments: Any, **options: Any) -> Any:
        control = self._resumable_loan.control
        response = super().getresponse(*arguments, **options)  # type: ignore[misc]
        control.answered()
        return response


class _Lending:
    """A pool whose connections are watched while they are lent to a thread that asked for it."""

    _resumable_users: int


def _loan_of(pool: Any) -> _Loan | None:
    loan: _Loan | None = getattr(_current, "loan", None)
    return loan if loan is not None and loan.pool is pool else None


def _let_go(connection: Any) -> None:
    if isinstance(connection, _Watched):
        connection.__class__ = type(connection).__bases__[1]
        del connection._resumable_loan


@functools.lru_cache(_MOST_KINDS)
def _watched_kind(kind: Any) -> Any:
    """Make the class of watched connections from this one, or None if it does more than urllib3's own, as those of
    plugins and recorders of requests do."""
    for name in _OF_CONNECTIONS:
        if getattr(getattr(kind, name, None), "__module__", None) not in _PLAIN:
            return None
    reader = {"response_class": StrictResponse} if can_read() and kind.response_class is _RESPONSE else {}
    return type(kind.__name__, (_Watched, kind), reader)


@functools.lru_cache(_MOST_KINDS)
def _lending_kind(kind: Any) -> Any:
    if not (hasattr(kind, "_get_conn") and hasattr(kind, "_put_conn")):
        return None

    # The pool may get its own class back while another thread is in one of these, so that super() would not do.
    def get(pool: Any, *arguments: Any, **options: Any) -> Any:
        loan = _loan_of(pool)
        if loan is None:
            return kind._get_conn(pool, *arguments, **options)
        connection = loan.take() or kind._get_conn(pool, *arguments, **options)
        loan.attach(connection)
        return connection

    def put(pool: Any, connection: Any) -> None:
        _let_go(connection)
        loan = _loan_of(pool)
        if loan is not None and any(connection is lent for lent in loan.lent):
            loan.kept.append(connection)
        else:
            kind._put_conn(pool, connection)

    return type(kind.__name__, (_Lending, kind), {"_get_conn": get, "_put_conn": put})


@contextlib.contextmanager
def watched(pool: Any, control: RequestControl, method: str, path: str) -> Iterator[bool]:
    """Have the connections that this thread borrows from the pool in this block write the request through the control.

    Gives whether the pool can do so: one that is not urllib3's, or None, cannot.
    """
    if not _begin_lending(pool):
        yield False
        return
    _current.loan = loan = _Loan(pool, control, method, path)
    try:
        yield True
    finally:
        _current.loan = None
        for connection in loan.lent:
            # It usually came back, and another thread may have it by now.
            if getattr(connection, "_resumable_loan", None) is loan:
                _let_go(connection)
        for connection in loan.kept:
            if control.early:
                # The server may take the rest of the chunk for the next request.
                connection.close()
            pool._put_conn(connection)
        _end_lending(pool)


def _begin_lending(pool: Any) -> bool:
    with _lock:
        if isinstance(pool, _Lending):
            pool._resumable_users += 1
            return True
        kind = _lending_kind(type(pool))  # type: ignore[arg-type]
        if kind is None:
            return False
        try:
            pool._resumable_users = 1
            pool.__class__ = kind
        except (AttributeError, TypeError):
            return False
        return True


def _end_lending(pool: Any) -> None:
    with _lock:
        pool._resumable_users -= 1
        if pool._resumable_users == 0:
            pool.__class__ = type(pool).__bases__[1]
            del pool._resumable_users


# -- connections for the fast path ------------------------------------------------------------------------------------


def borrow(pool: Any, control: RequestControl, timeout: float | None) -> Any:
    """Return a connection of the pool that is open, or None if the pool lends none that can be written to directly.
    The control learns whether it was opened now.

    Raises what urllib3 raises if the connection cannot be opened in ``timeout`` seconds.
    """
    try:
        put_widest_first(pool)
        connection = pool._get_conn()
    except (AttributeError, TypeError):
        return None
    if _watched_kind(type(connection)) is None:  # type: ignore[arg-type]
        pool._put_conn(connection)
        return None
    try:
        if connection.sock is None:
            connection.timeout = timeout
            pool._validate_conn(connection)
            if connection.sock is None:
                connection.connect()
            spread_packets(connection.sock)  # type: ignore[arg-type]  # it is open by now
            control.opened()
    except BaseException:
        connection.close()
        pool._put_conn(None)
        raise
    return connection


def give_back(pool: Any, connection: Any, *, keep: bool) -> None:
    """Give a borrowed connection back to its pool, which closes it unless it can be used again."""
    if not keep:
        connection.close()
    pool._put_conn(connection if keep else None)
