"""A real HTTP/1.1 server on loopback that answers nothing by itself: somebody else decides when and how.

Connections live on a thread of their own and are kept alive. Every request that has arrived in full, and every client
that has gone away before its answer, is put into ``inbox``; whoever reads the inbox calls ``answer`` or ``cut``.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import threading
from dataclasses import dataclass, field
from http import HTTPStatus
from queue import SimpleQueue
from typing import Any
from urllib.parse import unquote

__all__ = ["Arrived", "Broken", "Exchange", "Gone", "Said", "ScriptedServer"]

START = 10.0
"""Seconds that the server's thread may take to begin and to end."""

_QUOTED = {"name": re.compile(r'; name="([^"]*)"'), "filename": re.compile(r'; filename="([^"]*)"')}
_BOUNDARY = re.compile(r'boundary="?([^";]+)"?')

_OF_EVERY_CLIENT = frozenset({"host", "user-agent", "accept-encoding", "connection", "content-length", "content-type"})
"""Headers that a browser or an HTTP library adds by itself; recordings leave them out as well."""


@dataclass(eq=False)
class Exchange:
    """A request on the wire. ``request`` has the form of the recordings, ``chunk`` the bytes of the chunk in it."""

    request: dict[str, Any]
    chunk: bytes | None
    loop: asyncio.AbstractEventLoop
    decision: asyncio.Future[tuple[bytes, bool]] = field(repr=False)

    def answer(self, status: int, body: str) -> None:
        """The client gets this answer, and the connection is kept."""
        payload = b"" if status in (204, 304) else body.encode("utf-8")
        head = [f"HTTP/1.1 {status} {_reason(status)}", "Content-Type: text/plain; charset=utf-8"]
        if status not in (204, 304):
            head.append(f"Content-Length: {len(payload)}")
        self._decide("\r\n".join([*head, "", ""]).encode("ascii") + payload)

    def cut(self) -> None:
        """The client gets the beginning of an answer, and the connection is destroyed.

        Without a byte of it a client may take a connection that was kept alive for one that had ended before the
        request, and is free to send that once more by itself.
        """
        self._decide(b"HTTP/1.", last=True)

    def _decide(self, response: bytes, *, last: bool = False) -> None:
        def decide() -> None:
            if not self.decision.done():
                self.decision.set_result((response, last))

        self.loop.call_soon_threadsafe(decide)


@dataclass(frozen=True)
class Arrived:
    """A request is here."""

    exchange: Exchange


@dataclass(frozen=True)
class Gone:
    """The client has closed the connection before it got an answer."""

    exchange: Exchange


@dataclass(frozen=True)
class Said:
    """A line that another thread than the driver's wants written into the timeline."""

    line: dict[str, Any]


@dataclass(frozen=True)
class Broken:
    """The client sent something that is no HTTP or no form."""

    error: Exception


class ScriptedServer:
    """The server, as a context manager. ``origin`` is its URL without a path."""

    def __init__(self) -> None:
        self.inbox: SimpleQueue[Arrived | Gone | Broken | Said] = SimpleQueue()
        self.origin = ""
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stopping = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="scripted-server", daemon=True)

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        if not self._ready.wait(START):
            raise TimeoutError("the scripted server did not begin to listen")
        return self

    def __exit__(self, *exception: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(START)
        if self._thread.is_alive():
            raise TimeoutError("the scripted server did not end")

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            asyncio.set_event_loop(None)
            self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accepted, "127.0.0.1", 0, limit=1 << 24)
        port = server.sockets[0].getsockname()[1]
        self.origin = f"http://127.0.0.1:{port}"
        self._ready.set()
        await self._stopping.wait()
        server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await server.wait_closed()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # A client may leave at any time; what it left unanswered has been told already.
        except Exception as error:
            self.inbox.put(Broken(error))
        finally:
            self._connections.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("iso-8859-1").split("\r\n")[:-2]
        method, target, _ = first.split(" ", 2)
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
        body = await reader.readexactly(length)
        request, chunk = described(method, target, headers, body)
        exchange = Exchange(request, chunk, self._loop, self._loop.create_future())
        self.inbox.put(Arrived(exchange))

        leaving = asyncio.ensure_future(reader.read(1))
        await asyncio.wait({exchange.decision, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not exchange.decision.done():
            _ = leaving.exception()
            self.inbox.put(Gone(exchange))
            return False
        leaving.cancel()
        await asyncio.wait({leaving})
        response, last = exchange.decision.result()
        writer.write(response)
        await writer.drain()
        return not last


def described(
    method: str, target: str, headers: list[tuple[str, str]], body: bytes
) -> tuple[dict[str, Any], bytes | None]:
    """A request in the form of the recordings, and the bytes of the chunk in it."""
    path, _, query = target.partition("?")
    content_type = next((value for name, value in headers if name.lower() == "content-type"), "")
    form, chunk = _body(content_type, body)
    request = {
        "method": method,
        "path": path,
        "raw_query": query,
        "query": [[unquote(part) for part in pair.partition("=")[::2]] for pair in query.split("&") if pair],
        "headers": sorted([name.lower(), value] for name, value in headers if name.lower() not in _OF_EVERY_CLIENT),
        "body": form,
    }
    return request, chunk


def _body(content_type: str, body: bytes) -> tuple[dict[str, Any] | None, bytes | None]:
    if content_type.startswith("multipart/form-data"):
        found = _BOUNDARY.search(content_type)
        boundary = found[1] if found else ""
        parts, chunk = _parts(body, boundary.encode("iso-8859-1"))
        masked = content_type.replace(boundary, "<boundary>") if boundary else content_type
        return {"kind": "multipart", "content_type": masked, "parts": parts}, chunk
    if not body and not content_type:
        return None, None
    digest = hashlib.sha256(body).hexdigest()
    return {"kind": "raw", "content_type": content_type, "size": len(body), "sha256": digest}, body


def _parts(body: bytes, boundary: bytes) -> tuple[list[dict[str, Any]], bytes | None]:
    delimiter = b"\r\n--" + boundary
    pieces = (b"\r\n" + body).split(delimiter)
    if pieces[0] or not pieces[-1].startswith(b"--"):
        raise ValueError("the form is not delimited as RFC 2046 asks")
    chunk = None
    parts = []
    for piece in pieces[1:-1]:
        head, _, value = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        headers = [line.partition(": ")[::2] for line in head.decode("utf-8").split("\r\n")]
        disposition = next(value for name, value in headers if name.lower() == "content-disposition")
        name, filename = (pattern.search(disposition) for pattern in _QUOTED.values())
        part: dict[str, Any] = {"name": name[1] if name else None}
        if filename:
            part |= {"filename": filename[1], "headers": [list(header) for header in headers]}
            part |= {"size": len(value), "sha256": hashlib.sha256(value).hexdigest()}
            chunk = value
        else:
            part["value"] = value.decode("utf-8")
            if len(headers) > 1:
                part["headers"] = [list(header) for header in headers]
        parts.append(part)
    return parts, chunk


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
