"""An upload as a client would send it, for the tests: its parameters, its chunks, and the requests with them."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from typing import Any

from resumable.protocol import form
from resumable.protocol.parameters import (
    ChunkFacts,
    ParameterNames,
    for_upload,
    query_string,
)
from resumable.protocol.plan import ChunkPlan
from resumable.receiver import Receiver, Request, Response


@dataclass
class Sample:
    """One file, cut. ``changes`` replace parameters by their own names, None leaves one out; ``extra`` come on top."""

    data: bytes = b"0123456789abcdefghij"
    chunk_size: int = 8
    force: bool = False
    identifier: str = "sample"
    file_name: str = "sample.bin"
    relative_path: str = "sample.bin"
    names: ParameterNames = field(default_factory=ParameterNames)
    headers: dict[str, str] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def plan(self) -> ChunkPlan:
        return ChunkPlan(len(self.data), self.chunk_size, self.force)

    @property
    def count(self) -> int:
        return self.plan.count

    def chunk(self, number: int) -> bytes:
        start, end = self.plan.span(number - 1)
        return self.data[start:end]

    def pairs(self, number: int) -> tuple[tuple[str, str], ...]:
        facts = ChunkFacts(
            number=number,
            chunk_size=self.chunk_size,
            current_chunk_size=len(self.chunk(number)) if 1 <= number <= self.count else 0,
            total_size=len(self.data),
            type="application/x-sample",
            identifier=self.identifier,
            file_name=self.file_name,
            relative_path=self.relative_path,
            total_chunks=self.count,
        )
        changed = {getattr(self.names, name): value for name, value in self.changes.items()}
        pairs = for_upload(self.names, facts, {name: value for name, value in changed.items() if value is not None})
        omitted = {self.names.namespace + name for name, value in changed.items() if value is None}
        added = tuple((self.names.namespace + name, value) for name, value in self.extra.items())
        return (*((name, value) for name, value in pairs if name not in omitted), *added)

    def query(self, number: int) -> str:
        return query_string(self.pairs(number))

    def test(self, receiver: Receiver, number: int, method: str = "GET") -> Response:
        return receiver.handle(Request(method, query=self.query(number), headers=self.headers))

    def octet(self, number: int, body: bytes | None = None, method: str = "POST") -> Request:
        return request(self.chunk(number) if body is None else body, self.headers, self.query(number), method)

    def multipart(
        self,
        number: int,
        body: bytes | None = None,
        *,
        in_query: bool = True,
        in_form: bool = True,
        plain: bool = False,
    ) -> Request:
        chunk = self.chunk(number) if body is None else body
        encoded = form.encode_form(
            self.pairs(number) if in_form else (),
            file_field=self.names.namespace + self.names.file,
            file_name=None if plain else self.file_name,
            content_type="application/octet-stream",
            boundary=form.boundary(),
        )
        headers = {"content-type": encoded.content_type, **self.headers}
        return request(encoded.head + chunk + encoded.tail, headers, self.query(number) if in_query else "")

    def base64(self, number: int, **options: Any) -> Request:
        url = form.base64_prefix("application/octet-stream").encode() + base64.b64encode(self.chunk(number))
        return self.multipart(number, url, plain=True, **options)

    def send(self, receiver: Receiver, *numbers: int) -> list[int]:
        """The statuses of these chunks, sent as octets; of all of them where none is named."""
        return [receiver.handle(self.octet(number)).status for number in numbers or range(1, self.count + 1)]


def request(
    body: bytes, headers: dict[str, str], query: str = "", method: str = "POST", piece: int = 1 << 20
) -> Request:
    stream = io.BytesIO(body)
    return Request(
        method,
        query=query,
        headers=headers,
        content_length=len(body),
        read=lambda size: stream.read(min(size, piece)),
    )
