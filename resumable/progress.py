"""The figures of progress that a file and a session have in common."""

from __future__ import annotations

from .dispatch.transfers import TransferStats

__all__ = ["Progress"]


class Progress:
    """Progress in bytes. Each figure is a consistent snapshot of its own."""

    @property
    def _moved(self) -> TransferStats:
        raise NotImplementedError

    @property
    def bytes_confirmed(self) -> int:
        """Bytes that the server has confirmed. Falls only on ``bootstrap()`` of a file, and if the server turns out to
        have lost some."""
        return self._moved.confirmed

    @property
    def bytes_skipped(self) -> int:
        """Confirmed bytes that the server had before."""
        return self._moved.skipped

    @property
    def bytes_sent(self) -> int:
        """Bytes that were handed to the network and not given up. Falls on a retry."""
        return self._moved.sent

    @property
    def speed(self) -> float:
        """Bytes a second, smoothed; what the server had already does not count."""
        return self._moved.speed

    @property
    def time_remaining(self) -> float | None:
        """Seconds until all bytes have left this machine, at the speed of the last half minute; None in the first five
        seconds, and if nothing moves."""
        return self._moved.remaining
