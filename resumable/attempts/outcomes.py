"""Turn an answer, or none, into the outcome of an attempt, with the error that the user gets if it was the last."""

from __future__ import annotations

import logging
import random
import sys
import time
from typing import Any

from .. import statuses
from ..core.records import Outcome, OutcomeKind, Proof
from ..dispatch.transfers import Transfer
from ..errors import (
    AuthenticationRefused,
    HookError,
    IncompleteUpload,
    RedirectRefused,
    RetriesExhausted,
    ServerRefused,
    SourceError,
    TransportError,
    UploadError,
)
from ..hooks import run
from ..protocol import pages
from ..protocol.acceptance import Acceptance, Judgement, Remedy
from ..protocol.headers import FILE_HEADER, SERVER_HEADER, FileStatus, from_receiver
from ..protocol.retry_after import parse_http_date, parse_retry_after
from ..protocol.verdict import Verdict
from ..statuses import Decision
from ..transport.base import NetworkFailure, Reply, Request
from . import hints, messages
from .context import AttemptContext

__all__ = ["EARLY", "MOST_HOPS", "OTHER_SERVER", "SILENT", "Outcomes", "wanted_pause"]

MOST_HOPS = 5
"""Redirects that are followed in a row."""

SILENT = frozenset({401, 407, 429, 502, 503, 504})
"""These say nothing about a chunk: the credentials are not known, or the server has no time."""

OTHER_SERVER = Judgement(Acceptance.UNPROVEN, f"without the header {SERVER_HEADER}, which earlier answers had")

EARLY = Judgement(
    Acceptance.UNPROVEN, "an answer that came before the chunk had been sent to its end", Remedy.RETRY, "early"
)

_ORDERED = "the server does not say that it takes chunks in any order, so it may not be sent a file in parts"
_SAY_FREE = "leave out part, or if it does take them so, add chunk_order='free'"
_REDIRECTS = "check the target, and the redirects of the server"
_MOST_REFUSALS = 3
_DAMAGED = frozenset({*range(300, 400), 400, 403, 404, 405, 411, 415, 417, 431, 501, 505})
_MOST_DAMAGED = 2
"""Attempts at a chunk with a hash that a receiver of this package refuses with one of these: one wrong bit of the
request, or of the answer, may be the reason."""
_NAMED_AFTER = 3
"""Attempts after which the log names the option that lets a strange status count as success."""

logger = logging.getLogger("resumable")


class Outcomes:
    """Makes the outcome of one attempt from the request that was sent last and from what came back. The hook
    ``should_retry`` has its say. All methods raise HookError."""

    def __init__(self, context: AttemptContext, transfer: Transfer) -> None:
        self._hooks = context.hooks
        self._rules = context.rules
        self._options = context.options
        self._first_time = context.first_time
        self._entry = transfer.entry
        self._lease = transfer.lease

    @property
    def _count(self) -> int:
        return self._entry.plan.count

    @property
    def _handle(self) -> Any:
        return self._entry.subject.chunks[self._lease.index]

    def judged(self, request: Request, reply: Reply, judgement: Judgement) -> Outcome:
        """Return the outcome of an answer with a success status that does not simply accept the chunk."""
        if judgement.unfinished:
            incomplete = self.unfinished(request, reply)
            return Outcome(OutcomeKind.ACCEPTED, reply.text, incomplete, answered=True, proof=Proof.UNFINISHED)
        if judgement is OTHER_SERVER:
            return self.unknown(request, reply)
        cls: type[ServerRefused] = ServerRefused
        hint = hints.smaller_chunks(self._lease) if judgement.remedy is Remedy.SMALLER_CHUNKS else None
        if judgement.acceptance is Acceptance.REFUSED and not self._entry.record.size:
            hint = hints.EMPTY_FILE
        if judgement.acceptance is Acceptance.UNPROVEN:
            hint = "accept such answers with accept_response, or check the target"
            if judgement.remedy is Remedy.RENEWAL:
                cls, hint = AuthenticationRefused, "accept such answers with accept_response, or check the credentials"
        what = messages.describe_response(request.method, request.url, reply, judgement.reason, quoted=True)
        most = _MOST_REFUSALS if judgement.remedy is Remedy.RETRY else None
        error = self._error(cls, "refused", what, reply, hint, again=most is not None, most=most)
        again = self._is_retried(error, most is not None and self._lease.retries + 1 < most)
        kind = OutcomeKind.RETRY if again else OutcomeKind.REFUSED
        early = judgement is EARLY
        return Outcome(kind, pages.without_markup(reply.text), error, answered=True, ambiguous=early)

    def answered(self, request: Request, reply: Reply) -> Outcome:
        """Return the outcome of an answer with another status."""
        decision = self._rules.upload(reply.status)
        if decision is Verdict.FATAL or reply.status == 407:
            return self.refused(request, reply)
        return self.again(request, reply)

    def unknown(self, request: Request, reply: Reply) -> Outcome:
        """Return the outcome of an answer that does not come from the receiver which answered before."""
        hint = "check whether another server or a proxy answers at this address"
        return self.again(request, reply, OTHER_SERVER.reason, hint)

    def ordered(self, request: Request, reply: Reply) -> Outcome:
        """Return the outcome of an answer that does not say, before a part of a file is sent, that chunks may come in
        any order."""
        if 300 <= reply.status < 400 or reply.status in (401, 403, 407):
            return self.refused(request, reply)
        if reply.status in (408, 429) or reply.status >= 500:
            return self.again(request, reply)
        what = messages.describe_response(request.method, request.url, reply, _ORDERED)
        error = self._error(ServerRefused, "refused", what, reply, _SAY_FREE, again=False)
        return Outcome(OutcomeKind.REFUSED, pages.without_markup(reply.text), error, answered=True)

    def again(self, request: Request, reply: Reply, reason: str | None = None, hint: str | None = None) -> Outcome:
        """Return the outcome of an answer after which another attempt may succeed."""
        most = statuses.most_attempts(reply.status)
        hint = hint or self._hint(reply)
        what = messages.describe_response(request.method, request.url, reply, reason)
        error = self._error(RetriesExhausted, "failed", what, reply, hint, most=most)
        message = pages.without_markup(reply.text)
        decided, _ = self._hooks.judge("should_retry", error, self._lease.retries + 1)
        if decided is not None:
            error.ending = self._ending(again=decided)
            if not decided:
                return Outcome(OutcomeKind.REFUSED, message, error, answered=True)
            most = None
        if 200 <= reply.status < 300 and self._lease.retries + 1 == _NAMED_AFTER and self._first_time(reply.status):
            logger.warning(
                "%s answers every attempt at a chunk with %d: if it means that the chunk is stored, list %d in "
                "success_statuses",
                messages.redacted(request.url),
                reply.status,
                reply.status,
            )
        # A receiver of this package that says how far the file is speaks of this file alone.
        decision = statuses.decide(reply.status)
        busy = decision is Decision.BUSY and FILE_HEADER.lower() not in reply.headers
        return Outcome(
            OutcomeKind.RETRY,
            message,
            error,
            answered=True,
            ambiguous=decision is Decision.ASK or reason == OTHER_SERVER.reason,
            busy=busy,
            retry_after=wanted_pause(reply),
            limit=most,
        )

    def refused(self, request: Request, reply: Reply) -> Outcome:
        """Return the outcome of a status that says no for good."""
        reason = None
        cls: type[ServerRefused] = ServerRefused
        hint = self._hint(reply)
        if 300 <= reply.status < 400:
            cls = RedirectRefused
            there = messages.redirect_target(request.url, reply)
            reason = f"redirected to {messages.redacted(there)}" if there else "redirected to nowhere"
            if messages.may_follow(request.url, there, self._options.redirect_origins) and reply.status in (307, 308):
                reason = f"redirected more than {MOST_HOPS} times, then to {messages.redacted(there)}"
                hint = _REDIRECTS
            elif there and messages.redacted(there) == messages.redacted(request.url):
                reason, hint = "redirected to itself", _REDIRECTS
            elif reply.status not in (304, 305) and (reply.status not in (307, 308) or not there):
                hint = hints.redirect_hint(there, reply.status)
        elif reply.status in (401, 403, 407):
            cls = AuthenticationRefused
        what = messages.describe_response(request.method, request.url, reply, reason)
        hashed = self._options.checksum is not None and request.body is not None
        damaged = hashed and reply.status in _DAMAGED and from_receiver(reply.headers)
        most = _MOST_DAMAGED if damaged else None
        error = self._error(cls, "refused", what, reply, hint, again=damaged, most=most)
        kind = OutcomeKind.RETRY if self._is_retried(error, damaged) else OutcomeKind.REFUSED
        return Outcome(kind, pages.without_markup(reply.text), error, answered=True, limit=most)

    def failed(self, request: Request, failure: NetworkFailure) -> Outcome:
        """Return the outcome of an attempt that got no usable answer."""
        cls: type[UploadError] = RetriesExhausted
        if failure.permanent or failure.unreachable:
            cls = AuthenticationRefused if failure.status == 407 else TransportError
        what = f"{request.method} {messages.redacted(request.url)} → {failure}"
        hint = failure.hint or statuses.hint(failure.status or 0)
        error = self._error(cls, "failed", what, None, hint, again=not failure.permanent)
        error.status = failure.status
        error.__cause__ = failure
        again = self._is_retried(error, not failure.permanent)
        kind = OutcomeKind.RETRY if again else OutcomeKind.REFUSED
        return Outcome(kind, str(failure), error, unreachable=failure.unreachable)

    def unopened(self, failure: SourceError) -> Outcome:
        """Return the outcome of an attempt for which this process could not open one more file. It may be able to when
        others are closed."""
        hint = "let this process open more files: ulimit -n"
        error = self._error(RetriesExhausted, "failed", str(failure), None, hint)
        error.__cause__ = failure
        kind = OutcomeKind.RETRY if self._is_retried(error, True) else OutcomeKind.REFUSED
        return Outcome(kind, str(failure), error)

    def incomplete(self, request: Request, status: FileStatus) -> IncompleteUpload:
        """Return the error of a file that a receiver of this package does not finish, with all chunks acknowledged."""
        path = repr(self._entry.record.relative_path)
        where = messages.redacted(request.url)
        hint = "the log of the server may say why it does not finish the file"
        if status.stored < status.total:
            hint = "if several servers answer at this address, they need a common store"
        return IncompleteUpload(
            f"{path} is incomplete at {where}: every chunk was acknowledged, but the server has {status.stored} of "
            f"{status.total}",
            stored=status.stored,
            total=status.total,
            file=self._entry.subject,
            attempts=self._lease.retries + 1,
            hint=hint,
        )

    def unfinished(self, request: Request, reply: Reply) -> IncompleteUpload:
        """Return the error of a file that a foreign server does not finish, with all chunks acknowledged."""
        return IncompleteUpload(
            f"{self._entry.record.relative_path!r} is incomplete at {messages.redacted(request.url)}: every chunk was "
            f"acknowledged, but the last answer still says that some are missing: {pages.summary(reply.text)}",
            stored=None,
            total=self._count,
            file=self._entry.subject,
            status=reply.status,
            body=reply.text[:500],
            attempts=self._lease.retries + 1,
            hint="check whether the server can write to its directory of chunks; "
            "if several servers answer at this address, they need a common store",
        )

    def postponed(self, outcome: Outcome) -> Outcome:
        """Return the outcome with the time before the next attempt, if a callable decides it."""
        if outcome.kind is not OutcomeKind.RETRY:
            return outcome
        interval, limit = self._options.chunk_retry_interval, self._options.max_chunk_retries
        last = limit is not None and self._lease.retries >= limit
        if last or not callable(interval):
            return outcome
        delay = run("chunk_retry_interval", interval, self._lease.retries + 1)
        if isinstance(delay, int) and delay > sys.float_info.max:
            # No clock counts that far, and Python refuses to write the longest of such numbers.
            delay = float("inf")
        if not isinstance(delay, (int, float)) or not 0 <= delay < float("inf"):
            raise HookError(
                f"hook chunk_retry_interval returned {delay!r}, not a number of seconds ≥ 0",
                hook="chunk_retry_interval",
            )
        return outcome._replace(delay=delay)

    def _hint(self, reply: Reply) -> str | None:
        return hints.hint(reply, self._options, self._entry.record, self._lease)

    def _is_retried(self, error: UploadError, retry: bool) -> bool:
        """Return whether another attempt follows, which ``should_retry`` may decide against. The error says so."""
        decided, _ = self._hooks.judge("should_retry", error, self._lease.retries + 1)
        if decided is not None:
            retry = decided
            error.ending = self._ending(again=retry)
        return retry

    def _ending(self, *, again: bool, most: int | None = None) -> str:
        """Return how often the chunk was sent, in the words of an error."""
        attempt = self._lease.retries + 1
        if not again:
            return "not retried" if attempt == 1 else f"attempt {attempt}, not retried"
        limit = self._options.max_chunk_retries
        if limit is not None:
            most = min(limit + 1, most or limit + 1)
        # The few attempts that some answers get are counted apart from others.
        return f"attempt {attempt}" + (f" of {most}" if most is not None and attempt <= most else "")

    def _error(
        self,
        cls: type[UploadError],
        verb: str,
        what: str,
        reply: Reply | None,
        hint: str | None = None,
        *,
        again: bool = True,
        most: int | None = None,
    ) -> UploadError:
        """Return the error of a failed attempt, which gets ``most`` attempts, if not as many as others."""
        subject = f"chunk {self._lease.index + 1}/{self._count} of {self._entry.record.relative_path!r}"
        if self._lease.confirm and self._options.part:
            subject = f"the question what the server has of {self._entry.record.relative_path!r}"
        elif self._lease.confirm:
            subject = f"the confirmation that {self._entry.record.relative_path!r} is whole"
        return cls(
            f"{subject} {verb}: {what}",
            file=self._entry.subject,
            chunk=None if self._lease.confirm else self._handle,
            status=reply.status if reply else None,
            body=reply.text[:500] if reply else "",
            attempts=self._lease.retries + 1,
            ending=self._ending(again=again, most=most),
            hint=hint,
        )


def wanted_pause(reply: Reply) -> float | None:
    """Return the seconds for which the server wants to be left alone (RFC 9110, 10.2.3), or None if it does not say.

    A little is added at random, so that clients that were sent away together do not come back together.
    """
    # By the server's own clock, if it tells it: ours may be wrong.
    now = parse_http_date(reply.headers.get("date", ""))
    seconds = parse_retry_after(reply.headers.get("retry-after", ""), time.time() if now is None else now)
    return None if seconds is None else seconds * random.uniform(1.0, 1.1)
