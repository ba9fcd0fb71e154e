"""What is on the wire, and how fast it moves. The session's lock protects it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from ..core.records import Lease
from ..core.session import SessionCore
from ..core.speed import SpeedMeter
from ..transport.base import RequestControl
from .registry import FileEntry

__all__ = ["TransferStats", "Transfers"]


class TransferStats(NamedTuple):
    """How many bytes of a file or session moved. ``sent`` may fall on a retry, ``confirmed`` only on ``bootstrap`` and
    if the server lost what it had acknowledged.

    ``skipped`` of the confirmed bytes were at the server already; ``speed`` is bytes a second, without them.
    """

    size: int
    confirmed: int
    skipped: int
    sent: int
    speed: float


class Transfers:
    """The watch of each lease, and the meters. Times are the clock's."""

    def __init__(self) -> None:
        self._watches: dict[int, tuple[RequestControl, FileEntry]] = {}
        self._meter = SpeedMeter()

    def begin(self, lease: Lease, entry: FileEntry, now: float) -> RequestControl:
        """The watch of the lease. Time during which nothing was on the wire is not held against the speed."""
        if not self._watches:
            self._meter.start(now)
        if not any(other is entry for _, other in self._watches.values()):
            entry.meter.start(now)
        control = RequestControl()
        self._watches[lease.id] = control, entry
        return control

    def measure(self, control: RequestControl, entry: FileEntry, now: float) -> None:
        """The speed is known better."""
        moved = max(control.sent - control.metered, 0)
        control.metered = control.sent
        entry.meter.add(moved, now)
        self._meter.add(moved, now)

    def end(self, lease: Lease, now: float) -> None:
        """The lease is over."""
        control, entry = self._watches.pop(lease.id)
        if control.sent:
            self.measure(control, entry, now)

    def controls(self, leases: Iterable[int]) -> list[RequestControl]:
        """The watches of these leases, those that are not over."""
        return [self._watches[identifier][0] for identifier in leases if identifier in self._watches]

    def controls_of(self, chosen: Callable[[FileEntry], bool]) -> list[RequestControl]:
        """The watches of the leases of these files."""
        return [control for control, entry in self._watches.values() if chosen(entry)]

    def of_file(self, entry: FileEntry) -> TransferStats:
        """How many bytes of the file moved."""
        core = entry.core
        flying = sum(control.sent for control, other in self._watches.values() if other is entry)
        sent = core.bytes_done - core.bytes_skipped + flying
        return TransferStats(core.plan.size, core.bytes_done, core.bytes_skipped, sent, entry.meter.speed)

    def of_session(self, core: SessionCore) -> TransferStats:
        """How many bytes of all files moved."""
        flying = sum(control.sent for control, _ in self._watches.values())
        sent = core.bytes_done - core.bytes_skipped + flying
        return TransferStats(core.total_size, core.bytes_done, core.bytes_skipped, sent, self._meter.speed)
