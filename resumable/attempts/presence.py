"""The question whether the server has a chunk, and whether its answer can be believed."""

from __future__ import annotations

import logging
import os

from ..dispatch.transfers import Transfer
from ..protocol import acceptance
from ..protocol.acceptance import Acceptance
from ..protocol.headers import from_receiver
from ..protocol.parameters import ChunkFacts
from ..protocol.verdict import Verdict
from ..transport.base import Reply, Request
from . import messages
from .context import AttemptContext
from .exchange import Exchange
from .outcomes import SILENT

__all__ = ["ABSENT", "PresenceTest"]

logger = logging.getLogger("resumable")

ABSENT = frozenset({202, 203, 204, 205, 206, 404, 410})
"""These say in so many words that the server lacks the chunk."""

_AHEAD_TIMEOUT = 5.0
"""Seconds for the answer to a test ahead: a server may have no thread for so many connections."""


class PresenceTest:
    """The tests of one attempt at a chunk. Used by one worker.

    What is known of the server's tests belongs to where they are sent, and to files of one kind. A page, a refusal or
    a redirect is never "present", and undoes what was known.
    """

    def __init__(self, context: AttemptContext, exchange: Exchange, transfer: Transfer, facts: ChunkFacts) -> None:
        self._context = context
        self._exchange = exchange
        self._ahead = transfer.lease.ahead
        self._record = transfer.entry.record
        self._subjects = transfer.subjects
        self._facts = facts
        self._kind: tuple[str, ...] = ()

    def request(self) -> Request:
        """Return the request that asks for the chunk."""
        request = self._request(self._facts)
        kind = os.path.splitext(self._record.file_name)[1].lower()
        self._kind = messages.redacted(request.url), self._record.mime_type, kind
        return request

    def _request(self, facts: ChunkFacts) -> Request:
        request = self._context.requests.test(facts, self._subjects)
        if not self._ahead:
            return request
        connect, read = request.timeout
        return request._replace(timeout=(connect, min(read or _AHEAD_TIMEOUT, _AHEAD_TIMEOUT)))

    @property
    def useless(self) -> bool:
        """Whether requests like the latest were found to tell nothing, and no receiver of this package has answered."""
        return self._context.canary.failed(self._kind) and not self._exchange.ours

    def send(self, request: Request | None = None) -> Reply:
        """Send the request, or a new one, and return the answer. Raises NetworkFailure, Stopped, HookError."""
        return self._exchange.send_renewing(self.request, request)

    def verdict(self, reply: Reply) -> Verdict:
        """Return what the answer says, whether it can be believed or not."""
        return self._decided(reply) or self._said(reply)

    def _decided(self, reply: Reply) -> Verdict | None:
        decided, _ = self._context.hooks.judge("chunk_exists", reply)
        if decided is None:
            return None
        return Verdict.STORED if decided else Verdict.MISSING

    def _said(self, reply: Reply) -> Verdict:
        decision = self._context.rules.test(reply.status)
        what = self._strange(reply, decision)
        if not what:
            return decision
        self.forget()
        where = messages.redacted(self._exchange.request.url)
        if not self._exchange.ours and self._context.first_time(where):
            logger.warning("%s: tests are answered by %s, so that nothing is taken for uploaded already", where, what)
        return Verdict.MISSING

    def _strange(self, reply: Reply, decision: Verdict) -> str:
        """Return what the answer is instead of an answer to a test; empty if it is one."""
        if 300 <= reply.status < 400:
            there = messages.redirect_target(self._exchange.request.url, reply)
            if not there:
                return "a redirect that leads nowhere"
            return f"a redirect to {messages.redacted(there)}"
        if decision is not Verdict.STORED:
            return ""
        judgement = acceptance.judge(reply.text, cut=reply.cut)
        if judgement.acceptance is Acceptance.UNPROVEN:
            return judgement.reason
        if judgement.acceptance is Acceptance.REFUSED:
            return "a refusal"
        return "another server" if self._exchange.ours and not from_receiver(reply.headers) else ""

    def forget(self) -> None:
        """Forget that such tests can be believed."""
        self._context.canary.forget(self._kind)

    def believable(self, reply: Reply) -> bool:
        """Return whether the server's "present" can be believed. Raises NetworkFailure."""
        # Some servers truly have each chunk of nothing, so a canary says nothing there; and to send it costs nothing.
        return self._is_trusted(reply) or (self._record.size > 0 and self._tells())

    def _is_trusted(self, reply: Reply) -> bool:
        return from_receiver(reply.headers) or self._context.options.trust_tests

    def _tells(self) -> bool:
        return self._context.canary.passed(self._kind, self._canary)

    def _canary(self) -> bool | None:
        """Return whether the server tells a chunk that it has from one that cannot exist; None if it did not say.

        Raises NetworkFailure.
        """
        identifier = f"resumable-canary-{os.urandom(12).hex()}"
        name = identifier + os.path.splitext(self._record.file_name)[1]
        facts = self._facts._replace(identifier=identifier, file_name=name, relative_path=name)
        if not facts.total_size:
            facts = facts._replace(total_size=1, current_chunk_size=1)
        reply = self._exchange.send_renewing(lambda: self._request(facts))
        decision = self.verdict(reply)
        if decision is not Verdict.STORED:
            silent = reply.status in SILENT or self._strange(reply, self._context.rules.test(reply.status))
            return None if silent else True
        logger.warning(
            "the server says 'present' for a chunk that cannot exist (%s): its tests are not believed and "
            "everything is sent; trust_tests=True believes them",
            messages.redacted(self._exchange.request.url),
        )
        return False

    def ask(self) -> Verdict:
        """Ask the server whether it has the chunk, after its answer to the chunk was lost, or proved nothing.

        Return STORED, MISSING, or RETRY if its tests cannot tell. Raises NetworkFailure, Stopped, HookError.
        """
        reply = self.send()
        decided = self._decided(reply)
        if decided is not None:
            return decided
        if self._said(reply) is not Verdict.STORED:
            return Verdict.MISSING if reply.status in ABSENT else Verdict.RETRY
        return Verdict.STORED if self._is_trusted(reply) or self._tells() else Verdict.RETRY
