"""What is on the wire, and how fast it moves. The session's lock protects it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from ..core.concurrency import Flow
from ..core.file import FileCore
from ..core.records import Lease
from ..core.session import SessionCore
from ..core.speed import SpeedMeter
from ..transport.control import RequestControl
from .registry import FileEntry

__all__ = ["SessionStats", "Transfer", "TransferStats", "Transfers"]


class SessionStats(NamedTuple):
    """What a session is doing: how many chunks may be on their way at once, and how many are, or wait for their
    retry."""

    simultaneous_uploads: int
    active: int


class TransferStats(NamedTuple):
    """How many bytes of a file or session moved. ``sent`` may fall on a retry, ``confirmed`` only on ``bootstrap`` and
    if the server lost what it had acknowledged. ``transferred`` are those that are confirmed or have left this machine:
    no fewer than were ever told, and not all before all are confirmed.

    ``skipped`` of the confirmed bytes were at the server already; ``speed`` is bytes a second, without them, and
    ``remaining`` the seconds until all have left this machine, or None if that cannot be told.
    """

    size: int
    confirmed: int
    skipped: int
    sent: int
    transferred: int
    speed: float
    remaining: float | None


class Transfer:
    """A lease under way: the file that it is about, and the control of its requests.

    ``metered`` counts the bytes that the speed knows of; ``announced_at`` is when progress was announced last, or the
    lease ``began``. ``resent``: how many packets its connection had sent again when it was looked at last, None before.
    ``awaited``: the core is still to be told that bytes of the chunk are on their way. ``asked`` are all files of a
    question.
    """

    __slots__ = ("announced_at", "asked", "awaited", "began", "control", "entry", "lease", "metered", "resent")

    def __init__(self, lease: Lease, entry: FileEntry, now: float) -> None:
        self.lease = lease
        self.entry = entry
        self.control = RequestControl()
        self.metered = 0
        self.resent: int | None = None
        self.announced_at = self.began = now
        self.awaited = lease.awaited
        self.asked: tuple[FileEntry, ...] = ()

    def subjects(self) -> tuple[Any, Any]:
        """Return the file and the chunk as users hold them."""
        return self.entry.subject, self.entry.subject.chunks[self.lease.index]

    @property
    def departed(self) -> int:
        """How many bytes of the chunk have left this machine. A hook may have replaced them by more."""
        return min(self.control.departed, self.lease.end - self.lease.start)


class Transfers:
    """The leases under way, ``live`` by their ids, and the speed of all. Times are the clock's."""

    def __init__(self) -> None:
        self.live: dict[int, Transfer] = {}
        self._meter = SpeedMeter()
        self._told = 0
        self._size = 0

    def begin(self, lease: Lease, entry: FileEntry, now: float) -> Transfer:
        """Return the transfer of a new lease. Time without any does not count for the speed."""
        if not self.live:
            self._meter.start(now)
        if not entry.transfers:
            entry.meter.start(now)
        entry.transfers += 1
        transfer = self.live[lease.id] = Transfer(lease, entry, now)
        return transfer

    def measure(self, transfer: Transfer, departed: int, now: float) -> None:
        """Measure the speed again, now that so many bytes of the chunk have left this machine."""
        moved = max(departed - transfer.metered, 0)
        transfer.metered = departed
        transfer.entry.meter.add(moved, now)
        self._meter.add(moved, now)

    def end(self, transfer: Transfer, now: float, *, lost: bool) -> None:
        """Forget the transfer: its lease is over. If its bytes are lost, they do not count for the speed."""
        del self.live[transfer.lease.id]
        transfer.entry.transfers -= 1
        sent = transfer.control.sent
        if sent:
            self.measure(transfer, sent, now)
        if lost:
            transfer.entry.meter.take_back(transfer.metered)
            self._meter.take_back(transfer.metered)
        if not transfer.entry.transfers:
            transfer.entry.meter.rest(now)
        if not self.live:
            self._meter.rest(now)

    def begin_anew(self, entry: FileEntry) -> None:
        """Forget what was told of the file, which is cut again."""
        entry.told = self._told = 0

    def flow(self) -> Flow:
        """Return what the connections of the transfers tell. Losses are those since the last call."""
        departed, lossy, known = 0, False, []
        for transfer in self.live.values():
            departed += transfer.control.departed
            info = transfer.control.tcp_info()
            if info is not None:
                known.append(info)
                # Of what a connection that is used again lost before, nobody knows when that was.
                before = 0 if transfer.resent is None and transfer.control.fresh else transfer.resent
                lossy = lossy or (before is not None and info.segments_resent > before)
                transfer.resent = info.segments_resent
        if not known:
            return Flow(departed)
        least = min(info.least_round_trip for info in known)
        # A queue before the line is the same for all: what makes one of them wait is something else.
        queue = max(min(info.round_trip for info in known) - least, 0.0)
        return Flow(departed, least, lossy, queue)

    def controls(self, leases: Iterable[int]) -> list[RequestControl]:
        """Return the controls of these leases, without those that are over."""
        return [self.live[identifier].control for identifier in leases if identifier in self.live]

    def of_file(self, entry: FileEntry, now: float, *, paused: bool) -> TransferStats:
        """Return how many bytes of the file moved. If it is paused, none move."""
        live = [transfer for transfer in self.live.values() if transfer.entry is entry]
        stats = self._stats(entry.core, entry.core.size, live, entry.meter, now, told=entry.told, paused=paused)
        entry.told = stats.transferred
        return stats

    def of_chunk(self, entry: FileEntry, index: int) -> int:
        """Return how many bytes of the chunk the attempt under way has sent."""
        live = self.live.values()
        return sum(t.control.sent for t in live if t.entry is entry and t.lease.index == index and not t.lease.prepare)

    def of_session(self, core: SessionCore, now: float, *, paused: bool) -> TransferStats:
        """Return how many bytes of all files moved. If they are paused, none move."""
        size = core.total_size
        # What left the session took with it what was told of it.
        told = self._told if size >= self._size else 0
        stats = self._stats(core, size, list(self.live.values()), self._meter, now, told=told, paused=paused)
        self._told, self._size = stats.transferred, size
        return stats

    def _stats(
        self,
        core: FileCore | SessionCore,
        size: int,
        live: list[Transfer],
        meter: SpeedMeter,
        now: float,
        *,
        told: int,
        paused: bool,
    ) -> TransferStats:
        for transfer in self.live.values():
            if transfer.control.sent:
                self.measure(transfer, transfer.control.departed, now)
        meter.look(now)
        done = core.bytes_done
        sent = done - core.bytes_skipped + sum(transfer.control.sent for transfer in live)
        departed = done + sum(transfer.departed for transfer in live)
        transferred = size if done == size else min(max(departed, told), max(size - 1, 0))
        speed, remaining = (0.0, None) if paused else (meter.speed, meter.seconds_for(max(size - departed, 0)))
        if done == size:
            remaining = 0.0
        return TransferStats(size, done, core.bytes_skipped, sent, transferred, speed, remaining)
