"""How many chunks are on their way at once, if that is left to the session.

One upload at a time leaves the line idle while it waits for an answer; on a line that loses packets each connection is
slow by itself. So more of them are faster, up to a number that nobody knows beforehand: then they only share what there
is, wait in a queue at the server, or get in each other's way in this process. Servers may also refuse what is too much.
So the number is found by trying.

The session begins with a few. If the way is long, every round trip until the first answer is worth more: once the first
bytes show that a line that is not full takes as many chunks in time, it goes on with the usual number. If packets are
lost then, or the server said that it likes more, and the line was never full, it goes on with twice as many without a
comparison: a first chunk that is slow keeps all that are held waiting, so that there may be no answer for seconds.
While all of them are busy, time is cut into windows, and each has a rate: the bytes that have left this machine, and a
little for each answer, so that small files count, too. A *trial* changes the number for some windows, of which the
first does not count, and compares the rates. More uploads stay only if they bring a part of what they would if each
brought as much as those before: a quarter up to the usual number, half beyond it. Otherwise as many stay as their gain
is worth. The first trials double the number. Later ones, after a rest that grows while nothing is found, try a few more
and a few less in turn, with longer windows. If packets wait before a full line then, more uploads have to bring half,
too: what they gain there, others who use the line may lose.

* Few are few enough for everybody, so less than that is tried only if answers come so quickly that it is the threads of
  this process that wait for each other; and less stays only if it is not slower.
* The number never exceeds what the server said, or else what browsers do. If the way is long and loses packets although
  the line is not full, it may. What is lost on a full line does not count: many that begin at once fill it.
* Sessions of a process that upload to the same place share that.
* If a chunk would take so long that servers lose their patience, because so many share a slow line, there are no more.
* If the server has too much to do, or a request is lost while others get through, the number falls at once, and for a
  while it stays below what was too much.
* Nothing is learnt from a window in which a slot was idle, or anything failed or was stopped.
"""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["FEW", "MOST", "ConcurrencyController", "Flow"]

FEW = 3
"""With how many uploads a session begins."""

USUAL = 6
"""What browsers open to a server, and servers are made for."""

MOST = 16
"""More are never tried."""

LONG_WAY = 0.02
"""Seconds of a round trip from which on losses may be made up for by more than the usual uploads."""

WINDOW = 0.25
"""Seconds of a window, at least."""

ROUND_TRIPS = 10
"""A window has so many of them, because a new connection needs them to find its speed."""

QUICK_WINDOW = 0.15
"""Seconds of a window of quick answers."""

LONGEST_WINDOW = 6.0
"""Seconds of a window in which little happened, or of many long round trips."""

QUICK = 0.01
"""Seconds for a chunk, from its lease to its answer, below which threads may get in each other's way."""

ANSWER = 16 * 1024
"""For how many bytes an answer counts."""

TURNS = 2
"""How often each upload has to be answered before a window says something."""

STEADY = 10
"""Round trips of a long way: if a chunk takes as many, bytes flow all the time, and answers need not be waited for."""

LATER = 4
"""How many times as long windows are after the first trials."""

FADING = 0.7
"""How much of what earlier windows brought counts in the next."""

QUEUE = 0.25
"""The part of a round trip that packets wait in a queue before the line if that is full."""

FULL_FOR = 2.0
"""Seconds for which a line counts as full that was seen so: what keeps it full comes in bursts."""

LEAST_QUEUE = 0.005
"""Seconds in a queue that nobody minds."""

NOTICEABLE = 1.05
"""By how much a few uploads have to be faster than fewer."""

PATIENCE = 15.0
"""Seconds that a chunk may take if there are more uploads: a quarter of what servers and we wait by default."""

REST = 10.0
"""Seconds after a trial without gain until the next. The time doubles each time, up to eight times."""

CAUTION = 60.0
"""Seconds for which the number stays below what was too much for the server."""

TWICE_WITHIN = 10.0
"""Seconds: if requests are lost twice within them, even a few are too many."""


class Flow(NamedTuple):
    """What the connections tell. ``departed``: bytes of chunks under way that have left this machine. ``round_trip``:
    seconds at best, None if nobody knows; now each takes ``queue`` seconds longer. ``lossy``: packets were lost since
    the last look. ``sessions``: how many share the number, this one included."""

    departed: int = 0
    round_trip: float | None = None
    lossy: bool = False
    queue: float = 0.0
    sessions: int = 1

    @property
    def full(self) -> bool:
        """Whether packets wait before the line because that has no room for more."""
        return self.queue >= max(LEAST_QUEUE, QUEUE * (self.round_trip or 0.0))


class ConcurrencyController:
    """Decides how many slots there are. ``slots`` is the number now; it never exceeds ``most``, and stays what it was
    if that is None. From the time ``look_at`` on :meth:`measure` is to be called; the window ends at ``measure_at``."""

    def __init__(self, slots: int, most: int | None) -> None:
        self.slots = slots
        self.measure_at = self.look_at = math.inf
        self._fixed = most is None
        self._most = most or slots
        self._said: int | None = None
        self._too_many = MOST + 1
        self._too_many_until = -math.inf
        self._newest_told = 0
        self._got_through = False
        self._lost_at = -math.inf
        self._round_trip: float | None = None
        self._lossy = False
        self._full_until = -math.inf
        self._full = False
        self._opening = True
        self._sessions = 1
        self._size = 0
        self._pace = 0.0
        # The window.
        self._opened: float | None = None
        self._work = 0
        self._work_then = 0
        self._answers = 0
        self._seconds = 0.0
        # The trial: how many there were before, and their rate.
        self._before: tuple[int, float] | None = None
        self._windows = 0
        self._done = 0.0
        self._spent = 0.0
        self._upwards: bool | None = None
        self._doubling = True
        # Where the search upwards ended only because there may be no more.
        self._capped = MOST
        self._try_at = -math.inf
        self._rest = REST

    # -- what happens --------------------------------------------------------------------------------------------

    def busy(self, size: int) -> None:
        """Note that the last free slot was given to a chunk of so many bytes, or to none."""
        self._size = size or self._size
        if self._opened is None and not self._fixed:
            self.measure_at = self.look_at = -math.inf

    def idle(self) -> None:
        """Note that a slot has nothing to do, or that something was stopped: the window says nothing."""
        self._opened = None
        self.measure_at = self.look_at = math.inf

    def answered(self, size: int, seconds: float) -> None:
        """Note that the server has a chunk, for which so many bytes were sent, so many seconds after its lease."""
        self._work += size + ANSWER
        self._answers += 1
        self._seconds += seconds
        self._got_through = True
        self._opening = False

    def failed(self, attempt: int, newest: int, now: float, *, busy: bool) -> None:
        """Note that an attempt failed. Attempts are numbered as they begin; ``newest`` is the last. ``busy``: the
        server has too much to do; otherwise the request was lost.

        That attempts from before the number fell were too many is known. And if nothing gets through at all, the number
        is not the reason.
        """
        self.idle()
        if self._fixed or attempt <= self._newest_told or not self._got_through:
            return
        self._newest_told, self._got_through = newest, False
        least = 1 if busy or now - self._lost_at <= TWICE_WITHIN else FEW
        if not busy:
            self._lost_at = now
        if self.slots > least:
            fewer = max(least, min(self.slots - 1, self.slots * 3 // 4))
            if self._before is not None:
                fewer = max(fewer, min(self._before[0], self.slots - 1))
            self._too_many, self._too_many_until = self.slots, now + CAUTION
            self._settle(fewer, now)

    def limit(self, said: int) -> None:
        """Note how many requests at once the server likes from one client."""
        self._said = said
        if said < self.slots and not self._fixed:
            self._change(said)

    def measure(self, flow: Flow, now: float) -> None:
        """Take in what the connections tell, and perhaps change the number. Nothing happens before ``look_at``: if
        several threads find that it is time, the second would judge a window of no time."""
        if now < self.look_at:
            return
        self._look(flow, now)
        if now < self.measure_at:
            self._wait(self.measure_at, now)
            return
        work = self._work + flow.departed
        quick = self._seconds < QUICK * self._answers
        if self._answers:
            self._pace = self._seconds / self._answers
        if self._opened is not None:
            seconds, done = now - self._opened, work - self._work_then
            rate = done / max(seconds, 1e-9)
            if self._opening and self._long:
                if not flow.full:
                    self._open(rate, now)
            elif self._ceiling(now) > USUAL and self._may_hurry and self._more(rate, now) > self.slots:
                self._change(self._more(rate, now))
            elif self._answers < TURNS * self.slots and not self._steady and seconds < LONGEST_WINDOW:
                self._wait(now + WINDOW, now)
                return
            else:
                self._judge(done, seconds, now, quick=quick)
        self._opened, self._work_then = now, work
        self._answers, self._seconds = 0, 0.0
        length = QUICK_WINDOW if quick else max(WINDOW, ROUND_TRIPS * (self._round_trip or 0.0))
        if self._opening and self._long:
            length = self._round_trip or 0.0
        later = not self._doubling and self._capped == MOST
        self._wait(now + min(LATER * length if later else length, LONGEST_WINDOW), now)

    def _look(self, flow: Flow, now: float) -> None:
        """Take in what the connections tell. What is lost on a full line is lost because that is full."""
        if flow.full:
            self._full_until = now + FULL_FOR
        self._full = now < self._full_until
        self._lossy = self._lossy or (flow.lossy and not self._full)
        self._share(flow.sessions, now)
        self._round_trip = flow.round_trip or self._round_trip

    def _wait(self, end: float, now: float) -> None:
        """Let the window go on until then. On a long way somebody looks once in a round trip: a full line is that for
        no longer when many begin at once, and nobody would know later why packets were lost."""
        self.measure_at = end
        self.look_at = min(end, now + (self._round_trip or 0.0)) if self._long else end

    def _share(self, sessions: int, now: float) -> None:
        """Keep to a part of the number if other sessions need it, too."""
        self._sessions = sessions
        most = self._ceiling(now)
        if sessions > 1 and self.slots > most:
            self._change(most)
            self._capped = most

    @property
    def _long(self) -> bool:
        """Whether the way is known to be long."""
        return self._round_trip is not None and self._round_trip >= LONG_WAY

    @property
    def _steady(self) -> bool:
        """Whether bytes flow all the time."""
        return self._long and self._pace >= STEADY * (self._round_trip or 0.0)

    # -- what comes of it ----------------------------------------------------------------------------------------

    def _open(self, rate: float, now: float) -> None:
        """Go on with the usual number before the first answer, if the line takes that at this rate."""
        number = min(USUAL, self._ceiling(now))
        if number > self.slots and self._in_time(rate) >= number:
            self._change(number)
            self._opening = False

    @property
    def _may_hurry(self) -> bool:
        """Whether twice as many are tried at once on a long line: nobody has tried that yet, and it was never full."""
        untried = self._doubling and self._before is None and self.slots <= USUAL
        return untried and self._long and self._full_until == -math.inf

    def _in_time(self, rate: float) -> int:
        """Return how many chunks at once arrive before servers lose their patience."""
        return int(PATIENCE * rate / max(self._size, 1))

    def _judge(self, done: int, seconds: float, now: float, *, quick: bool) -> None:
        """Take in what a window brought."""
        self._windows += 1
        if self._windows > 1 or self._before is None or quick:
            self._done = FADING * self._done + max(done, 1)
            self._spent = FADING * self._spent + seconds
        few = min(FEW, self._ceiling(now))
        if self.slots < few and not quick and self._got_through:
            # The threads that were too many for quick answers do not get in each other's way now.
            self._restart(few)
        elif self._before is None:
            if self._ceiling(now) > self._capped:
                # More are allowed now, as where losses were seen only now, and nobody has tried them yet.
                self._upwards, self._doubling, self._try_at = True, True, -math.inf
            if self._got_through and now >= self._try_at:
                self._begin(self._done / self._spent, now, quick=quick)
        elif quick or self._windows > (1 if self._doubling else 2):
            self._conclude(self._done / self._spent, now)

    def _begin(self, rate: float, now: float, *, quick: bool) -> None:
        """Begin a trial, or rest if there is nothing to try in this direction."""
        if self._upwards is None:
            self._upwards = not quick
        number = self._more(rate, now) if self._upwards else self._less(quick=quick)
        if number == self.slots:
            if self._upwards and number == self._ceiling(now):
                self._capped = number
            self._settle(number, now)
        else:
            self._capped = MOST
            before = self.slots, rate
            self._change(number)
            self._before = before

    def _more(self, rate: float, now: float) -> int:
        step = self.slots if self._doubling else max(1, self.slots // 4)
        most = min(self._ceiling(now), self._in_time(rate))
        return max(self.slots, min(max(self.slots + step, FEW), most))

    def _less(self, *, quick: bool) -> int:
        if self.slots > FEW:
            return max(FEW, self.slots - max(1, self.slots // 4))
        return 1 if quick else self.slots

    def _ceiling(self, now: float) -> int:
        most = MOST
        if self._said is not None:
            most = self._said
        elif not self._lossy or self._full or not self._long:
            most = USUAL
        if now < self._too_many_until:
            most = min(most, self._too_many - 1)
        return min(max(most // self._sessions, 1), self._most)

    def _conclude(self, rate: float, now: float) -> None:
        """End the trial: keep as many as are worth it, and go on in the same direction if all of them are."""
        assert self._before is not None
        (number, before), tried = self._before, self.slots
        if tried > number:
            kept = self._worth(number, tried, rate / before)
        else:
            # Fewer are kept if the others were not worth anything.
            kept = tried if self._worth(tried, number, before / rate) == tried else number
        if kept == tried:
            self._change(tried)
            self._rest = REST
        else:
            self._settle(kept, now)

    def _change(self, number: int) -> None:
        self.slots = number
        self._before = None
        self._windows, self._done, self._spent = 0, 0.0, 0.0

    def _restart(self, number: int) -> None:
        """Begin to search anew."""
        self._change(number)
        self._upwards, self._doubling, self._try_at, self._rest = None, True, -math.inf, REST
        self._capped = MOST

    def _settle(self, number: int, now: float) -> None:
        """Rest before the next trial, which goes in the other direction."""
        self._change(number)
        self._doubling = False
        self._upwards = not self._upwards
        self._try_at = now + self._rest
        self._rest = min(2 * self._rest, 8 * REST)

    def _worth(self, few: int, many: int, gain: float) -> int:
        """Return how many uploads are worth it, if ``many`` of them are ``gain`` times as fast as ``few``."""
        if many <= FEW:
            return many if gain >= NOTICEABLE else few
        contended = self._full and not self._doubling
        part = 2 if many > USUAL or contended else 4
        return max(few, min(many, int(few * (1 + part * (gain - 1)) + 1e-9)))
