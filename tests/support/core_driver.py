"""The core as the dispatcher drives it, in few words: a clock, and what was told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from resumable.core.file import FileCore
from resumable.core.records import (
    Effects,
    Lease,
    Notice,
    Outcome,
    OutcomeKind,
    Permission,
    Wait,
)
from resumable.core.retry import SessionPolicy
from resumable.core.session import SessionCore
from resumable.protocol.part import PartOrder
from resumable.protocol.plan import ChunkOrder, ChunkPlan

__all__ = ["Driver"]

PROGRESS = ("file_progress", "progress")


class Driver:
    """A session core of which ``now`` is the time, ``told`` the notices so far, ``stopped`` the leases to stop,
    ``released`` those whose ends are held no more."""

    def __init__(self, *, mode: str = "free", first_and_last: bool = False, **rules: Any) -> None:
        rules.setdefault("test_chunks", False)
        self.core = SessionCore(SessionPolicy(first_and_last=first_and_last, **rules))
        self.mode = mode
        self.first_and_last = first_and_last
        self.now = 0.0
        self.told: list[Notice] = []
        self.stopped: list[int] = []
        self.released: list[int] = []

    def add(
        self, chunks: int, *, size: int | None = None, prepared: bool = True, part: tuple[int, int] | None = None
    ) -> FileCore:
        """A file of so many chunks of 10 bytes, or of ``size`` bytes, or a part of it."""
        plan = ChunkPlan(chunks * 10 if size is None else size, 10)
        order = ChunkOrder(plan.count, self.mode, self.first_and_last)
        if part is not None:
            order = PartOrder(plan.count, self.mode, False, *part)
        key = self.core.add(plan, order, prepared=prepared)
        effects = self.core.effects.flush()
        self.hear(effects)
        return self.core.files[key]

    def hear(self, effects: Effects) -> Effects:
        """The effects were taken down."""
        self.told += effects.notices
        self.stopped += effects.stopped
        self.released += effects.released
        return effects

    def do(self, call: Callable[..., Effects], *arguments: Any, **more: Any) -> list[str]:
        """The events that the call told, without progress."""
        return [n.event for n in self.hear(call(*arguments, **more)).notices if n.event not in PROGRESS]

    def upload(self, *, open_ended: bool = False) -> list[str]:
        """A run is under way."""
        return self.do(self.core.upload, self.now, open_ended=open_ended)

    def lease(self, pace: float = 0.0) -> Lease:
        """The next lease, which there is, for a connection of this pace."""
        found = self.core.lease(self.now, pace)
        assert isinstance(found, Lease)
        self.hear(self.core.effects.flush())
        return found

    def leases(self) -> list[Lease]:
        """All leases that there are now."""
        found = []
        while isinstance(lease := self.core.lease(self.now), Lease):
            found.append(lease)
        self.hear(self.core.effects.flush())
        return found

    def indexes(self) -> list[int]:
        """The chunk indexes of all leases that there are now."""
        return [lease.index for lease in self.leases()]

    def wait(self, pace: float = 0.0) -> float | None:
        """Until when there is no lease for a connection of this pace."""
        found = self.core.lease(self.now, pace)
        assert isinstance(found, Wait)
        return found.until

    def send(self, lease: Lease) -> bool:
        """Whether the chunk may be sent."""
        return self.ask(lease) is Permission.SEND

    def ask(self, lease: Lease, *, proven: bool = True, any_order: bool = False) -> Permission:
        """Whether the chunk may be sent, and its end with it."""
        test = Outcome(OutcomeKind.ABSENT, answered=proven, lacking=proven, any_order=any_order)
        permission, effects = self.core.begin_send(lease.id, test)
        self.hear(effects)
        return permission

    def answer(self, lease: Lease, kind: str = "accepted", **facts: Any) -> list[str]:
        """The events that the outcome told, without progress."""
        return self.do(self.core.report, lease, Outcome(OutcomeKind(kind), **facts), self.now)

    def finish(self) -> list[int]:
        """The chunk indexes that were still sent, all of which the server took."""
        sent = []
        while leases := self.leases():
            for lease in leases:
                sent.append(lease.index)
                self.answer(lease, "prepared" if lease.prepare else "present" if lease.test else "accepted")
        return sent

    def events(self) -> list[str]:
        """The events so far, without progress."""
        return [notice.event for notice in self.told if notice.event not in PROGRESS]
