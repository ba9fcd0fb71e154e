"""A line and a server as a queue model: what a number of uploads brings, in pure arithmetic.

Each upload takes turns: it works in this process, waits for round trips, sends its chunk, is served, and is answered.
Nothing is random and no clock is read, so that what a controller makes of it is the same each time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from resumable.core.concurrency import ConcurrencyController, Flow

__all__ = ["Line", "Simulation"]

BACKOFF = 0.5
"""Seconds after which a chunk that failed is sent again."""


@dataclass(frozen=True)
class Line:
    """What lies between. Rates are bytes a second, times are seconds.

    ``rate``: what all uploads share, and ``others`` with them, each of which takes as much as an upload; ``each``: what
    one connection gets at most. If the rate is used up, a queue of a round trip waits before the line. ``round_trip``,
    of which a chunk waits for two. ``work``: what a chunk takes of this process, one at a time, and ``quarrel``: how
    much longer that takes for each other upload. ``workers`` of the server take ``service`` for a chunk; one more than
    ``busy_above`` chunks at once is refused, one more than ``broken_above`` is cut off; a chunk that takes longer than
    ``patience`` is lost. ``told``: the system tells of round trips and losses. ``step`` is the time between two looks.
    """

    rate: float = math.inf
    others: int = 0
    each: float = math.inf
    round_trip: float = 0.05
    lossy: bool = False
    work: float = 0.0
    quarrel: float = 0.0
    workers: float = math.inf
    service: float = 0.0
    busy_above: float = math.inf
    broken_above: float = math.inf
    patience: float = 60.0
    told: bool = True
    step: float = 0.01


class _Upload:
    def __init__(self, attempt: int, now: float, size: int) -> None:
        self.attempt = attempt
        self.begun = now
        self.size = size
        self.stage = "work"
        self.left = 0.0
        self.sent = 0.0


class Simulation:
    """Uploads of chunks of ``size`` over the line, as many as the controller wants. ``numbers`` is how many there were
    by time, ``failures`` when some failed, ``done`` the bytes that arrived, ``taken`` those of others."""

    def __init__(self, line: Line, size: int, *, most: int | None = 16, first: int = 3) -> None:
        self.line = line
        self.size = size
        self.controller = ConcurrencyController(first, most)
        self.now = 0.0
        self.numbers: list[tuple[float, int]] = []
        self.failures: list[float] = []
        self.done = 0
        self.taken = 0.0
        self._attempts = 0
        self._live: list[_Upload] = []
        self._seen = False

    def run(self, seconds: float) -> Simulation:
        """Go on for so many seconds."""
        end = self.now + seconds
        while self.now < end:
            self._fill()
            self._move()
            self.now += self.line.step
            if self.now >= self.controller.look_at and self._seen:
                departed = sum(int(upload.sent) for upload in self._live)
                line, told = self.line, self.line.told
                least = line.round_trip if told else None
                queue = line.round_trip if told and self._full else 0.0
                self.controller.measure(Flow(departed, least, line.lossy and told, queue), self.now)
            number = self.controller.slots
            if not self.numbers or self.numbers[-1][1] != number:
                self.numbers.append((self.now, number))
        return self

    @property
    def slots(self) -> int:
        """How many uploads there are now."""
        return self.controller.slots

    @property
    def most(self) -> int:
        """How many there were at most."""
        return max(number for _, number in self.numbers)

    def share(self, low: int, high: int, since: float) -> float:
        """The part of the time since then for which the number was between these."""
        inside = 0.0
        ends = [*self.numbers[1:], (self.now, 0)]
        for (start, number), (end, _) in zip(self.numbers, ends, strict=True):
            if low <= number <= high:
                inside += max(end - max(start, since), 0.0)
        return inside / (self.now - since)

    @property
    def _full(self) -> bool:
        """Whether more is sent than the line takes, so that a queue as long as a round trip waits before it."""
        takers = sum(upload.stage == "send" for upload in self._live) + self.line.others
        return takers > 0 and self.line.rate < takers * self.line.each

    def _fill(self) -> None:
        while len(self._live) < self.controller.slots:
            self._attempts += 1
            upload = _Upload(self._attempts, self.now, self.size)
            upload.left = self.line.work
            self._live.append(upload)
            if len(self._live) >= self.controller.slots:
                self.controller.busy(self.size)
            at_once = sum(upload.stage != "failed" for upload in self._live)
            if at_once > self.line.busy_above:
                self._fail(upload, busy=True)
            elif at_once > self.line.broken_above:
                self._fail(upload, busy=False)

    def _fail(self, upload: _Upload, *, busy: bool) -> None:
        """It keeps its slot until it is due again."""
        upload.stage, upload.left, upload.sent = "failed", BACKOFF, 0.0
        self.failures.append(self.now)
        self.controller.failed(upload.attempt, self._attempts, self.now, busy=busy)

    def _move(self) -> None:
        line, live = self.line, self._live
        step, self._seen = line.step, False
        self._work(step / (1 + line.quarrel * (len(live) - 1)))
        sending = [upload for upload in live if upload.stage == "send"]
        if line.others:
            self.taken += line.others * step * min(line.each, line.rate / (len(sending) + line.others))
        for upload in list(live):
            if upload.stage in ("wait", "failed"):
                upload.left -= step
                if upload.left <= 0 and upload.stage == "wait":
                    upload.stage = "send"
                elif upload.left <= 0:
                    live.remove(upload)
        for upload in sending:
            self._seen = True
            upload.sent += step * min(line.each, line.rate / (len(sending) + line.others))
            if upload.sent >= upload.size:
                upload.sent, upload.stage, upload.left = upload.size, "serve", line.service
        served = [upload for upload in live if upload.stage == "serve"]
        for place, upload in enumerate(served):
            if place < line.workers:
                upload.left -= step
                if upload.left <= 0:
                    self._answer(upload)
        for upload in list(live):
            if upload.stage != "failed" and self.now - upload.begun > line.patience:
                self._fail(upload, busy=False)

    def _work(self, seconds: float) -> None:
        """Let the uploads of this process have their turns in it, which may be many in a step."""
        for upload in self._live:
            if upload.stage == "work":
                spent = min(upload.left, seconds)
                upload.left -= spent
                seconds -= spent
                if upload.left <= 1e-12:
                    upload.stage, upload.left = "wait", 2 * self.line.round_trip

    def _answer(self, upload: _Upload) -> None:
        self._live.remove(upload)
        self._seen = True
        self.done += upload.size
        self.controller.answered(upload.size, self.now - upload.begun)
