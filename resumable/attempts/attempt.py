"""One attempt at one chunk: the test, the canary, and the upload."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

from ..core.records import (
    Lease,
    Outcome,
    OutcomeKind,
    Proof,
)
from ..dispatch.registry import FileEntry
from ..errors import HookError
from ..hooks import Hooks
from ..options import Options
from ..protocol import (
    acceptance,
    form,
    parameters,
    verdict,
)
from ..protocol.acceptance import Acceptance, Judgement, Remedy
from ..protocol.headers import (
    FILE_HEADER,
    SERVER_HEADER,
    SESSION_HEADER,
    FileStatus,
    parse_file_status,
)
from ..protocol.verdict import STORED_CHUNKS_HEADER, Verdict
from ..sources.path import Reader, Source, make_source
from ..transport.base import (
    Body,
    NetworkFailure,
    Reply,
    Request,
    RequestControl,
)
from ..transport.body import ChunkBody
from ..transport.rate_limit import RateLimitedBody
from . import messages
from .context import AttemptContext
from .outcomes import MOST_HOPS, OTHER_SERVER, Outcomes

__all__ = ["Attempt"]

logger = logging.getLogger("resumable")

_ABSENT = frozenset({202, 203, 204, 205, 206, 404, 410})

# What says nothing about a chunk: who asks is not known, or the server has no time.
_SILENT = frozenset({401, 407, 429, 502, 503, 504})


class Attempt:
    """One turn of one chunk. Used once, by one worker."""

    def __init__(
        self, context: AttemptContext, options: Options, entry: FileEntry, lease: Lease, control: RequestControl
    ) -> None:
        self._context = context
        self._hooks = context.hooks
        self._options = options
        self._entry = entry
        self._lease = lease
        self._control = control
        self._source: Source = entry.source
        self._start, self._end = lease.start, lease.end
        self._request = Request("", "")
        self._outcomes = Outcomes(context.hooks, context.rules, options, entry, lease)
        self._ours = lease.ours
        self._proof = Proof.NONE
        self._stored: tuple[tuple[int, int], ...] = ()
        self._believed = False
        self._absent = False
        self._question: tuple[str, ...] = ()
        if self._hooks.has("preprocess"):
            replacement = self._hooks.call("preprocess", self._handle)
            if replacement is not None:
                self._source = make_source(replacement, name=entry.record.file_name)
                self._start, self._end = 0, self._source.size

    @property
    def _handle(self) -> Any:
        """The chunk as users hold it; made only where a hook or an error wants it."""
        return self._entry.subject.chunks[self._lease.index]

    def _subjects(self) -> tuple[Any, Any]:
        return self._entry.subject, self._handle

    # -- test ----------------------------------------------------------------------------------------------------

    def test(self) -> Outcome | None:
        """Return the outcome if the test decides, None if the chunk has to be sent. Raises what :meth:`upload` does."""
        try:
            request = self._own_test()
            if self._context.canary.failed(self._question) and not self._ours:
                return None
            reply = self._send_renewing(self._own_test, request)
            decision = self._present(reply)
            self._absent = decision is Verdict.MISSING and reply.status in _ABSENT
            if decision is Verdict.FATAL:
                outcome = self._outcomes.refused(self._request, reply)
                return outcome if outcome.kind is OutcomeKind.REFUSED else None
            if decision is Verdict.STORED and not self._believable(reply):
                return None
        except NetworkFailure as failure:
            # As in resumable.js: whatever goes wrong with a test, the upload that follows will tell.
            return self._outcomes.failed(self._request, failure) if failure.permanent else None
        known = _is_ours(reply)
        if known or not self._ours:
            self._stored = verdict.parse_ranges(reply.headers.get(STORED_CHUNKS_HEADER.lower(), ""), self._count)
            if self._proof is Proof.WHOLE:
                self._stored = ((0, self._count),)
        self._believed = not known and not self._options.trust_tests
        return Outcome(OutcomeKind.PRESENT, reply.text, answered=True) if decision is Verdict.STORED else None

    def confirm(self) -> Outcome:
        """Return whether the server has the file, all chunks of which are taken for stored.

        A receiver of this package says so. A foreign server is asked once more for a chunk that it said it has, and for
        one that it cannot have.
        """
        try:
            reply = self._send_renewing(self._own_test)
            if _is_ours(reply):
                return self._confirmed(reply)
            if self._ours:
                elsewhere = reply.status in (401, 403, 407) or 300 <= reply.status < 400
                return (
                    self._outcomes.refused(self._request, reply)
                    if elsewhere
                    else self._outcomes.unknown(self._request, reply)
                )
            if reply.status in _SILENT:
                return self._outcomes.again(self._request, reply)
            decision = self._present(reply)
            self._context.canary.forget(self._question)
            confirmed = decision is Verdict.STORED and self._believable(reply)
        except NetworkFailure as failure:
            return self._outcomes.failed(self._request, failure)
        return Outcome(OutcomeKind.PRESENT if confirmed else OutcomeKind.DENIED, reply.text, answered=True)

    def _confirmed(self, reply: Reply) -> Outcome:
        """The outcome of what a receiver of this package says about the file."""
        if self._proof is Proof.WHOLE:
            return Outcome(OutcomeKind.PRESENT, reply.text, answered=True)
        if FILE_HEADER.lower() not in reply.headers and reply.status not in (200, 201, 204):
            permanent = self._context.rules.upload(reply.status) is Verdict.FATAL
            return (
                self._outcomes.refused(self._request, reply)
                if permanent
                else self._outcomes.again(self._request, reply)
            )
        self._stored = verdict.parse_ranges(reply.headers.get(STORED_CHUNKS_HEADER.lower(), ""), self._count)
        status = _file_status(reply) or FileStatus(False, 0, self._count)
        return Outcome(OutcomeKind.DENIED, reply.text, self._outcomes.incomplete(self._request, status), answered=True)

    def _present(self, reply: Reply) -> Verdict:
        """What the answer to a test says. A page, a refusal or a redirect is never "present", and what was thought of
        the server's tests is not thought any more."""
        decided = self._hooks.call("chunk_exists", reply)
        if decided is not None:
            return Verdict.STORED if decided else Verdict.MISSING
        decision = self._context.rules.test(reply.status)
        what = self._strange(reply, decision)
        if not what:
            return decision
        self._context.canary.forget(self._question)
        where = messages.redacted(self._request.url)
        if not self._ours and self._context.first_time(where):
            logger.warning("%s: tests are answered by %s, so that nothing is taken for uploaded already", where, what)
        return Verdict.MISSING

    def _strange(self, reply: Reply, decision: Verdict) -> str:
        """What the answer to a test is instead of an answer; empty if it is one."""
        if 300 <= reply.status < 400:
            there = messages.redirect_target(self._request.url, reply)
            return (
                f"a redirect to {messages.redacted(there)}"
                if messages.origin(there)
                else "a redirect that leads nowhere"
            )
        if decision is not Verdict.STORED:
            return ""
        judgement = acceptance.judge(reply.text, cut=reply.cut)
        if judgement.acceptance is Acceptance.UNPROVEN:
            return judgement.reason
        if judgement.acceptance is Acceptance.REFUSED:
            return "a refusal"
        return "another server" if self._ours and not _is_ours(reply) else ""

    def _believable(self, reply: Reply) -> bool:
        """Whether the server's "present" can be believed. Raises NetworkFailure."""
        if _is_ours(reply) or self._options.trust_tests:
            return True
        # Some servers truly have each chunk of nothing, so a canary says nothing there; and to send it costs nothing.
        return self._entry.record.size > 0 and self._context.canary.passed(self._question, self._canary)

    def _canary(self) -> bool | None:
        """Whether the server can tell a chunk that it has from one that cannot exist; None if it did not say.

        Raises NetworkFailure.
        """
        identifier = f"resumable-canary-{os.urandom(12).hex()}"
        name = identifier + os.path.splitext(self._entry.record.file_name)[1]
        facts = self._facts()._replace(identifier=identifier, file_name=name, relative_path=name)
        if not facts.total_size:
            facts = facts._replace(total_size=1, current_chunk_size=1)
        reply = self._send_renewing(lambda: self._test_request(facts))
        decision = self._present(reply)
        if decision is not Verdict.STORED:
            silent = reply.status in _SILENT or self._strange(reply, self._context.rules.test(reply.status))
            return None if silent else True
        logger.warning(
            "the server says 'present' for a chunk that cannot exist (%s): its tests are not believed and "
            "everything is sent; trust_tests=True believes them",
            messages.redacted(self._request.url),
        )
        return False

    def _own_test(self) -> Request:
        """The test of this chunk. A verdict on tests belongs to where they are sent, and to files of one kind."""
        request = self._test_request(self._facts())
        record = self._entry.record
        kind = os.path.splitext(record.file_name)[1].lower()
        self._question = messages.redacted(request.url), record.mime_type, kind
        return request

    def _test_request(self, facts: parameters.ChunkFacts) -> Request:
        options = self._options
        query = parameters.query_string(parameters.for_test(self._context.names, facts, self._query()))
        if options.test_target is not None:
            url = self._url(self._context.test_hooks, options.test_target, query)
        else:
            url = self._url(self._hooks, options.target, query)
        return Request(options.test_method, url, self._headers(), None, options.timeout)

    # -- upload --------------------------------------------------------------------------------------------------

    def upload(self) -> Outcome:
        """What came of sending the chunk. Raises Stopped, SourceFailure, SourceError, HookError."""
        with self._source.open() as reader:
            try:
                reply = self._send(self._chunk_request(reader))
                judgement = self._judge(reply)
                if self._renewable(reply, judgement):
                    # The headers may have held a token that has just expired: made anew, they get one more chance.
                    # By one worker at a time: whoever comes second finds the token renewed.
                    with self._context.auth_refresh_lock:
                        request = self._chunk_request(reader)
                    # Who makes credentials for a 401 does not know that a page may ask for them, too.
                    reply = self._send(request._replace(renew=judgement is not None))
                    judgement = self._judge(reply)
            except NetworkFailure as failure:
                return self._outcomes.failed(self._request, failure)
        return (
            self._outcomes.answered(self._request, reply)
            if judgement is None
            else self._outcomes.judged(self._request, reply, judgement)
        )

    def ask(self) -> Verdict:
        """Ask the server whether it has the chunk, after its answer to the chunk has told nothing.

        Return STORED, MISSING, or RETRY if its tests cannot tell. Raises NetworkFailure, Stopped, HookError.
        """
        reply = self._send_renewing(self._own_test)
        decided = self._hooks.call("chunk_exists", reply)
        if decided is not None:
            return Verdict.STORED if decided else Verdict.MISSING
        if self._present(reply) is not Verdict.STORED:
            return Verdict.MISSING if reply.status in _ABSENT else Verdict.RETRY
        trusted = self._options.trust_tests or self._context.canary.passed(self._question, self._canary)
        return Verdict.STORED if trusted else Verdict.RETRY

    def _chunk_request(self, reader: Reader) -> Request:
        options = self._options
        record = self._entry.record
        pairs = parameters.for_upload(self._context.names, self._facts(), self._query())
        in_query = options.params_in != "form" or options.method == "octet"
        url = self._url(self._hooks, options.target, parameters.query_string(pairs if in_query else ()))
        base64 = options.chunk_format == "base64"
        content_type = "application/octet-stream"
        if options.set_chunk_type_from_file and record.mime_type:
            content_type = record.mime_type
        headers = self._headers()
        made = None
        if options.method == "multipart":
            made = form.encode_form(
                pairs if options.params_in != "query" else (),
                file_field=options.parameter_namespace + options.file_parameter_name,
                file_name=None if base64 else record.file_name,
                content_type=content_type,
                boundary=self._context.boundary(),
                prefix=form.base64_prefix(content_type) if base64 else "",
            )
            # No other type will do: the boundary is in it.
            headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
            headers["Content-Type"] = made.content_type
        elif not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = "application/octet-stream"
        body: Body = ChunkBody(reader, self._start, self._end, buffer=self._context.buffer(), form=made, base64=base64)
        if self._context.rate_limiter is not None:
            body = RateLimitedBody(body, self._context.rate_limiter, lambda: self._control.stopped)
        connect, read = options.timeout
        if self._lease.final and read is not None:
            longest = options.final_chunk_timeout
            read = None if longest is None else max(read, longest)
        return Request(options.upload_method, url, headers, body, (connect, read), stall=options.timeout[1])

    # -- one request ---------------------------------------------------------------------------------------------

    def _send_renewing(self, make: Callable[[], Request], request: Request | None = None) -> Reply:
        """The answer to the request, or to the one that ``make`` returns. After a 401 it is made anew, once."""
        reply = self._send(request or make())
        if self._renewable(reply, None):
            with self._context.auth_refresh_lock:
                request = make()
            reply = self._send(request)
        return reply

    def _send(self, request: Request) -> Reply:
        """The answer, behind the redirects that may be followed: 307 and 308, to where we may go, with the body."""
        for _ in range(MOST_HOPS):
            self._request = request
            if messages.origin(request.url) in self._context.origins:
                request = request._replace(
                    headers={**request.headers, SESSION_HEADER: self._context.session_of(self._lease.file)}
                )
            reply = self._context.transport.send(request, self._control)
            self._hear(reply)
            there = messages.redirect_target(request.url, reply) if reply.status in (307, 308) else ""
            if not there or not messages.may_follow(request.url, there, self._options.redirect_origins):
                break
            request = request._replace(url=there)
        return reply

    def _hear(self, reply: Reply) -> None:
        """Remember what a receiver of this package said about the whole file."""
        if not _is_ours(reply):
            return
        self._ours = True
        self._context.origins.add(messages.origin(self._request.url))
        status = _file_status(reply)
        if status is not None:
            self._proof = Proof.WHOLE if status.whole else Proof.PARTIAL
        elif self._proof is Proof.NONE:
            self._proof = Proof.PARTIAL

    @property
    def _count(self) -> int:
        return self._entry.plan.count

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
        return self._hooks.merged("query", self._subjects)

    def _headers(self) -> dict[str, str]:
        values = self._hooks.merged("headers", self._subjects)
        return {str(name): parameters.text(value) for name, value in values.items() if value is not None}

    @staticmethod
    def _url(hooks: Hooks, target: Any, query: str) -> str:
        """The URL that a hook makes, or else the target with the query behind it."""
        url = hooks.call("target", query.split("&") if query else []) if hooks.has("target") else None
        if url is None and not callable(target):
            return parameters.with_query(target, query)
        if not isinstance(url, str) or not messages.origin(url):
            raise HookError(f"hook target returned {type(url).__name__}, not an http:// or https:// URL", hook="target")
        return url

    # -- what came of it -----------------------------------------------------------------------------------------

    def _judge(self, reply: Reply) -> Judgement | None:
        """Return what the body of an answer with a success status says, or None for another status."""
        if self._context.rules.upload(reply.status) is not Verdict.STORED:
            return None
        decided = self._hooks.call("accept_response", reply)
        if decided is not None and not isinstance(decided, bool):
            raise HookError(
                f"hook accept_response returned {type(decided).__name__}, not True, False or None",
                hook="accept_response",
            )
        if decided is not None:
            return Judgement(Acceptance.ACCEPTED) if decided else Judgement(Acceptance.REFUSED)
        judgement = acceptance.judge(reply.text, cut=reply.cut)
        if self._ours and not _is_ours(reply):
            refused = judgement.acceptance is Acceptance.REFUSED or judgement.remedy is Remedy.RENEWAL
            return judgement if refused else OTHER_SERVER
        return self._proven(judgement) if judgement.acceptance is Acceptance.UNPROVEN else judgement

    def _proven(self, judgement: Judgement) -> Judgement:
        """Return the judgement after the server was asked for the chunk, unless an equal answer was proven before."""
        answers, request = self._context.answers, self._request
        place = messages.origin(request.url)
        if answers.proven(place, judgement.kind):
            return Judgement(Acceptance.ACCEPTED)
        answer = self.ask()
        self._request = request
        if answer is not Verdict.STORED:
            missing = "the server does not have the chunk"
            doubt = missing if answer is Verdict.MISSING else "its tests do not tell whether it has the chunk"
            return judgement._replace(reason=f"{judgement.reason}, and {doubt}")
        # A chunk that may have been there before proves this answer only, and so does a page that may come instead of
        # any other.
        lasting = self._absent and judgement.remedy is not Remedy.RENEWAL
        if answers.prove(place, judgement.kind, lasting=lasting):
            logger.warning(
                "%s: a chunk was answered with %s; the server was asked and has it, so such answers count as a yes",
                messages.redacted(request.url),
                judgement.reason,
            )
        return Judgement(Acceptance.ACCEPTED)

    def _renewable(self, reply: Reply, judgement: Judgement | None) -> bool:
        """Whether the chunk was refused for its credentials, and they can be made anew.

        After a 401 the transport has asked the user's Session for new ones already.
        """
        if judgement is None:
            return reply.status == 401 and self._makes_credentials
        if judgement.acceptance is Acceptance.ACCEPTED or judgement.remedy is not Remedy.RENEWAL:
            return False
        session = self._options.session
        return self._makes_credentials or callable(session) or getattr(session, "auth", None) is not None

    @property
    def _makes_credentials(self) -> bool:
        return self._hooks.has("headers") or self._hooks.has("query")

    def completed(self, outcome: Outcome) -> Outcome:
        """Return the outcome, with what the answers of this turn said besides. Raises HookError."""
        outcome = self._outcomes.postponed(outcome)
        proof = outcome.proof if self._proof is Proof.NONE else self._proof
        return outcome._replace(stored=self._stored, believed=self._believed, proof=proof)


def _is_ours(reply: Reply) -> bool:
    """Whether the answer comes from a receiver of this package."""
    return SERVER_HEADER.lower() in reply.headers


def _file_status(reply: Reply) -> FileStatus | None:
    return parse_file_status(reply.headers.get(FILE_HEADER.lower(), ""))
