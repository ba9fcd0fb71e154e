"""A wire-tap between client and server: what was asked and what was answered, as it stood on the wire."""

from __future__ import annotations

import io
import re
import threading
from http.client import HTTPException, HTTPResponse
from socket import socket
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from support.breaking_proxy import Proxy, Scenario

__all__ = ["Exchange", "Tap"]


class Exchange(NamedTuple):
    """One request, and its answer if one came. ``fields`` are the parameters of the query and of the form together."""

    method: str
    path: str
    fields: dict[str, str]
    status: int | None
    body: bytes

    @property
    def number(self) -> int:
        """The number of the chunk."""
        return int(self.fields.get("resumableChunkNumber") or self.fields["flowChunkNumber"])

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.fields.get("resumableFilename") or self.fields["flowFilename"]


class Tap(Proxy):
    """``with Tap(server.url) as tap: upload to tap.url``; then ``tap.exchanges()``. The bytes pass as they are,
    but for what the scenario does to them.
    """

    def __init__(self, url: str, scenario: Scenario | None = None) -> None:
        super().__init__(url, scenario)
        self._path = urlsplit(url).path
        self._streams: dict[Any, tuple[bytearray, bytearray]] = {}
        self._writing = threading.Lock()

    def _forward(self, pair: Any, data: bytes, sink: socket) -> None:
        with self._writing:
            self._streams.setdefault(pair, (bytearray(), bytearray()))[sink is pair.client].extend(data)
        super()._forward(pair, data, sink)

    def exchanges(self, method: str | None = None) -> list[Exchange]:
        """What has passed so far, connection by connection."""
        with self._writing:
            streams = [(bytes(up), bytes(down)) for up, down in self._streams.values()]
        return [exchange for up, down in streams for exchange in _read(up, down) if method in (None, exchange.method)]

    def uploads(self) -> list[Exchange]:
        """The chunks that were sent."""
        return [exchange for exchange in self.exchanges("POST") if exchange.path == self._path]

    def tests(self) -> list[Exchange]:
        """The tests for chunks."""
        return [exchange for exchange in self.exchanges("GET") if exchange.path == self._path]

    def clear(self) -> None:
        """Forget what has passed. No connection may be open."""
        with self._writing:
            self._streams.clear()


def _read(up: bytes, down: bytes) -> list[Exchange]:
    answers = io.BytesIO(down)
    exchanges = []
    while up:
        head, _, up = up.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        body, up = up[:length], up[length:]
        fields = {**_form(body), **dict(parse_qsl(urlsplit(target).query, keep_blank_values=True))}
        exchanges.append(Exchange(method, urlsplit(target).path, fields, *_answer(answers, method)))
    return exchanges


def _form(body: bytes) -> dict[str, str]:
    """The fields before the file, which is the last."""
    text = body.partition(b"; filename=")[0].decode("utf-8", "replace")
    return dict(re.findall(r'name="([^"]+)"\r\n\r\n(.*?)\r\n', text))


def _answer(stream: io.BytesIO, method: str) -> tuple[int | None, bytes]:
    response = HTTPResponse(_Socket(stream), method=method)  # type: ignore[arg-type]
    try:
        response.begin()
        return response.status, response.read()
    except (HTTPException, OSError):
        return None, b""


class _Socket:
    """As much of a socket as an HTTPResponse wants."""

    def __init__(self, stream: io.BytesIO) -> None:
        self._stream = stream

    def makefile(self, mode: str) -> Any:
        return _Open(self._stream)


class _Open(io.BufferedIOBase):
    """The stream again, which stays open when a response is done with it."""

    def __init__(self, stream: io.BytesIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        return self._stream.read(size)

    def read1(self, size: int = -1) -> bytes:
        return self._stream.read1(size)

    def readinto(self, buffer: Any) -> int:
        return self._stream.readinto(buffer)

    def readline(self, size: int | None = -1) -> bytes:
        return self._stream.readline(size)
