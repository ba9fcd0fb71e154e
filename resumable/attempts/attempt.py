"""One attempt at one chunk: the test, the canary, and the upload."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import cached_property
from typing import Any

from ..core.records import Outcome, OutcomeKind, Proof
from ..dispatch.transfers import Transfer
from ..protocol import acceptance, pages, verdict
from ..protocol.acceptance import Acceptance, Judgement, Remedy
from ..protocol.completion import parse_completion
from ..protocol.headers import (
    FILE_HEADER,
    MAX_UPLOADS_HEADER,
    ORDER_ANY,
    ORDER_HEADER,
    SERVER_HEADER,
    SESSION_HEADER,
    FileStatus,
    parse_file_status,
    parse_max_uploads,
)
from ..protocol.parameters import ChunkFacts
from ..protocol.verdict import STORED_CHUNKS_HEADER, Verdict
from ..sources.path import Reader, Source
from ..transport.base import NetworkFailure, Reply, Request, Stopped
from ..transport.body import HeldBody
from . import messages
from .context import AttemptContext
from .outcomes import MOST_HOPS, OTHER_SERVER, SILENT, Outcomes

__all__ = ["Attempt"]

logger = logging.getLogger("resumable")

_ABSENT = frozenset({202, 203, 204, 205, 206, 404, 410})

_MAX_UPLOADS = MAX_UPLOADS_HEADER.lower()

_AHEAD_TIMEOUT = 5.0
"""Seconds for the answer to a test ahead: a server may have no thread for so many connections."""


class Attempt:
    """One attempt at one chunk: a test, an upload, or both. Used once, by one worker. ``_heard`` is what the answers
    said that belongs to the outcome, whatever becomes of the chunk."""

    _request = Request("", "")
    _proof = Proof.NONE
    _reply: Reply | None = None
    _lacking = _delivered = False
    _question: tuple[str, ...] = ()

    def __init__(self, context: AttemptContext, transfer: Transfer) -> None:
        self._context = context
        self._hooks = context.hooks
        self._options = context.options
        self._entry = entry = transfer.entry
        self._lease = lease = transfer.lease
        self._control = transfer.control
        self._source: Source = entry.source
        self._span = lease.start, lease.end
        self._ours = lease.ours
        self._heard: dict[str, Any] = {}
        if self._hooks.has("preprocess"):
            replacement = context.replaced("preprocess", self._subjects()[1], entry.record.file_name)
            if replacement is not None:
                self._source = replacement
                self._span = 0, replacement.size
        record = entry.record
        self._facts = ChunkFacts(
            lease.index + 1,
            context.options.chunk_size,
            self._span[1] - self._span[0],
            record.size,
            record.mime_type,
            record.unique_identifier or "",
            record.file_name,
            record.relative_path,
            entry.plan.count,
        )

    @cached_property
    def _outcomes(self) -> Outcomes:
        context = self._context
        return Outcomes(
            context.hooks, context.rules, context.options, self._entry, self._lease, first_time=context.first_time
        )

    def _subjects(self) -> tuple[Any, Any]:
        """Return the file and the chunk as users hold them."""
        return self._entry.subject, self._entry.subject.chunks[self._lease.index]

    # -- test ----------------------------------------------------------------------------------------------------

    def test(self) -> Outcome:
        """Return the outcome of the test: whatever goes wrong with one, the upload that follows decides, as in
        resumable.js, unless it is of no use. Raises what :meth:`upload` does."""
        unknown = Outcome(OutcomeKind.ABSENT)
        try:
            request = self._own_test()
            if self._context.canary.failed(self._question) and not self._ours:
                return unknown
            reply = self._send_renewing(self._own_test, request)
            self._heard["crowded"] = reply.status == 429
            decision = self._present(reply)
            self._lacking = decision is Verdict.MISSING and reply.status in _ABSENT
            if decision is Verdict.FATAL:
                outcome = self._outcomes.refused(self._request, reply)
                return outcome if outcome.kind is OutcomeKind.REFUSED else unknown
            if decision is Verdict.STORED and not self._believable(reply):
                return unknown
        except NetworkFailure as failure:
            return self._outcomes.failed(self._request, failure) if failure.permanent else unknown
        known = _is_ours(reply)
        if known or not self._ours:
            self._hear_stored(reply)
            self._heard["listed"] = known and STORED_CHUNKS_HEADER.lower() in reply.headers
        self._heard["believed"] = not known and not self._options.trust_tests
        if decision is Verdict.STORED:
            return Outcome(OutcomeKind.PRESENT, reply.text, answered=True)
        answered = self._lacking or (400 <= reply.status < 500 and reply.status not in SILENT)
        return Outcome(OutcomeKind.ABSENT, answered=answered)

    def confirm(self) -> Outcome:
        """Return whether the server has the file, all chunks of which are taken for stored.

        A receiver of this package says so. A foreign server is asked once more for a chunk that it said it has, and for
        one that it cannot have.
        """
        try:
            reply = self._send_renewing(self._own_test)
            if self._options.part and not self._heard.get("any_order") and self._options.chunk_order != "free":
                return self._outcomes.ordered(self._request, reply)
            if _is_ours(reply):
                return self._confirmed(reply)
            if self._ours:
                elsewhere = reply.status in (401, 403, 407) or 300 <= reply.status < 400
                return (
                    self._outcomes.refused(self._request, reply)
                    if elsewhere
                    else self._outcomes.unknown(self._request, reply)
                )
            if reply.status in SILENT:
                return self._outcomes.again(self._request, reply)
            decision = self._present(reply)
            self._context.canary.forget(self._question)
            confirmed = decision is Verdict.STORED and self._believable(reply)
        except NetworkFailure as failure:
            return self._outcomes.failed(self._request, failure)
        return Outcome(OutcomeKind.PRESENT if confirmed else OutcomeKind.DENIED, reply.text, answered=True)

    def _confirmed(self, reply: Reply) -> Outcome:
        """Return the outcome of what a receiver of this package says about the file."""
        if self._proof is Proof.WHOLE:
            self._hear_stored(reply)
            return Outcome(OutcomeKind.PRESENT, reply.text, answered=True)
        if FILE_HEADER.lower() not in reply.headers and reply.status not in (200, 201, 204):
            permanent = self._context.rules.upload(reply.status) is Verdict.FATAL
            return (
                self._outcomes.refused(self._request, reply)
                if permanent
                else self._outcomes.again(self._request, reply)
            )
        self._hear_stored(reply)
        self._heard["listed"] = STORED_CHUNKS_HEADER.lower() in reply.headers
        status = _file_status(reply) or FileStatus(False, 0, self._facts.total_chunks)
        return Outcome(OutcomeKind.DENIED, reply.text, self._outcomes.incomplete(self._request, status), answered=True)

    def _hear_stored(self, reply: Reply) -> None:
        """Take in which chunks the server has."""
        count = self._facts.total_chunks
        said = reply.headers.get(STORED_CHUNKS_HEADER.lower(), "")
        self._heard["stored"] = ((0, count),) if self._proof is Proof.WHOLE else verdict.parse_ranges(said, count)

    def _present(self, reply: Reply) -> Verdict:
        """Return what the answer to a test says. A page, a refusal or a redirect is never "present", and undoes what
        was thought of the server's tests."""
        decided, _ = self._hooks.judge("chunk_exists", reply)
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
        """Return what the answer to a test is instead of an answer; empty if it is one."""
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
        """Return whether the server's "present" can be believed. Raises NetworkFailure."""
        if _is_ours(reply) or self._options.trust_tests:
            return True
        # Some servers truly have each chunk of nothing, so a canary says nothing there; and to send it costs nothing.
        return self._entry.record.size > 0 and self._context.canary.passed(self._question, self._canary)

    def _canary(self) -> bool | None:
        """Return whether the server tells a chunk that it has from one that cannot exist; None if it did not say.

        Raises NetworkFailure.
        """
        identifier = f"resumable-canary-{os.urandom(12).hex()}"
        name = identifier + os.path.splitext(self._entry.record.file_name)[1]
        facts = self._facts._replace(identifier=identifier, file_name=name, relative_path=name)
        if not facts.total_size:
            facts = facts._replace(total_size=1, current_chunk_size=1)
        reply = self._send_renewing(lambda: self._test_request(facts))
        decision = self._present(reply)
        if decision is not Verdict.STORED:
            silent = reply.status in SILENT or self._strange(reply, self._context.rules.test(reply.status))
            return None if silent else True
        logger.warning(
            "the server says 'present' for a chunk that cannot exist (%s): its tests are not believed and "
            "everything is sent; trust_tests=True believes them",
            messages.redacted(self._request.url),
        )
        return False

    def _own_test(self) -> Request:
        """Return the test of this chunk. A verdict on tests belongs to where they are sent, and to files of one
        kind."""
        request = self._test_request(self._facts)
        record = self._entry.record
        kind = os.path.splitext(record.file_name)[1].lower()
        self._question = messages.redacted(request.url), record.mime_type, kind
        return request

    def _test_request(self, facts: ChunkFacts) -> Request:
        request = self._context.requests.test(facts, self._subjects)
        if not self._lease.ahead:
            return request
        connect, read = request.timeout
        return request._replace(timeout=(connect, min(read or _AHEAD_TIMEOUT, _AHEAD_TIMEOUT)))

    # -- upload --------------------------------------------------------------------------------------------------

    def upload(self) -> Outcome:
        """Send the chunk, and return the outcome. Raises SourceFailure, SourceError, HookError."""
        with self._source.open() as reader:
            try:
                reply = self._send_chunk(reader)
                if reply is None:
                    return Outcome(OutcomeKind.ACCEPTED, answered=True)
                judgement = self._judge(reply)
                if self._renewable(reply, judgement):
                    # The headers may have held a token that has just expired: made again, they get one more chance.
                    # By one worker at a time: the second finds the token renewed.
                    with self._context.auth_refresh_lock:
                        request = self._chunk_request(reader)
                    # Code that makes credentials for a 401 does not know that a page may ask for them, too.
                    reply = self._send(request._replace(renew=judgement is not None))
                    judgement = self._judge(reply)
            except NetworkFailure as failure:
                return self._outcomes.failed(self._request, failure)._replace(ambiguous=self._delivered)
            except Stopped:
                return Outcome(OutcomeKind.STOPPED, ambiguous=self._delivered)
        if judgement is None:
            return self._outcomes.answered(self._request, reply)
        if judgement.acceptance is Acceptance.ACCEPTED and not judgement.unfinished:
            return Outcome(OutcomeKind.ACCEPTED, reply.text, answered=True)
        return self._outcomes.judged(self._request, reply, judgement)

    def _send_chunk(self, reader: Reader) -> Reply | None:
        """Send the chunk, and return the answer, or None if it was lost, and the server has the chunk.

        An answer on a connection that was kept alive may be lost because nobody listened there any more.
        """
        try:
            return self._send(self._chunk_request(reader, replay=not self._lease.askable))
        except NetworkFailure as failure:
            if not (failure.stale and self._delivered and self._lease.askable):
                raise
        return None if self.ask() is Verdict.STORED else self._send(self._chunk_request(reader))

    def ask(self) -> Verdict:
        """Ask the server whether it has the chunk, after its answer to the chunk was lost, or proved nothing.

        Return STORED, MISSING, or RETRY if its tests cannot tell. Raises NetworkFailure, Stopped, HookError.
        """
        reply = self._send_renewing(self._own_test)
        decided, _ = self._hooks.judge("chunk_exists", reply)
        if decided is not None:
            return Verdict.STORED if decided else Verdict.MISSING
        if self._present(reply) is not Verdict.STORED:
            return Verdict.MISSING if reply.status in _ABSENT else Verdict.RETRY
        trusted = _is_ours(reply) or self._options.trust_tests
        trusted = trusted or self._context.canary.passed(self._question, self._canary)
        return Verdict.STORED if trusted else Verdict.RETRY

    def _chunk_request(self, reader: Reader, *, replay: bool = True) -> Request:
        request = self._context.requests.upload(
            self._facts,
            self._subjects,
            reader,
            self._span,
            final=self._lease.final,
            stopped=self._is_stopped,
            file_sha256=self._file_sha256() if self._options.file_checksum else None,
            replay=replay,
        )
        if request.body is None or not self._control.holds_end:
            return request
        return request._replace(body=HeldBody(request.body, reader, self._control))

    def _is_stopped(self) -> bool:
        return self._control.stopped

    def _file_sha256(self) -> str | None:
        """Return the hash of the whole file, if it is known or this chunk may complete the file."""
        digest = self._context.digest_of(self._entry)
        return digest.wait(self._is_stopped) if self._lease.final else digest.value

    # -- one request ---------------------------------------------------------------------------------------------

    def _send_renewing(self, make: Callable[[], Request], request: Request | None = None) -> Reply:
        """Send the request, or the one that ``make`` returns, and return the answer. After a 401 it is made again,
        once."""
        reply = self._send(request or make())
        if self._renewable(reply, None):
            with self._context.auth_refresh_lock:
                request = make()
            reply = self._send(request)
        return reply

    def _send(self, request: Request) -> Reply:
        """Send the request, and return the answer. Redirects are followed that may be: 307 and 308, with the body."""
        for _ in range(MOST_HOPS):
            self._request = request
            origins = self._context.origins
            if origins and messages.origin(request.url) in origins:
                request = request._replace(
                    headers={**request.headers, SESSION_HEADER: self._context.session_of(self._lease.file)}
                )
            try:
                reply = self._reply = self._context.send(request, self._control)
            finally:
                if request.body is not None:
                    self._delivered = self._control.whole
            said = reply.headers.get(_MAX_UPLOADS)
            if said is not None:
                self._heard["max_uploads"] = parse_max_uploads(said)
            if _is_ours(reply):
                self._remember(reply)
            there = messages.redirect_target(request.url, reply) if reply.status in (307, 308) else ""
            if not there or not messages.may_follow(request.url, there, self._options.redirect_origins):
                break
            request = request._replace(url=there)
        return reply

    def _remember(self, reply: Reply) -> None:
        """Remember what a receiver of this package said about the whole file."""
        self._ours = True
        self._context.origins.add(messages.origin(self._request.url))
        limited = self._heard.get("max_uploads") is not None
        self._heard["any_order"] = reply.headers.get(ORDER_HEADER.lower()) == ORDER_ANY
        self._heard["takes_questions"] = (limited and self._context.requests.may_ask) or None
        status = _file_status(reply)
        if status is not None:
            self._proof = Proof.WHOLE if status.whole else Proof.PARTIAL
            self._heard["result"] = parse_completion(reply.headers, reply.text) if status.whole else None
        elif self._proof is Proof.NONE:
            self._proof = Proof.PARTIAL

    # -- what came of it -----------------------------------------------------------------------------------------

    def _judge(self, reply: Reply) -> Judgement | None:
        """Return what the body of an answer with a success status says, or None for another status."""
        if self._context.rules.upload(reply.status) is not Verdict.STORED:
            return None
        decided, label = self._hooks.judge("accept_response", reply)
        if decided:
            return Judgement(Acceptance.ACCEPTED)
        if decided is not None:
            said = acceptance.quoted(pages.summary(reply.text)) if reply.text else ""
            return Judgement(Acceptance.REFUSED, f"refused by {label} {said}".rstrip())
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
        lasting = self._lacking and judgement.remedy is not Remedy.RENEWAL
        if answers.prove(place, judgement.kind, lasting=lasting):
            logger.warning(
                "%s: a chunk was answered with %s; the server was asked and has it, so such answers count as a yes",
                messages.redacted(request.url),
                judgement.reason,
            )
        return Judgement(Acceptance.ACCEPTED)

    def _renewable(self, reply: Reply, judgement: Judgement | None) -> bool:
        """Return whether the chunk was refused for its credentials, and new ones can be made.

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
        """Return the outcome, with what else the answers of this attempt said. Raises HookError, and what
        :meth:`upload` does."""
        stored = outcome.kind in (OutcomeKind.PRESENT, OutcomeKind.ACCEPTED)
        whole = stored and (self._lease.final or self._lease.confirm or self._proof is Proof.WHOLE)
        if whole and self._options.file_checksum:
            # The file may be there without a request that had its hash, which is promised all the same.
            self._context.digest_of(self._entry).wait(self._is_stopped)
        if outcome.kind is OutcomeKind.RETRY:
            outcome = self._outcomes.postponed(outcome)
        if self._proof is not Proof.NONE:
            self._heard["proof"] = self._proof
        lacking = self._lacking and self._control.seen
        return outcome._replace(lacking=lacking, response=self._reply, **self._heard)


def _is_ours(reply: Reply) -> bool:
    """Return whether the answer comes from a receiver of this package."""
    return SERVER_HEADER.lower() in reply.headers


def _file_status(reply: Reply) -> FileStatus | None:
    return parse_file_status(reply.headers.get(FILE_HEADER.lower(), ""))
