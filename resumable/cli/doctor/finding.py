"""What one step of the examination found, and the words for what a server answered."""

from __future__ import annotations

from typing import NamedTuple

from ...protocol.pages import summary
from ...transport.base import Reply
from ..output.exit_codes import ExitCode

__all__ = ["Finding", "answered", "said"]


class Finding(NamedTuple):
    """One line of the report: what was looked at, what was found, and what to do about it.

    ``code`` is the exit code if nothing can be uploaded. ``doubtful``: uploads work, but not as one would expect.
    """

    what: str
    text: str
    advice: str = ""
    code: ExitCode = ExitCode.DONE
    doubtful: bool = False


def answered(reply: Reply) -> str:
    """Return the status, and the beginning of what the server said to a person."""
    words = said(reply)
    return f'{reply.status} "{words}"' if words else str(reply.status)


def said(reply: Reply) -> str:
    """Return the beginning of what the server said, without markup."""
    return summary(reply.text)
