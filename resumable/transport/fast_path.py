"""The fast path to the network, for a Session that the user has not touched.

Half of the time of a small request is spent on what a plain upload does not need: merging settings, cookies, hooks,
redirects, retries, two more response objects. If none of that matters, the request is written here, to a connection
that the Session's own pool of urllib3 lends, and the answer is read by ``http.client``. TLS, addresses and keeping
connections alive are still theirs.

It is not used if the user gave a Session, if there is a proxy, once a server has set a cookie, or if the pool lends no
connection that can be written to (see ``connections``): then ``http`` does all that is asked.
"""

from __future__ import annotations

import http.client
import re
import socket
import zlib
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from .base import NetworkFailure, Reply, Request
from .connections import FastResponse, borrow, give_back
from .control import RequestControl, set_timeout
from .idle_connections import close_idle
from .response import AT_ONCE, BegunAnswer, ReadAnswer, message, parse_whole, read_reply

__all__ = ["FastPath", "refuse_unsendable"]

_NO_ROOM = 2.0
"""Seconds without an answer on a new connection after which the server may wait for others to end."""

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_QUERY = re.compile(r"[%!$&'()*+,;=:@/?\-._~\[\]0-9A-Za-z]*")
_UNUSABLE = re.compile(r"[\r\n\0]|[^\x00-\xff]")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_OURS = frozenset({"accept-encoding", "content-length", "transfer-encoding"})
_COMPRESSED = frozenset({"gzip", "x-gzip", "deflate"})
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


class FastPath:
    """Sends the requests of one method to one URL, whatever its query. ``headers`` are what all of them carry;
    ``keep_cookies(url, message)`` is called with an answer that sets some."""

    def __init__(
        self,
        pool: Any,
        method: str,
        url: str,
        headers: Mapping[str, str],
        keep_cookies: Callable[[str, Any], None],
    ) -> None:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2].removesuffix(_DEFAULT_PORTS[parts.scheme])
        self._pool = pool
        self._method = method
        self._keep_cookies = keep_cookies
        self._path = parts.path or "/"
        self._headers = {"Host": host, **headers, "Accept-Encoding": "identity"}
        self._headers.pop("Content-Length", None)
        self._blocks: dict[tuple[tuple[str, str], ...], str] = {}

    def send(self, request: Request, query: str, control: RequestControl) -> Reply | None:
        """Send the request and return the answer, or None if this way is closed, and nothing was sent.

        Raises what the socket and http.client raise.
        """
        connection = borrow(self._pool, control, request.timeout[0])
        if connection is None:
            return None
        keep = False
        try:
            broken = self._write(connection.sock, request, query, control)
            reply, cookies, closes = self._read(connection.sock, request, broken, control)
            # One that answered without reading may take the rest of the chunk for the next request.
            keep = not closes and broken is None and not control.early
            if cookies:
                self._keep_cookies(request.url, message(cookies))
            return reply
        finally:
            give_back(self._pool, connection, keep=keep)

    def _write(self, connection: Any, request: Request, query: str, control: RequestControl) -> OSError | None:
        """Write the request. Return what broke the connection, if it did: the server may have said why before."""
        try:
            pieces = iter(() if request.body is None else request.body)
            control.begin(connection, self._head(request, query), next(pieces, b""))
            for piece in pieces:
                control.write(connection, piece)
        except (BrokenPipeError, ConnectionResetError) as error:
            return error
        return None

    def _read(
        self, sock: socket.socket, request: Request, broken: OSError | None, control: RequestControl
    ) -> ReadAnswer:
        """Read the answer. What ``broken`` the connection is raised if there is none."""
        response = None
        try:
            try:
                received = self._first(sock, request.timeout[1], fresh=control.fresh)
                answer = parse_whole(received)
                if answer is not None:
                    control.answered()
                    return answer
                response = FastResponse(BegunAnswer(sock, received), method=request.method)
                response.begin()
                control.answered()
            except (OSError, http.client.HTTPException) as error:
                raise broken or error from None
            body = _Body(response)
            reply = read_reply(body, response.headers, response.status, request.timeout[1])
            return ReadAnswer(reply, response.cookies, not body.whole or response.will_close)
        finally:
            if response is not None:
                response.close()

    def _first(self, sock: socket.socket, timeout: float | None, *, fresh: bool) -> bytes:
        """Return the first bytes of the answer. A server that takes few connections at a time looks at a new one when
        another ends, so if it says nothing to that, those are closed that nobody uses."""
        left = timeout
        while fresh and (left is None or left > _NO_ROOM):
            set_timeout(sock, _NO_ROOM)
            try:
                received = sock.recv(AT_ONCE)
                break
            except TimeoutError:
                close_idle(self._pool)
            left = None if left is None else left - _NO_ROOM
        else:
            set_timeout(sock, left)
            received = sock.recv(AT_ONCE)
        set_timeout(sock, timeout)
        return received

    def _head(self, request: Request, query: str) -> bytes:
        target = self._path
        if query:
            if not _QUERY.fullmatch(query):
                query = quote(query, safe="%!$&'()*+,;=:@/?-._~[]")
            target = f"{target}?{query}"
        length = ""
        if request.body is not None:
            length = f"Content-Length: {len(request.body)}\r\n"
        elif self._method in _WITH_BODY:
            length = "Content-Length: 0\r\n"
        return f"{self._method} {target} HTTP/1.1\r\n{self._block(request.headers)}{length}\r\n".encode("latin-1")

    def _block(self, headers: Mapping[str, str]) -> str:
        key = tuple(headers.items())
        block = self._blocks.get(key)
        if block is None:
            merged = {name.lower(): (name, value) for name, value in self._headers.items()}
            # Users cannot set what frames or encodes a message: it would be wrong, or not be understood here.
            merged.update((name.lower(), (name, value)) for name, value in key if name.lower() not in _OURS)
            refuse_unsendable(dict(merged.values()))
            block = "".join(f"{name}: {value}\r\n" for name, value in merged.values())
            if len(self._blocks) >= 64:
                self._blocks.clear()
            self._blocks[key] = block
        return block


def refuse_unsendable(headers: Mapping[str, str]) -> None:
    """Raise NetworkFailure if a header would end another, or has characters that no header may have.

    Its value is not shown, because it may be secret.
    """
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or _UNUSABLE.search(value):
            raise NetworkFailure(f"the header {name!r} cannot be sent: it is not plain text in Latin-1", permanent=True)


class _Body:
    """The body of an answer; ``whole`` once it has been read to its end."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        # There are servers that compress whatever they were asked for.
        coding = response.headers.get("content-encoding", "").lower()
        self._decoder = zlib.decompressobj(_GZIP_OR_ZLIB) if coding in _COMPRESSED else None
        self._compressed = b""
        self._begun = False
        self.whole = False

    def read1(self, size: int) -> bytes:
        """Read some of it, or nothing at its end. Raises IncompleteRead if it ends too early."""
        while piece := self._compressed or self._response.read1(size):
            self._begun = True
            if self._decoder is None:
                return piece
            try:
                piece = self._decoder.decompress(piece, size)
            except zlib.error:
                raise http.client.HTTPException("the server's answer is not compressed as it says") from None
            self._compressed = self._decoder.unconsumed_tail
            if piece:
                return piece
        if self._response.length or (self._begun and self._decoder is not None and not self._decoder.eof):
            raise http.client.IncompleteRead(b"", self._response.length)
        self._response.close()
        self.whole = True
        return b""

    def close(self) -> None:
        """Leave the rest unread, so that the connection cannot be used again."""
        self._response.close()
