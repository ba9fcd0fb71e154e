"""The requests of attempts: tests, and uploads of chunks. Nothing is sent here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any

from ..dispatch.registry import FileEntry
from ..hooks import Hooks
from ..options import Options
from ..protocol import form, parameters
from ..protocol.checksums import (
    CHECKSUM_PARAMETER,
    FILE_SHA256_PARAMETER,
    PARAMETERS_PARAMETER,
    digest_parameter,
    new_hash,
    seal,
)
from ..protocol.parameters import ChunkFacts, ParameterNames
from ..protocol.question import QUESTION_PARAMETER, FileQuestion, format_question
from ..sources.base import Reader
from ..transport.base import Body, Request, Stopped
from ..transport.body import PIECE, ChunkBody, TextBody, chunk_buffer
from ..transport.rate_limit import RateLimitedBody, RateLimiter
from . import messages

__all__ = ["RequestBuilder", "Subjects"]


Subjects = Callable[[], tuple[Any, Any]]
"""Makes the file and the chunk as users hold them, for hooks; called only if there is one."""


class _OfThread(threading.local):
    """The buffer of a thread, and the boundary of its forms."""

    def __init__(self) -> None:
        self.buffer = chunk_buffer()
        self.boundary = form.boundary()


class RequestBuilder:
    """Builds the requests of one session from the facts of a chunk, the options, and what hooks return each time. All
    methods raise HookError; any worker may call them."""

    def __init__(self, options: Options, hooks: Hooks) -> None:
        self._options = options
        self._hooks = hooks
        # A callable test_target makes the URLs of tests, whatever makes those of uploads.
        self._test_hooks = Hooks({"target": options.test_target})
        self._names = _names(options)
        self._digest_name = options.parameter_namespace + digest_parameter(options.checksum or "")
        self._rate_limiter = RateLimiter(options.limit_rate)
        self._own = _OfThread()

    def limit_rate(self, rate: int | None) -> None:
        """Let bodies come no faster than so many bytes a second, all together. Bodies that were built without a limit
        stay without."""
        self._rate_limiter.rate = rate

    def test(self, facts: ChunkFacts, subjects: Subjects) -> Request:
        """Return the request that asks whether the server has the chunk."""
        options = self._options
        pairs = parameters.for_test(self._names, facts, self._hooks.merged("query", subjects))
        hooks, target = self._hooks, options.target
        if options.test_target is not None:
            hooks, target = self._test_hooks, options.test_target
        url = _url(hooks, target, parameters.query_string(pairs))
        return Request(options.test_method, url, self._headers(subjects), None, options.timeout)

    @property
    def may_ask(self) -> bool:
        """Whether the tests of many files may be one question. They may not if each has an address of its own, or if a
        hook or the transport of the user wants to see it."""
        options, hooks = self._options, self._hooks
        return not (
            callable(options.target)
            or options.test_target is not None
            or options.transport is not None
            or options.file_checksum
            or any(map(hooks.has, ("target", "chunk_exists", "preprocess")))
        )

    def question(self, entries: Sequence[FileEntry], stopped: Callable[[], bool]) -> tuple[Request, list[FileQuestion]]:
        """Return the request that asks for all chunks of the first of these files, and which these are: those whose
        tests would have the same headers and parameters of the user, as many as one question may have. ``stopped`` as
        in :meth:`upload`."""
        options, names = self._options, self._names
        headers, custom = self._shared(entries[0])
        if custom is None:
            entries = ()
        elif any(map(self._hooks.has, ("headers", "query"))):
            entries = list(takewhile(lambda entry: self._shared(entry) == (headers, custom), entries))
        asked = [
            FileQuestion(
                entry.record.unique_identifier or "",
                entry.record.size,
                options.chunk_size,
                entry.plan.count,
                entry.record.file_name if names.file_name else "",
                entry.record.relative_path if names.relative_path else "",
            )
            for entry in entries
        ]
        text, count = format_question(asked)
        body: Body = TextBody(text)
        if self._rate_limiter.rate is not None:
            body = RateLimitedBody(body, self._rate_limiter, stopped)
        query = parameters.query_string(((QUESTION_PARAMETER, ""), *(custom or ())))
        url = parameters.with_query(options.target, query)
        headers = _with_content_type(headers, "application/json")
        return Request("POST", url, headers, body, options.timeout, stall=options.timeout[1]), asked[:count]

    def _shared(self, entry: FileEntry) -> tuple[dict[str, str], parameters.Pairs | None]:
        """Return the headers and the parameters of the user for requests about the first chunk of a file."""

        def subjects() -> tuple[Any, Any]:
            return entry.subject, entry.subject.chunks[0]

        custom = parameters.for_question(self._names, self._hooks.merged("query", subjects))
        return self._headers(subjects), custom

    def deletion(self, facts: ChunkFacts, subjects: Subjects, timeout: float) -> Request:
        """Return the request that asks the server to delete what it has of the file."""
        pairs = parameters.for_test(self._names, facts, self._hooks.merged("query", subjects))
        url = _url(self._hooks, self._options.target, parameters.query_string(pairs))
        return Request("DELETE", url, self._headers(subjects), None, (timeout, timeout))

    def upload(
        self,
        facts: ChunkFacts,
        subjects: Subjects,
        reader: Reader,
        span: tuple[int, int],
        *,
        final: bool,
        stopped: Callable[[], bool],
        file_sha256: str | None = None,
        replay: bool = True,
    ) -> Request:
        """Return the request that sends the chunk: the bytes of ``span`` of what the reader reads. The server may
        assemble the file on a ``final`` one, which takes longer. ``stopped`` ends the wait for a rate limit, and the
        reading for a checksum. ``file_sha256`` is that of the whole file, if it is known; ``replay`` as in
        :class:`Request`.

        Raises Stopped, and SourceError if the chunk cannot be read for its checksum.
        """
        options = self._options
        in_form = options.method == "multipart" and options.params_in != "query"
        in_query = options.params_in != "form" or options.method == "octet"
        pairs = parameters.for_upload(self._names, facts, self._hooks.merged("query", subjects))
        if options.checksum is not None:
            pairs += ((options.parameter_namespace + CHECKSUM_PARAMETER, options.checksum),)
            if not in_form:
                pairs += ((self._digest_name, self._digest(options.checksum, reader, span, stopped)),)
        if file_sha256 is not None:
            pairs += ((options.parameter_namespace + FILE_SHA256_PARAMETER, file_sha256),)
        # A target that is called with the parameters may leave some out.
        if options.checksum is not None and not (in_query and self._hooks.has("target")):
            pairs += ((options.parameter_namespace + PARAMETERS_PARAMETER, seal(pairs)),)
        url = _url(self._hooks, options.target, parameters.query_string(pairs if in_query else ()))
        headers = self._headers(subjects)
        base64 = options.chunk_format == "base64"
        made = None
        if options.method == "multipart":
            digest_field = self._digest_name if in_form and options.checksum is not None else None
            made = self._form(facts, pairs if in_form else (), base64=base64, digest_field=digest_field)
            # No other type will do: the boundary is in it.
            headers = _with_content_type(headers, made.content_type)
        elif "content-type" not in map(str.lower, headers):
            headers["Content-Type"] = "application/octet-stream"
        body: Body = ChunkBody(
            reader, *span, buffer=self._own.buffer, form=made, base64=base64, algorithm=options.checksum or ""
        )
        if self._rate_limiter.rate is not None:
            body = RateLimitedBody(body, self._rate_limiter, stopped)
        connect, read = options.timeout
        if final and read is not None:
            longest = options.final_chunk_timeout
            read = None if longest is None else max(read, longest)
        stall = options.timeout[1]
        return Request(options.upload_method, url, headers, body, (connect, read), stall=stall, replay=replay)

    def _digest(self, algorithm: str, reader: Reader, span: tuple[int, int], stopped: Callable[[], bool]) -> str:
        """Read the chunk, and return its hash in hexadecimal. It is read again, from memory, when it is sent."""
        digest, buffer = new_hash(algorithm), self._own.buffer
        start, end = span
        for offset in range(start, end, PIECE):
            if stopped():
                raise Stopped
            piece = buffer[: min(PIECE, end - offset)]
            reader.read_into(piece, offset)
            digest.update(piece)
        return digest.hexdigest()

    def _form(self, facts: ChunkFacts, pairs: parameters.Pairs, *, base64: bool, digest_field: str | None) -> form.Form:
        options = self._options
        content_type = "application/octet-stream"
        if options.set_chunk_type_from_file and facts.type:
            content_type = facts.type
        return form.encode_form(
            pairs,
            file_field=options.parameter_namespace + options.file_parameter_name,
            file_name=None if base64 else facts.file_name,
            content_type=content_type,
            boundary=self._own.boundary,
            prefix=form.base64_prefix(content_type) if base64 else "",
            digest_field=digest_field,
        )

    def _headers(self, subjects: Subjects) -> dict[str, str]:
        values = self._hooks.merged("headers", subjects)
        return values and {str(name): parameters.text(value) for name, value in values.items() if value is not None}


def _with_content_type(headers: dict[str, str], content_type: str) -> dict[str, str]:
    """Return the headers with this type in place of another."""
    headers = headers and {name: value for name, value in headers.items() if name.lower() != "content-type"}
    return {**headers, "Content-Type": content_type}


def _url(hooks: Hooks, target: Any, query: str) -> str:
    """Return the URL that a hook makes, or else the target with the query behind it."""
    url, label = hooks.decide("target", query.split("&") if query else []) if hooks.has("target") else (None, "")
    if url is None and not callable(target):
        return parameters.with_query(target, query)
    if not isinstance(url, str) or not messages.origin(url):
        raise hooks.returned(label or "target", type(url).__name__, "an http:// or https:// URL")
    return url


def _names(options: Options) -> ParameterNames:
    return ParameterNames(
        chunk_number=options.chunk_number_parameter_name,
        chunk_size=options.chunk_size_parameter_name,
        current_chunk_size=options.current_chunk_size_parameter_name,
        total_size=options.total_size_parameter_name,
        type=options.type_parameter_name,
        identifier=options.identifier_parameter_name,
        file_name=options.file_name_parameter_name,
        relative_path=options.relative_path_parameter_name,
        total_chunks=options.total_chunks_parameter_name,
        file=options.file_parameter_name,
        namespace=options.parameter_namespace,
    )
