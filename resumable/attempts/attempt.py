"""One attempt at one chunk: the test, and the upload."""

from __future__ import annotations

import errno
import logging
from functools import cached_property

from ..core.records import Outcome, OutcomeKind, Proof
from ..dispatch.transfers import Transfer
from ..errors import SourceError
from ..protocol import acceptance, pages
from ..protocol.acceptance import Acceptance, Judgement, Remedy
from ..protocol.headers import FILE_HEADER, FileStatus, from_receiver
from ..protocol.parameters import ChunkFacts
from ..protocol.verdict import Verdict
from ..sources.path import Reader, Source
from ..transport.base import NetworkFailure, Reply, Request, Stopped
from ..transport.body import HeldBody
from . import messages
from .context import AttemptContext
from .exchange import Exchange, file_status
from .outcomes import EARLY, OTHER_SERVER, SILENT, Outcomes
from .presence import ABSENT, PresenceTest

__all__ = ["Attempt"]

logger = logging.getLogger("resumable")

_NO_HANDLES = (errno.EMFILE, errno.ENFILE)


class Attempt:
    """One attempt at one chunk: a test, an upload, or both. Used once, by one worker."""

    _lacking = False

    def __init__(self, context: AttemptContext, transfer: Transfer) -> None:
        self._context = context
        self._hooks = context.hooks
        self._options = context.options
        self._transfer = transfer
        self._entry = entry = transfer.entry
        self._lease = lease = transfer.lease
        self._control = transfer.control
        self._exchange = Exchange(context, transfer)
        self._source: Source = entry.source
        self._span = lease.start, lease.end
        if self._hooks.has("preprocess"):
            replacement = context.replaced("preprocess", transfer.subjects()[1], entry.record.file_name)
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
        return Outcomes(self._context, self._transfer)

    @cached_property
    def _test(self) -> PresenceTest:
        return PresenceTest(self._context, self._exchange, self._transfer, self._facts)

    # -- test ----------------------------------------------------------------------------------------------------

    def test(self) -> Outcome:
        """Return the outcome of the test: whatever goes wrong with one, the upload that follows decides, as in
        resumable.js, unless it is of no use. Raises what :meth:`upload` does."""
        unknown = Outcome(OutcomeKind.ABSENT)
        exchange, heard, test = self._exchange, self._exchange.heard, self._test
        try:
            request = test.request()
            if test.useless:
                return unknown
            reply = test.send(request)
            heard["crowded"] = reply.status == 429
            decision = test.verdict(reply)
            self._lacking = decision is Verdict.MISSING and reply.status in ABSENT
            if decision is Verdict.FATAL:
                outcome = self._outcomes.refused(exchange.request, reply)
                return outcome if outcome.kind is OutcomeKind.REFUSED else unknown
            if decision is Verdict.STORED and not test.believable(reply):
                return unknown
        except NetworkFailure as failure:
            return self._outcomes.failed(exchange.request, failure) if failure.permanent else unknown
        known = from_receiver(reply.headers)
        if known or not exchange.ours:
            exchange.hear_stored(reply, self._facts.total_chunks)
        heard["believed"] = not known and not self._options.trust_tests
        if decision is Verdict.STORED:
            return Outcome(OutcomeKind.PRESENT, reply.text, answered=True)
        answered = self._lacking or (400 <= reply.status < 500 and reply.status not in SILENT)
        return Outcome(OutcomeKind.ABSENT, answered=answered)

    def confirm(self) -> Outcome:
        """Return whether the server has the file, all chunks of which are taken for stored.

        A receiver of this package says so. A foreign server is asked once more for a chunk that it said it has, and for
        one that it cannot have.
        """
        exchange, test = self._exchange, self._test
        try:
            reply = test.send()
            if self._options.part and not exchange.heard.get("any_order") and self._options.chunk_order != "free":
                return self._outcomes.ordered(exchange.request, reply)
            if from_receiver(reply.headers):
                return self._confirmed(reply)
            if exchange.ours:
                elsewhere = reply.status in (401, 403, 407) or 300 <= reply.status < 400
                outcome = self._outcomes.refused if elsewhere else self._outcomes.unknown
                return outcome(exchange.request, reply)
            if reply.status in SILENT:
                return self._outcomes.again(exchange.request, reply)
            decision = test.verdict(reply)
            test.forget()
            confirmed = decision is Verdict.STORED and test.believable(reply)
        except NetworkFailure as failure:
            return self._outcomes.failed(exchange.request, failure)
        return Outcome(OutcomeKind.PRESENT if confirmed else OutcomeKind.DENIED, reply.text, answered=True)

    def _confirmed(self, reply: Reply) -> Outcome:
        """Return the outcome of what a receiver of this package says about the file."""
        exchange, count = self._exchange, self._facts.total_chunks
        if exchange.proof is Proof.WHOLE:
            exchange.hear_stored(reply, count)
            return Outcome(OutcomeKind.PRESENT, reply.text, answered=True)
        if FILE_HEADER.lower() not in reply.headers and reply.status not in (200, 201, 204):
            permanent = self._context.rules.upload(reply.status) is Verdict.FATAL
            outcome = self._outcomes.refused if permanent else self._outcomes.again
            return outcome(exchange.request, reply)
        exchange.hear_stored(reply, count)
        error = self._outcomes.incomplete(exchange.request, file_status(reply) or FileStatus(False, 0, count))
        return Outcome(OutcomeKind.DENIED, reply.text, error, answered=True)

    # -- upload --------------------------------------------------------------------------------------------------

    def upload(self) -> Outcome:
        """Send the chunk, and return the outcome. Raises SourceFailure, SourceError, HookError."""
        exchange = self._exchange
        try:
            opened = self._source.open()
        except SourceError as error:
            if error.errno not in _NO_HANDLES:
                raise
            return self._outcomes.unopened(error)
        with opened as reader:
            try:
                reply = self._send_chunk(reader)
                if reply is None:
                    return Outcome(OutcomeKind.ACCEPTED, answered=True)
                judgement = self._judge(reply)
                accepted = judgement is not None and judgement.acceptance is Acceptance.ACCEPTED
                if not accepted and self._renewable(reply, judgement):
                    # The headers may have held a token that has just expired: made again, they get one more chance.
                    # By one worker at a time: the second finds the token renewed.
                    with self._context.auth_refresh_lock:
                        request = self._chunk_request(reader)
                    # Code that makes credentials for a 401 does not know that a page may ask for them, too.
                    reply = exchange.send(request._replace(renew=judgement is not None))
                    judgement = self._judge(reply)
            except NetworkFailure as failure:
                return self._outcomes.failed(exchange.request, failure)._replace(ambiguous=exchange.delivered)
            except Stopped:
                return Outcome(OutcomeKind.STOPPED, ambiguous=exchange.delivered)
        if judgement is None:
            return self._outcomes.answered(exchange.request, reply)
        if judgement.acceptance is Acceptance.ACCEPTED and not judgement.unfinished:
            return Outcome(OutcomeKind.ACCEPTED, reply.text, answered=True)
        return self._outcomes.judged(exchange.request, reply, judgement)

    def _send_chunk(self, reader: Reader) -> Reply | None:
        """Send the chunk, and return the answer, or None if it was lost, and the server has the chunk.

        An answer on a connection that was kept alive may be lost because nobody listened there any more.
        """
        try:
            return self._exchange.send(self._chunk_request(reader, replay=not self._lease.askable))
        except NetworkFailure as failure:
            if not (failure.stale and self._exchange.delivered and self._lease.askable):
                raise
        stored = self._test.ask() is Verdict.STORED
        return None if stored else self._exchange.send(self._chunk_request(reader))

    def _chunk_request(self, reader: Reader, *, replay: bool = True) -> Request:
        request = self._context.requests.upload(
            self._facts,
            self._transfer.subjects,
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
        if self._exchange.ours and not from_receiver(reply.headers):
            refused = judgement.acceptance is Acceptance.REFUSED or judgement.remedy is Remedy.RENEWAL
            return judgement if refused else OTHER_SERVER
        if self._control.early and judgement.acceptance is Acceptance.ACCEPTED and not from_receiver(reply.headers):
            judgement = EARLY
        return self._proven(judgement) if judgement.acceptance is Acceptance.UNPROVEN else judgement

    def _proven(self, judgement: Judgement) -> Judgement:
        """Return the judgement after the server was asked for the chunk, unless an equal answer was proven before."""
        answers, request = self._context.answers, self._exchange.request
        place = messages.origin(request.url)
        if answers.proven(place, judgement.kind):
            return Judgement(Acceptance.ACCEPTED)
        answer = self._test.ask()
        self._exchange.request = request
        if answer is not Verdict.STORED:
            missing = "the server does not have the chunk"
            doubt = missing if answer is Verdict.MISSING else "its tests do not tell whether it has the chunk"
            return judgement._replace(reason=f"{judgement.reason}, and {doubt}")
        # A chunk that may have been there before proves this answer only, and so does what may come instead of any
        # other answer: a log-in page, or one before the chunk.
        lasting = self._lacking and judgement.remedy is not Remedy.RENEWAL and judgement is not EARLY
        if answers.prove(place, judgement.kind, lasting=lasting):
            logger.warning(
                "%s: a chunk was answered with %s; the server was asked and has it, so such answers count as a yes",
                messages.redacted(request.url),
                judgement.reason,
            )
        return Judgement(Acceptance.ACCEPTED)

    def _renewable(self, reply: Reply, judgement: Judgement | None) -> bool:
        """Return whether the chunk, which was not accepted, was refused for its credentials, and new ones can be made.

        After a 401 the transport has asked the user's Session for new ones already.
        """
        renewable = self._context.makes_credentials
        if judgement is None:
            return reply.status == 401 and renewable
        session = self._options.session
        renewable = renewable or callable(session) or getattr(session, "auth", None) is not None
        return judgement.remedy is Remedy.RENEWAL and renewable

    def completed(self, outcome: Outcome) -> Outcome:
        """Return the outcome, with what else the answers of this attempt said. Raises HookError, and what
        :meth:`upload` does."""
        exchange = self._exchange
        stored = outcome.kind in (OutcomeKind.PRESENT, OutcomeKind.ACCEPTED)
        whole = stored and (self._lease.final or self._lease.confirm or exchange.proof is Proof.WHOLE)
        if whole and self._options.file_checksum:
            # The file may be there without a request that had its hash, which is promised all the same.
            self._context.digest_of(self._entry).wait(self._is_stopped)
        if outcome.kind is OutcomeKind.RETRY:
            outcome = self._outcomes.postponed(outcome)
        lacking = self._lacking and self._control.seen
        proof = outcome.proof if exchange.proof is Proof.NONE else exchange.proof
        return outcome._replace(lacking=lacking, proof=proof, response=exchange.reply, **exchange.heard)
