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
        """Bytes handed to the network, without those of failed attempts. Falls on a retry."""
        return self._moved.sent

    @property
    def bytes_transferred(self) -> int:
        """Bytes that the server has confirmed or that have left this machine on their way there, for bars.

        Never falls while the files stay the same, and is all of them only when the server has confirmed all. What is
        lost on the way is made up for before it grows again. Starts anew on ``bootstrap()``.
        """
        return self._moved.transferred

    @property
    def retry_in(self) -> float | None:
        """Seconds until the next attempt if everything waits for it, because attempts failed or the server asked for a
        pause. Otherwise None."""
        raise NotImplementedError

    @property
    def speed(self) -> float:
        """Bytes per second, smoothed, without what the server had already. If nothing moves, it falls after five
        seconds. It is 0 while paused, and from a second after the last request."""
        return self._moved.speed

    @property
    def time_remaining(self) -> float | None:
        """Seconds until all bytes have left this machine, at the speed of the last half minute; None in the first five
        seconds, while paused, and if nothing moves."""
        return self._moved.remaining
