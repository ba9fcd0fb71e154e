"""A server under attack, and how one sees that it did no harm to it."""

from __future__ import annotations

import errno
import http.client
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resumable.receiver import (
    FileStore,
    Limits,
    Receiver,
    Server,
)

from .sample import Sample

GONE = (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN)


@dataclass(frozen=True)
class Answer:
    """What came back for a request; the header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class AttackedServer:
    """A running server whose root lies some directories below ``outside``, beside files that are none of its business.

    ``store`` and ``limits`` are options of the store and of the server, the others those of the receiver.
    """

    def __init__(self, outside: Path, *, store: Mapping[str, Any], limits: Mapping[str, Any], **options: Any) -> None:
        self.outside = outside
        self.root = outside / "some" / "where" / "incoming"
        self.root.mkdir(parents=True, exist_ok=True)
        for folder in (outside, self.root.parent):
            (folder / "precious.txt").write_text("as it was")
        self.store = FileStore(self.root, **{"fsync": "never", **store})
        self.receiver = Receiver(self.store, **options)
        self.server = Server(self.receiver, limits=Limits(**limits))
        self.before = self.others()

    def others(self) -> dict[str, bytes | str]:
        """Everything in ``outside`` but what is in the root: what a file contains, where a link leads."""
        found: dict[str, bytes | str] = {}
        for path in sorted(self.outside.rglob("*")):
            if self.root not in path.parents:
                name = str(path.relative_to(self.outside))
                is_file = path.is_file() and not path.is_symlink()
                found[name] = path.read_bytes() if is_file else os.readlink(path) if path.is_symlink() else "directory"
        return found

    def published(self) -> dict[str, bytes]:
        """What is published in the root, by its name."""
        files = (path for path in self.root.rglob("*") if path.is_file() and not path.is_symlink())
        named = ((str(path.relative_to(self.root)), path) for path in files)
        return {name: path.read_bytes() for name, path in named if not name.startswith(".resumable/")}

    @property
    def uploads(self) -> int:
        """How many uploads there are, open and done."""
        return sum(1 for _ in self.store.uploads(limit=1_000_000))

    @contextmanager
    def connected(self) -> Iterator[http.client.HTTPConnection]:
        """A connection to the server."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)) as connection:
            yield connection

    def ask(
        self,
        method: str,
        query: str = "",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        path: str = "/",
    ) -> Answer:
        """The answer to one request on a connection of its own."""
        with self.connected() as connection:
            return told(connection, method, query, body, headers, path)

    def test(self, sample: Sample, number: int, method: str = "GET") -> Answer:
        """The answer to the test of a chunk."""
        return self.ask(method, sample.query(number), headers=sample.headers)

    def upload(self, sample: Sample, number: int, body: bytes | None = None) -> Answer:
        """The answer to the upload of a chunk as octets."""
        return self.ask("POST", sample.query(number), sample.chunk(number) if body is None else body, sample.headers)

    def form(self, sample: Sample, number: int, **options: Any) -> Answer:
        """The answer to the upload of a chunk in a form."""
        request = sample.multipart(number, **options)
        return self.ask("POST", request.query, request.read(1 << 30), request.headers)

    def send(self, sample: Sample, *numbers: int) -> list[int]:
        """The statuses of these chunks; of all of them where none is named."""
        return [self.upload(sample, number).status for number in numbers or range(1, sample.count + 1)]

    def raw(self, *pieces: bytes, shut: bool = True) -> bytes:
        """What comes back for these bytes; see :func:`raw`."""
        return raw(self.server.port, *pieces, shut=shut)

    def head(self, sample: Sample, number: int, *fields: str) -> bytes:
        """The head of an upload with these header fields besides the host."""
        lines = (f"POST /?{sample.query(number)} HTTP/1.1", f"Host: 127.0.0.1:{self.server.port}", *fields, "", "")
        return "\r\n".join(lines).encode()

    def check(self, headers: Mapping[str, str]) -> None:
        """The server takes an upload as on its first day, and nothing has changed outside its root."""
        name = os.urandom(8).hex()
        sample = Sample(os.urandom(5000), 2048, identifier=name, relative_path=name, headers=dict(headers))
        assert [self.test(sample, number).status for number in (1, 2)] == [204, 204]
        before = self.published()
        assert self.send(sample) == [200, 201]
        assert [self.test(sample, number).status for number in (1, 2)] == [200, 200]
        assert self.published() == {**before, name: sample.data}
        assert self.others() == self.before


def told(
    connection: http.client.HTTPConnection,
    method: str,
    query: str = "",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    path: str = "/",
) -> Answer:
    """The answer to one request on a connection that may carry more of them."""
    connection.request(method, f"{path}?{query}" if query else path, body, dict(headers or {}))
    answer = connection.getresponse()
    return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read())


def raw(port: int, *pieces: bytes, shut: bool = True) -> bytes:
    """What comes back for these bytes until the server closes the connection, or resets it."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
            if shut:
                connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                answer += piece
        except OSError as error:
            if error.errno not in GONE:
                raise
    return answer
