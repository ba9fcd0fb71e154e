"""Congestion control: how fast the system sends on a connection, and what it does when packets are lost.

It is the sender's choice, and an upload is the sender. The usual control, cubic, takes each lost packet for a sign that
the line is full; bbr measures what the line takes. At 0.5 % of loss that makes an upload several times as fast.
"""

from __future__ import annotations

import functools
import logging
import socket
from pathlib import Path

__all__ = ["AUTO", "choices", "socket_options"]

AUTO = "auto"
"""Choose bbr if the system allows it."""

logger = logging.getLogger("resumable")

_ALLOWED = Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control")
_AVAILABLE = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")
_BEST = "bbr"


def socket_options(name: str | None, allowed: Path = _ALLOWED) -> list[tuple[int, int, bytes]]:
    """Return the options by which a socket gets this congestion control, none if it is to keep that of the system.

    ``allowed`` is the file in which the administrator lists what programs may choose. If the control is not there, or
    the system knows no such choice, the result is empty; that is logged once, unless the name is ``"auto"``.
    """
    if name is None:
        return []
    chosen = _BEST if name == AUTO else name
    option = getattr(socket, "TCP_CONGESTION", None)
    if option is not None and chosen in _listed(allowed):
        value = (socket.IPPROTO_TCP, option, chosen.encode("ascii"))
        if _works(value):
            return [value]
    if name != AUTO:
        _warn(name, str(allowed))
    return []


def choices() -> tuple[list[str], list[str]]:
    """Return the controls that the system has, and those that programs may choose. Both are empty except on Linux."""
    return _listed(_AVAILABLE), _listed(_ALLOWED)


def _listed(allowed: Path) -> list[str]:
    try:
        return allowed.read_text("ascii").split()
    except (OSError, ValueError):
        return []


def _works(value: tuple[int, int, bytes]) -> bool:
    """Return whether a socket takes it. A connection whose socket does not would fail."""
    try:
        with socket.socket() as probe:
            probe.setsockopt(*value)
    except OSError:
        return False
    return True


@functools.cache
def _warn(name: str, allowed: str) -> None:
    logger.warning(
        "congestion_control %r cannot be used: %s does not list it, so the system's own is used instead", name, allowed
    )
