"""What came of an attempt, as an outcome: what an answer, or none, means for the chunk, and the error that says so."""

from __future__ import annotations

import random
import time
from typing import Any

from .. import statuses
from ..core.records import (
    Lease,
    Outcome,
    OutcomeKind,
    Proof,
)
from ..dispatch.registry import FileEntry
from ..errors import (
    AuthenticationRefused,
    HookError,
    IncompleteUpload,
    RedirectRefused,
    RetriesExhausted,
    ServerRefused,
    TransportError,
    UploadError,
)
from ..hooks import Hooks, run
from ..options import Options
from ..protocol import acceptance
from ..protocol.acceptance import Acceptance, Judgement, Remedy
from ..protocol.headers import SERVER_HEADER, FileStatus
from ..protocol.retry_after import parse_http_date, parse_retry_after
from ..protocol.verdict import Rules, Verdict
from ..statuses import Decision
from ..transport.base import NetworkFailure, Reply, Request
from . import messages

__all__ = ["MOST_HOPS", "OTHER_SERVER", "Outcomes"]

MOST_HOPS = 5
"""Redirects that are followed, one behind the other."""

OTHER_SERVER = Judgement(Acceptance.UNPROVEN, f"without the header {SERVER_HEADER}, which earlier answers had,")

_MOST_REFUSALS = 3


class Outcomes:
    """The outcomes of one attempt. Each is made of the request that was sent last and of what came back; the hook
    should_retry has its say. All raise HookError."""

    def __init__(self, hooks: Hooks, rules: Rules, options: Options, entry: FileEntry, lease: Lease) -> None:
        self._hooks = hooks
        self._rules = rules
        self._options = options
        self._entry = entry
        self._lease = lease

    @property
    def _count(self) -> int:
        return self._entry.plan.count

    @property
    def _handle(self) -> Any:
        return self._entry.subject.chunks[self._lease.index]

    def judged(self, request: Request, reply: Reply, judgement: Judgement) -> Outcome:
        """The outcome of an answer with a success status."""
        if judgement.acceptance is Acceptance.ACCEPTED:
            accepted = Outcome(OutcomeKind.ACCEPTED, reply.text, answered=True)
            if judgement.unfinished:
                return accepted._replace(error=self.unfinished(request, reply), proof=Proof.UNFINISHED)
            return accepted
        if judgement is OTHER_SERVER:
            return self.unknown(request, reply)
        cls: type[ServerRefused] = ServerRefused
        hint = statuses.hint(413) if judgement.remedy is Remedy.SMALLER_CHUNKS else None
        if judgement.acceptance is Acceptance.UNPROVEN:
            hint = "accept such answers with accept_response, or check the target"
            if judgement.remedy is Remedy.RENEWAL:
                cls, hint = AuthenticationRefused, "accept such answers with accept_response, or check the credentials"
        reason = judgement.reason or "accept_response said no"
        what = messages.describe_response(request.method, request.url, reply, reason, quoted=bool(judgement.reason))
        most = _MOST_REFUSALS if judgement.remedy is Remedy.RETRY else None
        error = self._error(cls, "refused", what, reply, hint, most=most)
        again = most is not None and self._lease.retries + 1 < most
        if self._decides_against(error, retry=again):
            again = not again
        kind = OutcomeKind.RETRY if again else OutcomeKind.REFUSED
        return Outcome(kind, acceptance.without_markup(reply.text), error, answered=True)

    def answered(self, request: Request, reply: Reply) -> Outcome:
        """The outcome of an answer with another status."""
        decision = self._rules.upload(reply.status)
        if decision is Verdict.FATAL or reply.status == 407:
            return self.refused(request, reply)
        return self.again(request, reply)

    def unknown(self, request: Request, reply: Reply) -> Outcome:
        """The outcome of an answer that is not that of the receiver which answered before."""
        hint = "see whether another server or a proxy answers at this address"
        return self.again(request, reply, OTHER_SERVER.reason, hint)

    def again(self, request: Request, reply: Reply, reason: str | None = None, hint: str | None = None) -> Outcome:
        """The outcome of an answer after which another attempt may succeed."""
        most = statuses.most_attempts(reply.status)
        hint = hint or statuses.hint(reply.status)
        error = self._error(
            RetriesExhausted,
            "failed",
            messages.describe_response(request.method, request.url, reply, reason),
            reply,
            hint,
            most=most,
        )
        message = acceptance.without_markup(reply.text)
        decided = self._hooks.call("should_retry", error, self._lease.retries + 1)
        if decided is not None:
            if not decided:
                return Outcome(OutcomeKind.REFUSED, message, error, answered=True)
            most = None
        busy = statuses.decide(reply.status) is Decision.BUSY
        wait = _retry_after(reply)
        return Outcome(OutcomeKind.RETRY, message, error, answered=True, busy=busy, retry_after=wait, limit=most)

    def refused(self, request: Request, reply: Reply) -> Outcome:
        """The outcome of a status that says no for good."""
        reason = None
        cls: type[ServerRefused] = ServerRefused
        hint = statuses.hint(reply.status)
        if 300 <= reply.status < 400:
            cls = RedirectRefused
            there = messages.redirect_target(request.url, reply)
            reason = f"it leads to {messages.redacted(there)}" if there else "it leads nowhere"
            if not there:
                hint = "check the target"
            elif reply.status in (307, 308) and messages.may_follow(request.url, there, self._options.redirect_origins):
                hint = f"it leads on and on, through more than {MOST_HOPS} addresses"
        elif reply.status in (401, 403, 407):
            cls = AuthenticationRefused
        error = self._error(
            cls, "refused", messages.describe_response(request.method, request.url, reply, reason), reply, hint
        )
        if self._decides_against(error, retry=False):
            return Outcome(OutcomeKind.RETRY, acceptance.without_markup(reply.text), error, answered=True)
        return Outcome(OutcomeKind.REFUSED, acceptance.without_markup(reply.text), error, answered=True)

    def failed(self, request: Request, failure: NetworkFailure) -> Outcome:
        """The outcome of no usable answer."""
        cls: type[UploadError] = RetriesExhausted
        if failure.permanent or failure.unreachable:
            cls = AuthenticationRefused if failure.status == 407 else TransportError
        what = f"{request.method} {messages.redacted(request.url)} → {failure}"
        error = self._error(cls, "failed", what, None, failure.hint or statuses.hint(failure.status or 0))
        error.status = failure.status
        error.__cause__ = failure
        again = not failure.permanent
        if self._decides_against(error, retry=again):
            again = not again
        kind = OutcomeKind.RETRY if again else OutcomeKind.REFUSED
        return Outcome(kind, str(failure), error, unreachable=failure.unreachable)

    def incomplete(self, request: Request, status: FileStatus) -> IncompleteUpload:
        """The error of a file of which the receiver that acknowledged all chunks does not have all."""
        path = repr(self._entry.record.relative_path)
        where = messages.redacted(request.url)
        hint = "the log of the server may say why it does not finish the file"
        if status.stored < status.total:
            hint = "if several servers answer at this address, they need a common store"
        return IncompleteUpload(
            f"{path} is not whole at {where}: every chunk was acknowledged, and the server has {status.stored} of "
            f"{status.total}",
            stored=status.stored,
            total=status.total,
            file=self._entry.subject,
            attempts=self._lease.retries + 1,
            hint=hint,
        )

    def unfinished(self, request: Request, reply: Reply) -> IncompleteUpload:
        """The error of a file of which a foreign server acknowledged all chunks, and of which it has not all."""
        return IncompleteUpload(
            f"{self._entry.record.relative_path!r} is not whole at {messages.redacted(request.url)}: every chunk was "
            f"acknowledged, and the last answer still says that some are missing: {acceptance.summary(reply.text)}",
            stored=None,
            total=self._count,
            file=self._entry.subject,
            status=reply.status,
            body=reply.text[:500],
            attempts=self._lease.retries + 1,
            hint="see whether the server can write where it keeps chunks; "
            "if several servers answer at this address, they need a common store",
        )

    def postponed(self, outcome: Outcome) -> Outcome:
        """The outcome, with the time before the next attempt where a callable decides that. Raises HookError."""
        if outcome.kind is not OutcomeKind.RETRY:
            return outcome
        interval, limit = self._options.chunk_retry_interval, self._options.max_chunk_retries
        last = limit is not None and self._lease.retries >= limit
        if last or not callable(interval):
            return outcome
        delay = run("chunk_retry_interval", interval, self._lease.retries + 1)
        if not isinstance(delay, (int, float)) or not 0 <= delay < float("inf"):
            raise HookError(
                f"hook chunk_retry_interval returned {delay!r}, not seconds, 0 or more", hook="chunk_retry_interval"
            )
        return outcome._replace(delay=delay)

    def _decides_against(self, error: Exception, *, retry: bool) -> bool:
        """Whether the hook should_retry wants the opposite of ``retry``."""
        decided = self._hooks.call("should_retry", error, self._lease.retries + 1)
        return decided is not None and bool(decided) is not retry

    def _error(
        self,
        cls: type[UploadError],
        verb: str,
        what: str,
        reply: Reply | None,
        hint: str | None = None,
        *,
        most: int | None = None,
    ) -> UploadError:
        """``most`` attempts are made for such an error, if not as many as for others."""
        limit = self._options.max_chunk_retries
        if limit is not None:
            most = min(limit + 1, most or limit + 1)
        attempt = self._lease.retries + 1
        # The few attempts that some answers get are counted apart from others.
        tries = f"attempt {attempt}" + (f" of {most}" if most is not None and attempt <= most else "")
        subject = f"chunk {self._lease.index + 1}/{self._count} of {self._entry.record.relative_path!r}"
        if self._lease.confirm:
            subject = f"the confirmation that {self._entry.record.relative_path!r} is whole"
        return cls(
            f"{subject} {verb}: {what} ({tries})",
            file=self._entry.subject,
            chunk=None if self._lease.confirm else self._handle,
            status=reply.status if reply else None,
            body=reply.text[:500] if reply else "",
            attempts=attempt,
            hint=hint,
        )


def _retry_after(reply: Reply) -> float | None:
    """The seconds for which the server wants to be left alone (RFC 9110, 10.2.3), or None where it does not say.

    A little is added at random, so that clients that were sent away together do not come back together.
    """
    # By the server's own clock, if it tells it: ours may be wrong.
    now = parse_http_date(reply.headers.get("date", ""))
    seconds = parse_retry_after(reply.headers.get("retry-after", ""), time.time() if now is None else now)
    return None if seconds is None else seconds * random.uniform(1.0, 1.1)
