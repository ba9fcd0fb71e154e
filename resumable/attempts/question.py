"""Ask a receiver of this package about many files with one request."""

from __future__ import annotations

from .. import statuses
from ..core.records import Outcome, OutcomeKind
from ..dispatch.transfers import Transfer
from ..protocol.headers import MAX_UPLOADS_HEADER, ORDER_ANY, ORDER_HEADER, from_receiver, parse_max_uploads
from ..protocol.question import parse_answer
from ..statuses import Decision
from ..transport.base import NetworkFailure, Reply
from .context import AttemptContext
from .outcomes import SILENT, wanted_pause

__all__ = ["Question"]


class Question:
    """One question, about the files of one lease. Used once, by one worker."""

    def __init__(self, context: AttemptContext, transfer: Transfer) -> None:
        self._context = context
        self._entries = transfer.asked
        self._control = transfer.control

    def ask(self) -> Outcome:
        """Return what the server says. If it is busy, it may be asked again. Whatever else goes wrong, the files are
        tested one by one: their answers decide.

        Raises Stopped, HookError.
        """
        request, files = self._context.requests.question(self._entries, lambda: self._control.stopped)
        if len(files) < 2:
            # Each file has headers or parameters of its own.
            return Outcome(OutcomeKind.TOLD, takes_questions=False)
        nothing = Outcome(OutcomeKind.TOLD, answers=(None,) * len(files))
        try:
            reply = self._context.send(request, self._control)
        except NetworkFailure:
            return nothing
        if statuses.decide(reply.status) is Decision.BUSY:
            return Outcome(OutcomeKind.TOLD, answered=True, busy=True, retry_after=wanted_pause(reply))
        if reply.status in SILENT:
            return nothing
        answers = parse_answer(files, reply.text) if _tells(reply) else None
        if answers is None:
            return Outcome(OutcomeKind.TOLD, takes_questions=False)
        return Outcome(
            OutcomeKind.TOLD,
            answers=tuple(answers),
            any_order=reply.headers.get(ORDER_HEADER.lower()) == ORDER_ANY,
            max_uploads=parse_max_uploads(reply.headers.get(MAX_UPLOADS_HEADER.lower(), "")),
        )


def _tells(reply: Reply) -> bool:
    """Return whether a receiver of this package has answered the question."""
    return reply.status == 200 and from_receiver(reply.headers) and not reply.cut
