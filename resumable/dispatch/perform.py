"""One lease's work: the test, the canary, the upload, and what the answers mean.

Runs on a worker with no lock held. Whatever happens becomes an Outcome; nothing is raised but what nobody foresaw.
"""

from __future__ import annotations

import dataclasses
import email.utils
import json
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from ..core.records import Lease, Outcome, OutcomeKind
from ..errors import (
    AuthenticationRefused,
    HookError,
    RedirectRefused,
    ResumableError,
    RetriesExhausted,
    ServerRefused,
    SourceError,
    TransportError,
    UploadError,
)
from ..options import Options
from ..protocol import form, parameters, verdict
from ..protocol.plan import ChunkPlan
from ..protocol.verdict import STORED_CHUNKS_HEADER, Rules, Verdict
from ..transport.base import NetworkFailure, Reply, Request, SourceFailure, Stopped, Transport, Watch
from ..transport.body import ChunkBody, new_buffer
from ..transport.source import Source, make_source
from .entry import Entry
from .hooks import Hooks

__all__ = ["Performer"]

logger = logging.getLogger("resumable")

HINTS: Mapping[int, str] = {
    301: "use the new address as the target",
    302: "use the new address as the target",
    303: "use the new address as the target",
    307: "list its origin in redirect_origins if you trust it",
    308: "list its origin in redirect_origins if you trust it",
    400: "the server may want other parameters, or force_chunk_size=True",
    401: "check the credentials",
    403: "check the credentials, and that they allow uploads here",
    404: "check the target",
    405: "check the target and upload_method",
    407: "check the credentials of the proxy",
    413: "lower chunk_size; the last chunk may be up to twice it, unless force_chunk_size=True",
    415: "the server does not take files of this type",
    500: "if the server only hiccups, leave 500 out of permanent_errors",
}

_WAITING = frozenset({429, 503})
_HOPS = 5


class Performer:
    """Performs leases. ``begin_send(lease)`` and ``trusts_tests(ask)`` are the engine's."""

    def __init__(
        self,
        options: Callable[[], Options],
        hooks: Hooks,
        transport: Transport,
        *,
        begin_send: Callable[[Lease], bool],
        trusts_tests: Callable[[Callable[[], bool]], bool],
        distrusts_tests: Callable[[], bool],
    ) -> None:
        self._options = options
        self._hooks = hooks
        self._transport = transport
        self._begin_send = begin_send
        self._trusts_tests = trusts_tests
        self._distrusts_tests = distrusts_tests
        fixed = options()
        self._names = parameter_names(fixed)
        self._rules = Rules(
            frozenset(fixed.success_statuses), frozenset(fixed.permanent_errors), fixed.test_errors_are_permanent
        )
        self._local = threading.local()

    def perform(self, entry: Entry, lease: Lease, watch: Watch) -> Outcome:
        """What came of the lease."""
        try:
            if lease.prepare:
                return self._prepare(entry)
            return self._chunk(entry, lease, watch)
        except Stopped:
            return Outcome(OutcomeKind.STOPPED)
        except SourceFailure as failure:
            return self._refused(failure.cause)
        except (ResumableError, OSError) as error:
            return self._refused(error)

    @staticmethod
    def _refused(error: Exception) -> Outcome:
        return Outcome(OutcomeKind.REFUSED, message=str(error), error=error)

    # -- a file --------------------------------------------------------------------------------------------------

    def _prepare(self, entry: Entry) -> Outcome:
        options = self._options()
        plan = None
        replacement = self._hooks.call("preprocess_file", entry.subject)
        if replacement is not None:
            source = make_source(replacement, name=entry.record.file_name)
            entry.source.close()
            entry.source = source
            entry.record = dataclasses.replace(entry.record, size=source.size)
            plan = ChunkPlan(source.size, options.chunk_size, options.force_chunk_size)
        if entry.record.unique_identifier is None:
            identify = options.generate_unique_identifier
            identifier = identify(entry.source.path, entry.record.relative_path)
            entry.record = dataclasses.replace(entry.record, unique_identifier=identifier)
        return Outcome(OutcomeKind.PREPARED, plan=plan)

    # -- a chunk -------------------------------------------------------------------------------------------------

    def _chunk(self, entry: Entry, lease: Lease, watch: Watch) -> Outcome:
        attempt = _Attempt(self, entry, lease, watch)
        stored: tuple[tuple[int, int], ...] = ()
        if lease.test:
            if not self._distrusts_tests():
                outcome, stored = attempt.test()
                if outcome is not None:
                    return outcome
            if not self._begin_send(lease):
                return Outcome(OutcomeKind.STOPPED, stored=stored)
        outcome = attempt.upload()
        return dataclasses.replace(outcome, stored=stored) if stored else outcome

    def buffer(self) -> memoryview:
        """The buffer of this worker."""
        buffer: memoryview | None = getattr(self._local, "buffer", None)
        if buffer is None:
            buffer = self._local.buffer = new_buffer()
        return buffer

    def boundary(self) -> str:
        """The boundary of this worker's forms."""
        boundary: str | None = getattr(self._local, "boundary", None)
        if boundary is None:
            boundary = self._local.boundary = form.boundary()
        return boundary


class _Attempt:
    """One turn of one chunk."""

    def __init__(self, performer: Performer, entry: Entry, lease: Lease, watch: Watch) -> None:
        self._performer = performer
        self._hooks = performer._hooks
        self._rules = performer._rules
        self._options = performer._options()
        self._entry = entry
        self._lease = lease
        self._watch = watch
        self._handle = entry.subject.chunks[lease.index]
        self._source: Source = entry.source
        self._start, self._end = lease.start, lease.end
        if self._hooks.has("preprocess"):
            replacement = self._hooks.call("preprocess", self._handle)
            if replacement is not None:
                self._source = make_source(replacement, name=entry.record.file_name)
                self._start, self._end = 0, self._source.size

    # -- test ----------------------------------------------------------------------------------------------------

    def test(self) -> tuple[Outcome | None, tuple[tuple[int, int], ...]]:
        """The outcome where the test decides, and the ranges of chunks that the server said it has."""
        try:
            reply = self._send_test(self._facts())
        except NetworkFailure:
            # As in resumable.js: whatever goes wrong with a test, the upload that follows will tell.
            return None, ()
        decision = self._present(reply)
        if decision is Verdict.FATAL:
            return self._fatal(reply, self._options.test_method, ServerRefused), ()
        trusted = self._options.trust_tests or decision is Verdict.MISSING or self._performer._trusts_tests(self._canary)
        if not trusted:
            return None, ()
        stored = verdict.parse_ranges(reply.headers.get(STORED_CHUNKS_HEADER.lower(), ""), self._count)
        if decision is Verdict.STORED:
            return Outcome(OutcomeKind.PRESENT, reply.text, answered=True, stored=stored), stored
        return None, stored

    def _present(self, reply: Reply) -> Verdict:
        decided = self._hooks.call("chunk_exists", reply)
        if decided is not None:
            return Verdict.STORED if decided else Verdict.MISSING
        return self._rules.test(reply.status)

    def _canary(self) -> bool:
        """Whether the server can tell a chunk that it has from one that cannot exist."""
        name = f"resumable-canary-{os.urandom(12).hex()}"
        facts = dataclasses.replace(self._facts(), identifier=name, file_name=name, relative_path=name)
        try:
            reply = self._send_test(facts)
        except NetworkFailure:
            # Not knowing is no reason to believe: this one is sent, and the next one asks again.
            return False
        if self._present(reply) is Verdict.STORED:
            logger.warning(
                "the server says 'present' for a chunk that cannot exist (%s): its tests are not believed and "
                "everything is sent; trust_tests=True believes them",
                self._shown_url(self._options.test_target or self._options.target),
            )
            return False
        return True

    def _send_test(self, facts: parameters.ChunkFacts) -> Reply:
        query = self._query()
        pairs = parameters.for_test(self._performer._names, facts, query)
        url = self._url(self._options.test_target or self._options.target, pairs)
        return self._send(Request(self._options.test_method, url, self._headers(), None, self._timeout(final=False)))

    # -- upload --------------------------------------------------------------------------------------------------

    def upload(self) -> Outcome:
        """What came of sending the chunk. Raises Stopped, SourceFailure, SourceError, HookError."""
        with self._source.open() as reader:
            try:
                reply = self._post(reader)
                if reply.status == 401 and self._renewable:
                    # The headers may have held a token that has just expired: made anew, they get one more chance.
                    reply = self._post(reader)
            except NetworkFailure as failure:
                return self._failed(failure)
        return self._judge(reply)

    @property
    def _renewable(self) -> bool:
        return self._hooks.has("headers") or self._hooks.has("query")

    def _post(self, reader: Any) -> Reply:
        options = self._options
        pairs = parameters.for_upload(self._performer._names, self._facts(), self._query())
        headers = self._headers()
        base64 = options.chunk_format == "base64"
        made = None
        content_type = "application/octet-stream"
        if options.set_chunk_type_from_file and self._entry.record.mime_type:
            content_type = self._entry.record.mime_type
        if options.method == "multipart":
            made = form.encode_form(
                pairs if options.params_in != "query" else (),
                file_field=options.parameter_namespace + options.file_parameter_name,
                file_name=None if base64 else self._entry.record.file_name,
                content_type=content_type,
                boundary=self._performer.boundary(),
                prefix=form.base64_prefix(content_type) if base64 else "",
            )
        headers.setdefault("Content-Type", made.content_type if made else "application/octet-stream")
        body = ChunkBody(
            reader, self._start, self._end, buffer=self._performer.buffer(), form=made, base64=base64 and made is not None
        )
        url = self._url(options.target, pairs if options.params_in != "form" else ())
        return self._send(Request(options.upload_method, url, headers, body, self._timeout(final=self._lease.final)))

    def _judge(self, reply: Reply) -> Outcome:
        decision = self._rules.upload(reply.status)
        reason = None
        if decision is Verdict.STORED:
            accepted = self._hooks.call("accept_response", reply)
            if accepted is None:
                reason = verdict.refusal(reply.text)
            elif not accepted:
                reason = "accept_response said no"
            if reason is None:
                return Outcome(OutcomeKind.ACCEPTED, reply.text, answered=True)
            decision = Verdict.FATAL
        if 300 <= reply.status < 400:
            cls: type[ServerRefused] = RedirectRefused
        elif reply.status in (401, 403):
            cls = AuthenticationRefused
        else:
            cls = ServerRefused
        if decision is Verdict.FATAL:
            return self._fatal(reply, self._options.upload_method, cls, reason)
        error = self._error(RetriesExhausted, "failed", self._answer(reply, self._options.upload_method), reply)
        if self._decides_against(error, retry=True):
            return Outcome(OutcomeKind.REFUSED, reply.text, error, answered=True)
        wait = _retry_after(reply) if reply.status in _WAITING else None
        return Outcome(OutcomeKind.RETRY, reply.text, error, answered=True, retry_after=wait)

    def _fatal(self, reply: Reply, method: str, cls: type[ServerRefused], reason: str | None = None) -> Outcome:
        hint = HINTS.get(reply.status)
        if 300 <= reply.status < 400:
            reason = f"it leads to {_origin_and_path(reply.headers.get('location', 'nowhere'))}"
        error = self._error(cls, "refused", self._answer(reply, method, reason), reply, hint)
        if self._decides_against(error, retry=False):
            return Outcome(OutcomeKind.RETRY, reply.text, error, answered=True)
        return Outcome(OutcomeKind.REFUSED, reply.text, error, answered=True)

    def _failed(self, failure: NetworkFailure) -> Outcome:
        sending = f"{self._options.upload_method} {self._shown_url(self._options.target)} → {failure}"
        cls: type[UploadError] = RetriesExhausted
        if failure.permanent or failure.hopeless:
            cls = AuthenticationRefused if failure.status == 407 else TransportError
        error = self._error(cls, "not sent", sending, None, HINTS.get(failure.status or 0))
        error.status = failure.status
        error.__cause__ = failure
        again = not failure.permanent
        if self._decides_against(error, retry=again):
            again = not again
        kind = OutcomeKind.RETRY if again else OutcomeKind.REFUSED
        return Outcome(kind, str(failure), error, hopeless=failure.hopeless)

    def _decides_against(self, error: Exception, *, retry: bool) -> bool:
        """Whether the hook should_retry wants the opposite of ``retry``."""
        decided = self._hooks.call("should_retry", error, self._lease.retries + 1)
        return decided is not None and bool(decided) is not retry

    # -- one request ---------------------------------------------------------------------------------------------

    def _send(self, request: Request) -> Reply:
        for _ in range(_HOPS):
            reply = self._performer._transport.send(request, self._watch)
            if reply.status not in (307, 308):
                return reply
            location = urljoin(request.url, reply.headers.get("location", ""))
            if not self._may_go(request.url, location):
                return reply
            request = dataclasses.replace(request, url=location)
        return reply

    def _may_go(self, here: str, there: str) -> bool:
        if here == there:
            return False
        origin = _origin(there)
        return origin == _origin(here) or origin in self._options.redirect_origins

    def _timeout(self, *, final: bool) -> tuple[float | None, float | None]:
        connect, read = self._options.timeout
        if final and read is not None:
            longest = self._options.final_chunk_timeout
            read = None if longest is None else max(read, longest)
        return connect, read

    @property
    def _count(self) -> int:
        return self._entry.core.plan.count

    def _facts(self) -> parameters.ChunkFacts:
        record = self._entry.record
        return parameters.ChunkFacts(
            number=self._lease.index + 1,
            chunk_size=self._options.chunk_size,
            current_chunk_size=self._end - self._start,
            total_size=record.size,
            type=record.mime_type,
            identifier=record.unique_identifier or "",
            file_name=record.file_name,
            relative_path=record.relative_path,
            total_chunks=self._count,
        )

    def _query(self) -> Mapping[str, Any]:
        fixed = self._options.query
        if not self._hooks.has("query"):
            return fixed  # type: ignore[no-any-return]
        made = self._hooks.merged("query", self._entry.subject, self._handle)
        return made if callable(fixed) else {**fixed, **made}

    def _headers(self) -> dict[str, str]:
        fixed = self._options.headers
        headers = {} if callable(fixed) else {str(name): parameters.text(value) for name, value in fixed.items()}
        if self._hooks.has("headers"):
            made = self._hooks.merged("headers", self._entry.subject, self._handle)
            headers.update({str(name): parameters.text(value) for name, value in made.items() if value is not None})
        return headers

    def _url(self, target: Any, pairs: parameters.Pairs) -> str:
        query = parameters.query_string(pairs)
        if not callable(target):
            return parameters.with_query(target, query)
        url = self._hooks.call("target", query.split("&") if query else [])
        if not isinstance(url, str) or _origin(url) == "":
            raise HookError(f"hook target returned {url!r}, not an http:// or https:// URL", hook="target")
        return url

    # -- words ---------------------------------------------------------------------------------------------------

    def _error(
        self, cls: type[UploadError], verb: str, what: str, reply: Reply | None, hint: str | None = None
    ) -> UploadError:
        limit = self._options.max_chunk_retries
        attempt = self._lease.retries + 1
        tries = f"attempt {attempt}" + (f" of {limit + 1}" if limit is not None else "")
        text = f"chunk {self._lease.index + 1}/{self._count} of {self._entry.record.relative_path!r} {verb}: {what} ({tries})"
        return cls(
            f"{text}; {hint}" if hint else text,
            file=self._entry.subject,
            chunk=self._handle,
            status=reply.status if reply else None,
            body=reply.text[:500] if reply else "",
            attempts=attempt,
        )

    def _answer(self, reply: Reply, method: str, reason: str | None = None) -> str:
        said = " ".join(reply.text.split())[:200]
        text = f"{method} {self._shown_url(self._options.target)} → {reply.status}"
        if reason:
            text += f", {reason}"
        return f"{text} {json.dumps(said, ensure_ascii=False)}" if said else text

    @staticmethod
    def _shown_url(target: Any) -> str:
        return "the URL that the hook target made" if callable(target) else _origin_and_path(target)


def parameter_names(options: Options) -> parameters.ParameterNames:
    """The names that the options give to the parameters."""
    return parameters.ParameterNames(
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


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.scheme in ("http", "https") else ""


def _origin_and_path(url: str) -> str:
    """The URL without credentials and query, which may hold secrets."""
    return f"{_origin(url)}{urlsplit(url).path}"


def _retry_after(reply: Reply) -> float | None:
    """The seconds for which the server wants to be left alone (RFC 9110, 10.2.3), or None where it does not say.

    A little is added at random, so that clients that were sent away together do not come back together.
    """
    value = reply.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        seconds = float(value[:12])
    else:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError):
            return None
    return max(seconds, 0.0) * random.uniform(1.0, 1.1)
