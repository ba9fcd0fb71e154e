"""One recording, played once more with our client: what came of it, in the form of a recording.

One thread drives: it performs the recorded steps, delivers the notices of the session, and answers the requests, one at
a time and in the recorded order. An answer is given only when everything that the recording has before it has happened,
so that with one worker the whole order of events, requests and answers is comparable. Every wait has a deadline, and a
replay that stands still says where.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

from support.scripted_server import THREAD_NAME
from support.threads import awaits_an_answer, current_frames

from resumable.events import EVENTS

from .page import STATUS, Page, rounded
from .server import Arrived, Exchange, Gone, HeldServer, Said
from .trace import STEPS_WITH_A_LINE, Key, Trace

__all__ = ["Account", "replay"]

PATIENCE = 10.0
"""Seconds without any news after which a replay is given up."""

LIMIT = 30.0
"""Seconds that one wait may take, whatever news there is."""

REST = 3
"""How often in a row a client is seen at rest until what has not come is taken not to come."""

TICK = 0.002
"""Seconds between two looks for notices while nothing comes over the network: manual delivery wakes nobody."""

OURS = {row.js_name: row.js_name for row in EVENTS.values() if row.js_name} | {"filesSubmitted": "filesAdded"}
"""The recorded events that we have as well, and what resumable.js calls them."""


@dataclass
class Account:
    """What was sent, told and left behind, in the form of a recording; ``stalled`` says where it stood still."""

    requests: dict[str, dict[str, Any]] = field(default_factory=dict)
    timeline: list[dict[str, Any]] = field(default_factory=list)
    final: dict[str, Any] = field(default_factory=dict)
    assembled: list[bool] = field(default_factory=list)
    stalled: str | None = None


def replay(trace: Trace) -> Account:
    """What our client makes of the recorded steps and answers."""
    with tempfile.TemporaryDirectory() as folder, HeldServer() as server:
        driver = _Driver(trace, server, Path(folder))
        try:
            driver.run()
        except _Stalled as stalled:
            driver.account.stalled = str(stalled)
        finally:
            driver.page.close()
        return driver.account


class _Stalled(Exception):
    """Nothing happens any more."""


@dataclass(eq=False)
class _Held:
    """A request that has arrived: its number in the recording, or None where the recording has none like it."""

    label: str
    number: int | None
    exchange: Exchange
    over: bool = False


class _Driver:
    def __init__(self, trace: Trace, server: HeldServer, folder: Path) -> None:
        self.account = Account()
        self.page = Page(trace, server.origin, folder, self._said)
        self._trace = trace
        self._server = server
        self._script = trace.timeline
        self._bitmap = [place for place, line in enumerate(self._script) if "step" in line]
        self._cursor = 0
        self._performed = 0
        self._held: dict[int, _Held] = {}
        self._others = 0
        self._spared: set[int] = set()
        self._unanswered: dict[Exchange, _Held] = {}
        self._waiting: dict[Key, list[int]] = defaultdict(list)
        for number, request in enumerate(trace.requests):
            self._waiting[trace.key(request)].append(number)
        self._stored: dict[str, dict[int, bytes]] = defaultdict(dict)
        self._counts: dict[str, int] = defaultdict(int)
        self._since: set[str] = set()
        self._rested = 0
        self._thread = threading.get_ident()
        self._others_threads = set(threading.enumerate())

    # -- the steps -----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Perform every step, let everything come to rest, and take down what is left."""
        self.page.open()
        for step in self._trace.data["steps"]:
            kind = next(iter(step))
            if kind in STEPS_WITH_A_LINE:
                self._rest()
                self._line({"step": self._performed})
                self._performed += 1
            self._perform(kind, step)
            self._drain()
        self._performed = len(self._bitmap) + 1
        self._rest()
        self.account.final = self._final()
        self.account.assembled = list(self._assembled())

    def _perform(self, kind: str, step: dict[str, Any]) -> None:
        value = step[kind]
        if kind in ("add", "addApi"):
            self.page.add(value)
        elif kind == "addDir":
            # A directory that was dropped has its beforeAdd; one that was chosen in a dialogue has none.
            dropped = any(line.get("event") == "beforeAdd" for line in self._script)
            indexes = value if isinstance(value, list) else range(len(self.page.paths))
            (self.page.drop if dropped else self.page.add)(indexes)
        elif kind == "addApiUpload":
            self.page.add(value)
            self.page.evaluate("u.upload()")
        elif kind == "call":
            self.page.evaluate(value)
        elif kind == "new":
            self.page.open()
        elif kind == "waitEvent":
            self._until(lambda: self._counts[OURS.get(value, value)] >= step.get("count", 1), give_up=True)
        elif kind == "waitRequest":
            self._until(lambda: self._has_arrived(value))
        elif kind == "release":
            self._release()
        elif kind == "wait":
            self._rest()
        else:
            raise _Stalled(f"the recording has a step of an unknown kind: {step}")

    def _has_arrived(self, wanted: dict[str, Any]) -> bool:
        return any(
            all(self._trace.requests[number].get(name) == value for name, value in wanted.items())
            for number in self._held
        )

    def _release(self) -> None:
        """Held answers may go: those that the recorded client did not wait for are given now."""
        for held in list(self._unanswered.values()):
            if held.number is not None and self._trace.requests[held.number]["outcome"] == "abort":
                self._answer_aborted(held, held.number)

    # -- waiting -------------------------------------------------------------------------------------------------

    def _until(self, done: Callable[[], bool], *, give_up: bool = False) -> None:
        """Serve until it is done; with ``give_up`` also until all that is recorded has happened and nothing moves."""
        begun = quiet = time.monotonic()
        self._rested = 0
        while True:
            resting = self._rests()
            moved = self._drain() > 0
            if done() or (give_up and self._rested >= REST and self._reached(self._boundary)):
                return
            if max(time.monotonic() - quiet - PATIENCE, time.monotonic() - begun - LIMIT) > 0:
                raise _Stalled(self._dump())
            try:
                self._take(self._server.inbox.get(timeout=TICK))
                moved = True
            except Empty:
                pass
            moved = self._answer() or moved
            self._rested = self._rested + 1 if resting and not moved else 0
            if moved:
                quiet = time.monotonic()

    def _rest(self) -> None:
        """All that the recording has before the next step has happened, and what was told of it is told."""

        def rested() -> bool:
            place = self._boundary
            return self._reached(place) and self._told(place) and self._aborted(place) and self._rests()

        self._until(rested, give_up=True)

    def _aborted(self, place: int) -> bool:
        """Whether the client has given up the requests that the recorded one gave up before the place."""
        ends = [line["end"] for line in self._script[:place] if line.get("outcome") in ("abort", "timeout")]
        return all(self._held[number].over for number in ends if number in self._held)

    def _rests(self) -> bool:
        """Whether each thread of the client waits: for work, or for the answer to a request that is held here.

        It matters to what stops a request whether it is still being written, and only a client at rest will not tell
        any more. The interpreter knows where each thread is; no time has to be guessed, however slow the machine. A
        thread whose request was given up may not have noticed, so the server is asked as well.
        """
        frames = current_frames()
        reading = 0
        for thread in set(threading.enumerate()) - self._others_threads:
            if thread.name == THREAD_NAME:
                continue
            frame = frames.get(thread.ident or 0)
            if frame is not None and awaits_an_answer(frame):
                reading += 1
            elif frame is None or (frame.f_code.co_filename, frame.f_code.co_name) != (threading.__file__, "wait"):
                return False
        if reading != len(self._unanswered):
            return False
        self._server.settle()
        return self._server.inbox.empty()

    @property
    def _boundary(self) -> int:
        """The place of the next step in the recorded timeline."""
        return self._bitmap[self._performed] if self._performed < len(self._bitmap) else len(self._script)

    def _reached(self, place: int) -> bool:
        """Whether every request and answer that the recording has before the place has happened."""
        while self._cursor < place and self._happened(self._script[self._cursor]):
            self._cursor += 1
        return self._cursor >= place

    def _happened(self, line: dict[str, Any]) -> bool:
        if "step" in line:
            return self._bitmap.index(self._cursor) < self._performed
        number = line.get("send", line.get("end"))
        if number is None:
            return True
        held = self._held.get(number)
        if held is None:
            return number in self._spared or self._trace.requests[number].get("received") is False
        # When a client gave up a request is not to be seen by a server at a certain place among the events.
        return "send" in line or held.over or line["outcome"] == "abort"

    def _told(self, place: int) -> bool:
        """Whether the last event before the place has come since the last step or answer before it."""
        for line in reversed(self._script[:place]):
            if line.get("event") in OURS:
                return OURS[line["event"]] in self._since
            if "step" in line or "end" in line:
                break
        return True

    # -- requests and answers ------------------------------------------------------------------------------------

    def _take(self, news: Arrived | Gone | Said) -> None:
        self._drain()
        if isinstance(news, Said):
            self._line(news.line)
            return
        if isinstance(news, Gone):
            if news.exchange not in self._unanswered:
                return
            held = self._unanswered.pop(news.exchange)
            held.over = True
            recorded = self._trace.requests[held.number]["outcome"] if held.number is not None else "abort"
            self.account.requests[held.label]["outcome"] = "timeout" if recorded == "timeout" else "abort"
            return
        held = self._labelled(news.exchange)
        facts = {"outcome": "held", "key": self._trace.key(news.exchange.request)}
        self.account.requests[held.label] = news.exchange.request | facts
        self._line({"send": held.label})
        self._unanswered[news.exchange] = held
        if held.number is None:
            self._answer_by_rule(held)

    def _labelled(self, exchange: Exchange) -> _Held:
        numbers = self._waiting[self._trace.key(exchange.request)]
        while numbers and self._passed(numbers[0]):
            numbers.pop(0)
        if numbers:
            number = numbers.pop(0)
            held = self._held[number] = _Held(str(number), number, exchange)
            return held
        self._others += 1
        return _Held(f"unrecorded {self._others}", None, exchange)

    def _passed(self, number: int) -> bool:
        """Whether the recorded request never reached the server, and was over before the last performed step."""
        if self._trace.requests[number].get("received") is not False or not self._performed:
            return False
        mark = self._bitmap[min(self._performed, len(self._bitmap)) - 1]
        return any(line.get("end") == number for line in self._script[:mark])

    def _answer(self) -> bool:
        """The next recorded answer is given, if it is its turn; whether it was."""
        self._reached(len(self._script))
        if self._cursor == len(self._script):
            return False
        line = self._script[self._cursor]
        held = self._held.get(line.get("end", -1))
        if held is None or held.over or line["outcome"] == "timeout":
            return False
        if not self._told(self._cursor) and self._rested < REST:
            return False
        recorded = self._trace.requests[line["end"]]
        if line["outcome"] == "error":
            self._over(held, {"outcome": "error"})
            held.exchange.cut()
        else:
            self._give(held, recorded["response"]["status"], recorded["response"]["body"])
        return True

    def _answer_aborted(self, held: _Held, number: int) -> None:
        """The answer that the recorded client did not wait for: the one that its next attempt got."""
        key = self._trace.key(self._trace.requests[number])
        for request in self._trace.requests[number + 1 :]:
            if self._trace.key(request) == key and request["response"]:
                if request["body"]:
                    self._spared.add(request["n"])
                    self._waiting[key].remove(request["n"])
                self._give(held, request["response"]["status"], request["response"]["body"])
                return
        self._answer_by_rule(held)

    def _answer_by_rule(self, held: _Held) -> None:
        if held.exchange.request["body"] is None:
            self._give(held, self._trace.data["server"]["absent_chunk_status"], "")
        else:
            self._give(held, 200, "stored")

    def _give(self, held: _Held, status: int, body: str) -> None:
        if 200 <= status < 300:
            self._store(held.exchange)
        self._over(held, {"outcome": "load", "status": status})
        held.exchange.answer(status, body)

    def _over(self, held: _Held, facts: dict[str, Any]) -> None:
        # Written before the answer is given, as the recorder did, so that nothing caused by it can come first.
        self._drain()
        held.over = True
        del self._unanswered[held.exchange]
        self.account.requests[held.label]["outcome"] = facts["outcome"]
        self._line({"end": held.label, **facts})

    def _store(self, exchange: Exchange) -> None:
        _, _, identifier, number = self._trace.key(exchange.request)
        if exchange.chunk is not None and identifier is not None and number is not None and number.isdigit():
            self._stored[identifier][int(number)] = exchange.chunk

    # -- what is written down ------------------------------------------------------------------------------------

    def _said(self, line: dict[str, Any]) -> None:
        """What the page writes. On a worker it waits for its turn, behind what was told before."""
        if threading.get_ident() == self._thread:
            self._line(line)
        else:
            self._server.inbox.put(Said(line))

    def _line(self, line: dict[str, Any]) -> None:
        self.account.timeline.append(line)
        if "event" in line:
            self._counts[line["event"]] += 1
            self._since.add(line["event"])
        elif "step" in line or "end" in line:
            self._since.clear()

    def _drain(self) -> int:
        return self.page.drain()

    def _final(self) -> dict[str, Any]:
        session = self.page.session
        return {
            "files": [
                {
                    "identifier": file.unique_identifier,
                    "name": file.file_name,
                    "relativePath": file.relative_path,
                    "size": file.size,
                    "type": file.mime_type,
                    "progress": rounded(file.progress()),
                    "isComplete": _value(file.is_complete),
                    "isUploading": _value(file.is_uploading),
                    "chunks": [
                        {
                            "number": chunk.number,
                            "start": chunk.start,
                            "end": chunk.end,
                            "status": STATUS[chunk.state.value],
                            "retries": chunk.retries,
                        }
                        for chunk in file.chunks
                    ],
                }
                for file in session.files
            ],
            "progress": rounded(session.progress()),
            "isUploading": _value(session.is_uploading),
            "size": _value(session.get_size),
        }

    def _assembled(self) -> Iterator[bool]:
        present = self._trace.data["server"]["chunks_present_at_start"]
        for path, (_, data) in zip(self.page.paths, self._trace.expected_contents(), strict=True):
            file = self.page.files.get(path)
            if file is None:
                yield False
                continue
            stored = {chunk.number: data[chunk.start : chunk.end] for chunk in file.chunks if chunk.number in present}
            stored |= self._stored[file.unique_identifier or ""]
            yield len(stored) == len(file.chunks) and b"".join(stored[number] for number in sorted(stored)) == data

    def _dump(self) -> str:
        place = f"line {self._cursor} of {len(self._script)}"
        if self._cursor < len(self._script):
            place += f": {self._script[self._cursor]}"
        waiting = ", ".join(held.label for held in self._unanswered.values()) or "none"
        seen = "\n".join(f"  {line}" for line in self.account.timeline[-12:])
        return f"nothing leads on any more; the recording is at {place}; requests held: {waiting}; we saw last:\n{seen}"


def _value(member: Any) -> Any:
    return member() if callable(member) else member
