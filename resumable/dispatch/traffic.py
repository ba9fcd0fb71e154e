"""What is on the wire, and how fast it moves. The monitor's lock protects it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from ..core.meter import Meter
from ..core.records import Lease
from ..core.session import SessionCore
from ..transport.base import Watch
from .entry import Entry

__all__ = ["Moved", "Traffic"]


class Moved(NamedTuple):
    """How many bytes of a file or session moved. ``sent`` may fall on a retry, ``confirmed`` only on ``bootstrap`` and
    if the server lost what it had acknowledged.

    ``skipped`` of the confirmed bytes were at the server already; ``speed`` is bytes a second, without them.
    """

    size: int
    confirmed: int
    skipped: int
    sent: int
    speed: float


class Traffic:
    """The watch of each lease, and the meters. Times are the clock's."""

    def __init__(self) -> None:
        self._watches: dict[int, tuple[Watch, Entry]] = {}
        self._meter = Meter()

    def begin(self, lease: Lease, entry: Entry, now: float) -> Watch:
        """The watch of the lease. Time during which nothing was on the wire is not held against the speed."""
        if not self._watches:
            self._meter.start(now)
        if not any(other is entry for _, other in self._watches.values()):
            entry.meter.start(now)
        watch = Watch()
        self._watches[lease.id] = watch, entry
        return watch

    def measure(self, watch: Watch, entry: Entry, now: float) -> None:
        """The speed is known better."""
        moved = max(watch.sent - watch.metered, 0)
        watch.metered = watch.sent
        entry.meter.add(moved, now)
        self._meter.add(moved, now)

    def end(self, lease: Lease, now: float) -> None:
        """The lease is over."""
        watch, entry = self._watches.pop(lease.id)
        if watch.sent:
            self.measure(watch, entry, now)

    def watches(self, leases: Iterable[int]) -> list[Watch]:
        """The watches of these leases, those that are not over."""
        return [self._watches[identifier][0] for identifier in leases if identifier in self._watches]

    def watches_of(self, chosen: Callable[[Entry], bool]) -> list[Watch]:
        """The watches of the leases of these files."""
        return [watch for watch, entry in self._watches.values() if chosen(entry)]

    def of_file(self, entry: Entry) -> Moved:
        """How many bytes of the file moved."""
        core = entry.core
        flying = sum(watch.sent for watch, other in self._watches.values() if other is entry)
        sent = core.bytes_done - core.bytes_skipped + flying
        return Moved(core.plan.size, core.bytes_done, core.bytes_skipped, sent, entry.meter.speed)

    def of_session(self, core: SessionCore) -> Moved:
        """How many bytes of all files moved."""
        flying = sum(watch.sent for watch, _ in self._watches.values())
        sent = core.bytes_done - core.bytes_skipped + flying
        return Moved(core.total_size, core.bytes_done, core.bytes_skipped, sent, self._meter.speed)
