"""Measure how fast uploads to a receiver of this package are, and say what limits them.

Files are sent as an upload sends them, with as many chunks at once as are found best, but with a SHA-256 that is not
theirs. So the receiver takes all of a file, finds that it differs, and discards it: nothing stays there. Only
a receiver of this package does so; another would keep what it gets.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple

from ... import Resumable, ResumableFile
from ...core.concurrency import MOST
from ...options import OPTIONS
from ...protocol.headers import FILE_HEADER, from_receiver, parse_file_status
from ...transport import congestion
from ...transport.base import NetworkFailure, Reply, Request
from ...transport.control import RequestControl
from ...transport.http import RequestsTransport
from ...transport.tcp_info import TcpInfo
from ..output import units
from ..output.exit_codes import ExitCode
from .finding import Finding, answered

__all__ = ["Facts", "conclusion", "measure"]

_DISCARDED = 409
_FIRST = 1000
"""Bytes of the first file, which shows whether it is discarded."""

_LARGEST = 32 * 1024 * 1024
_FILE_SECONDS = 0.5
"""Seconds that a file takes: what the receiver does for each is to be little, and its end not to be waited for long."""

_AHEAD = 20
"""Files that wait for their turn, so that no upload is ever idle."""

_LOOK = 0.2
_LONG_WAY = 0.01
_LOSSY = 0.0005


class Facts(NamedTuple):
    """What was measured. Times are seconds; ``rate`` is bytes a second, and ``chunks`` how many were answered.

    ``uploads`` is how many were found best. The rest is what the system tells of the connections, if it does:
    ``round_trip``, the part of the packets that was ``resent``, the part of the time in which something was on its way
    (``busy``), that in which the receiver's window was full (``window_full``), and the congestion ``control``.
    ``processor`` is the part of one processor that this process took.
    """

    seconds: float
    rate: float
    chunks: int
    chunk_size: int
    uploads: int
    processor: float = 0.0
    round_trip: float | None = None
    resent: float = 0.0
    busy: float = 1.0
    window_full: float = 0.0
    control: str = ""


def measure(target: str, options: Mapping[str, Any], seconds: float) -> Finding | Facts:
    """Send chunks that are discarded for so many seconds, and return the facts, or why that does not work."""
    transport = _MeasuringTransport(options)
    chunk_size = options.get("chunk_size", OPTIONS["chunk_size"].default)
    noise = os.urandom(max(_LARGEST // chunk_size, 1) * chunk_size)
    over = threading.Event()

    def more() -> None:
        if not over.is_set():
            _add(session, noise[: max(int(transport.rate * _FILE_SECONDS / chunk_size), 1) * chunk_size])

    def begin(file: ResumableFile) -> None:
        # What is under way is sent to its end, because the receiver would keep a part of it for a while.
        if over.is_set():
            raise TimeoutError("the measurement is over")

    fixed = {
        "query": {**options.get("query", {}), "resumableFileSha256": "0" * 64},
        "accept_response": None,
        "test_chunks": False,
        "chunk_order": "free",
        "max_chunk_retries": 0,
        "plugins": (),
        "preprocess_file": begin,
    }

    with closing(Resumable(target, **{**options, **fixed}, transport=transport)) as session:
        first = _add(session, noise[:_FIRST])
        session.join(raise_errors=False)
        if transport.broken.is_set():
            return transport.refusal(first.file_name)
        transport.begin()
        worked = time.process_time()
        session.on("file_success", more)
        for _ in range(_AHEAD):
            more()
        while transport.seconds < seconds and not transport.broken.wait(_LOOK):
            transport.look()
        spent = transport.seconds
        uploads = session.stats.simultaneous_uploads
        facts = transport.facts(Facts(spent, 0, 0, chunk_size, uploads, (time.process_time() - worked) / spent))
        over.set()
        session.join(raise_errors=False)
    return transport.refusal("") if transport.broken.is_set() else facts


def _add(session: Resumable, data: bytes) -> ResumableFile:
    return session.add_file(data, relative_path=f"resumable-doctor-{os.urandom(6).hex()}.bin")


def conclusion(facts: Facts, available: Sequence[str] = (), allowed: Sequence[str] = ()) -> Finding:
    """Say what was found, what limits uploads, and what would help. ``available`` and ``allowed`` are the kinds of
    congestion control that the system has, and lets programs choose."""
    text = (
        f"{units.rate(facts.rate)} with {units.count(facts.uploads, 'upload')} at once, "
        f"chunks of {units.size(facts.chunk_size)}"
    )
    if facts.round_trip is not None:
        text += (
            f"; round trip {facts.round_trip * 1000:.3g} ms, {facts.resent:.2%} of the packets sent again, "
            f"congestion control {facts.control}"
        )
    limit, advice = _limit(facts, available, allowed)
    return Finding("measured", f"{text}. {limit}", advice)


def _limit(facts: Facts, available: Sequence[str], allowed: Sequence[str]) -> tuple[str, str]:
    if not facts.chunks:
        return "No chunk was answered in that time", "measure longer, or with a smaller --chunk-size"
    if facts.processor > 0.8:
        return "This machine's processor limits it", "a larger --chunk-size takes less of it"
    if facts.round_trip is None:
        return "This system does not tell what limits it", "try other --simultaneous-uploads and --chunk-size"
    if facts.window_full > 0.5:
        return "The server limits it: it reads more slowly than the line carries", ""
    if facts.resent > _LOSSY and facts.round_trip > _LONG_WAY and facts.control != "bbr":
        return "Packets that get lost limit it", _allow_bbr(available, allowed)
    each = facts.uploads * facts.seconds / facts.chunks
    waiting = (1 - facts.busy) * each
    if facts.busy < 0.7 and waiting > 3 * facts.round_trip:
        return (
            f"The server limits it: it takes {units.duration(waiting)} to answer a chunk",
            "a larger --chunk-size has it answer less often",
        )
    if facts.busy < 0.7:
        return "The wait for answers over a long way limits it", "more --simultaneous-uploads or a larger --chunk-size"
    return "The line limits it", ""


def _allow_bbr(available: Sequence[str], allowed: Sequence[str]) -> str:
    """Return how to have bbr, which does not slow down for each packet that is lost."""
    if "bbr" in allowed:
        return "--congestion-control auto uses bbr, which does not slow down for each of them"
    load = "" if "bbr" in available else "modprobe tcp_bbr; "
    return f'as root: {load}sysctl -w net.ipv4.tcp_allowed_congestion_control="{" ".join([*allowed, "bbr"])}"'


class _MeasuringTransport(RequestsTransport):
    """Sends chunks that are to be discarded, looks at the connections, and says to the session that all is well.

    ``broken`` is set if one was not discarded, or did not arrive; then ``refusal(name)`` is what to say.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(connections=MOST, congestion_control=options.get("congestion_control", congestion.AUTO))
        self.broken = threading.Event()
        self.refusal: Callable[[str], Finding]
        self._lock = threading.Lock()
        self._chunks = self._bytes = 0
        self._live: set[RequestControl] = set()
        self._infos: list[TcpInfo] = []
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the measurement began."""
        return time.monotonic() - self._began

    @property
    def rate(self) -> float:
        """Bytes a second until now."""
        return self._bytes / max(self.seconds, _LOOK)

    def begin(self) -> None:
        """Begin to count."""
        self._chunks = self._bytes = 0
        self._began = time.monotonic()

    def send(self, request: Request, control: RequestControl) -> Reply:
        """Send the chunk. Raises what the transport raises."""
        with self._lock:
            self._live.add(control)
        try:
            reply = super().send(request, control)
            sent = control.sent
        except NetworkFailure as failure:
            text = f"no usable answer came back: {failure}"
            self._break(lambda name: Finding("measured", text, code=ExitCode.EXHAUSTED))
            raise
        finally:
            with self._lock:
                self._live.discard(control)
        status = parse_file_status(reply.headers.get(FILE_HEADER.lower(), ""))
        stored = reply.status == 200 and status is not None and not status.whole
        if not stored and (reply.status != _DISCARDED or not from_receiver(reply.headers)):
            self._break(partial(_not_discarded, reply))
            raise NetworkFailure("the server does not discard chunks", permanent=True)
        with self._lock:
            self._chunks += 1
            self._bytes += sent
        return Reply(200, {}, "")

    def _break(self, refusal: Callable[[str], Finding]) -> None:
        self.refusal = refusal
        self.broken.set()

    def look(self) -> None:
        """Look at the connections."""
        with self._lock:
            infos = [info for info in (control.tcp_info() for control in self._live) if info is not None]
        if len(infos) >= len(self._infos):
            self._infos = infos

    def facts(self, facts: Facts) -> Facts:
        """Return the facts with what was counted, and what the system told of the connections."""
        with self._lock:
            facts = facts._replace(chunks=self._chunks, rate=self._bytes / facts.seconds)
        infos = self._infos
        if not infos:
            return facts
        busy = sum(info.busy for info in infos)
        return facts._replace(
            round_trip=min(info.least_round_trip for info in infos),
            resent=sum(info.segments_resent for info in infos) / max(sum(info.segments_sent for info in infos), 1),
            busy=min(busy / (len(infos) * facts.seconds), 1.0),
            window_full=sum(info.window_limited for info in infos) / max(busy, 1e-6),
            control=infos[0].congestion_control,
        )


def _not_discarded(reply: Reply, name: str) -> Finding:
    text = f"what was to be discarded was answered with {answered(reply)}"
    stays = f"delete {name} there; " if reply.status in (200, 201) else ""
    return Finding("measured", text, f"{stays}without --measure nothing has to be discarded", ExitCode.REFUSED)
