"""The interface to the network: what is sent, and what comes back.

A transport is any object with the methods of :class:`Transport`. Several workers call it at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from .control import RequestControl

__all__ = [
    "REPLY_LIMIT",
    "Body",
    "NetworkFailure",
    "Reply",
    "Request",
    "SourceFailure",
    "Stopped",
    "TLSFailure",
    "Transport",
]

REPLY_LIMIT = 65536
"""Bytes of an answer that are kept. The connection of a longer one is closed."""


class Body(Protocol):
    """What is sent: ``len()`` bytes, in pieces. Each iteration starts over."""

    def __len__(self) -> int: ...

    def payload(self, written: int) -> int:
        """Return how many bytes of the chunk are among the first ``written`` of the body."""

    def __iter__(self) -> Iterator[bytes | memoryview]: ...


class Request(NamedTuple):
    """One HTTP request. Times are seconds, or None for no limit: ``timeout`` is (connect, read), ``stall`` the longest
    wait until the network takes more bytes. ``renew``: the credentials of an earlier attempt were not accepted,
    although the answer was not 401. ``replay``: if a connection that was kept alive breaks behind the whole body, that
    may be sent again. What may be secret is not in its ``repr``."""

    method: str
    url: str
    headers: Mapping[str, str] = MappingProxyType({})
    body: Body | None = None
    timeout: tuple[float | None, float | None] = (10, 60)
    stall: float | None = 60
    renew: bool = False
    replay: bool = True

    def __repr__(self) -> str:
        return f"Request(method={self.method!r}, timeout={self.timeout}, stall={self.stall})"


class Reply(NamedTuple):
    """An answer. ``text`` is its body, cut at 64 KiB; the names in ``headers`` are in lower case.

    ``cut``: there is more of the body.
    """

    status: int
    headers: Mapping[str, str]
    text: str
    cut: bool = False

    def __repr__(self) -> str:
        return f"Reply(status={self.status}, text={self.text!r})"

    @property
    def status_code(self) -> int:
        """The status, under its name in requests."""
        return self.status

    def json(self) -> Any:
        """Decode the body, which may begin with a byte order mark. Raises ValueError if it is not JSON."""
        try:
            return json.loads(self.text.removeprefix("\ufeff"))
        except RecursionError:
            raise ValueError("JSON in which brackets are nested too deeply") from None


class Stopped(Exception):
    """The session stopped the request. Not an OSError, because requests would mask that as a failed connection."""


class SourceFailure(Exception):
    """Reading the chunk failed; ``cause`` is why. Not an OSError, for the same reason."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class NetworkFailure(Exception):
    """There was no usable answer.

    ``permanent``: another attempt cannot help. ``unreachable``: nor can it, unless the server was reached before.
    ``reached``: somebody took the beginning of the request. ``stale``: the connection had been kept alive, and was
    closed before it answered. ``status`` is that of a proxy's refusal, ``hint`` what to
    do.
    """

    reached = False
    stale = False

    def __init__(
        self,
        reason: str,
        *,
        permanent: bool = False,
        unreachable: bool = False,
        status: int | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.permanent = permanent
        self.unreachable = unreachable
        self.status = status
        self.hint = hint


class TLSFailure(NetworkFailure):
    """A TLS connection is not possible; ``untrusted``: because of the server's certificate."""

    def __init__(self, reason: str, *, hint: str | None = None, untrusted: bool = False) -> None:
        super().__init__(reason, permanent=True, hint=hint)
        self.untrusted = untrusted


class Transport(Protocol):
    """An object that sends requests."""

    def send(self, request: Request, control: RequestControl) -> Reply:
        """Send the request, and return the answer.

        Raises NetworkFailure, Stopped once the control has been stopped, or what the body raises.
        """

    def close(self) -> None:
        """Close all connections."""
