"""How many chunks a session sends at once if that is left to it, as servers see it."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.pool_server import PoolServer
from support.scripted_server import PATIENCE, ScriptedServer, holding, lacking
from support.waiting import eventually

from resumable import Resumable, dialects
from resumable.core.records import Lease
from resumable.core.speed import SpeedMeter
from resumable.dispatch.neighbours import Neighbours
from resumable.dispatch.transfers import Transfers
from resumable.receiver import Receiver, Server
from resumable.transport import fast_path
from resumable.transport.control import RequestControl
from resumable.transport.tcp_info import TcpInfo

pytestmark = pytest.mark.once

CHUNK = 1000


def upload(server: PoolServer, *, chunks: int = 120, **options: Any) -> int:
    """A file is whole at the server, with each chunk in its turn. How many uploads there may be at the end."""
    data = os.urandom(CHUNK * chunks)
    with Resumable(server.url, chunk_size=CHUNK, chunk_retry_interval=0.02, **options) as session:
        file = session.add_file(data, relative_path="a.bin")
        session.join(PATIENCE)
        assert server.whole(file.unique_identifier or "") == data
        assert server.out_of_order() == []
        return session.stats.simultaneous_uploads


def thinking(number: int) -> float:
    """A server far away, for which more uploads are faster."""
    return 0.03


def test_a_session_begins_with_three() -> None:
    """None of which is answered, so that nothing is known of more."""
    with (
        ScriptedServer(behave=holding) as server,
        Resumable(server.url, chunk_size=10, chunk_order="free") as session,
    ):
        session.add_file(bytes(90), relative_path="a.bin")
        server.wait_held(3)
        server.settle()
        assert len(server.held) == 3
        assert session.stats == (3, 3)
        server.behave = lacking
        server.release()


class Telling(RequestControl):
    """The control of a request of which the system tells how many packets were sent again by now."""

    def __init__(self, *, fresh: bool, resent: int) -> None:
        super().__init__()
        self.fresh = fresh
        self.resent = resent

    def tcp_info(self) -> TcpInfo:
        return TcpInfo(0.06, 0.05, 1000, self.resent, 1.0, 0.0, "cubic", 14600)


def test_packets_are_lost_when_more_were_sent_again_than_at_the_last_look() -> None:
    """Of what a connection that is used again lost before this request, nobody knows when that was."""
    transfers = Transfers()
    entry: Any = SimpleNamespace(transfers=0, meter=SpeedMeter())
    controls = [Telling(fresh=True, resent=0), Telling(fresh=False, resent=7)]
    for number, control in enumerate(controls):
        transfers.begin(Lease(number, 1, 0), entry, 0.0).control = control
    seen = [transfers.flow().lossy]
    for control in controls:
        control.resent += 1
        seen += [transfers.flow().lossy, transfers.flow().lossy]
    transfers.begin(Lease(2, 1, 0), entry, 0.0).control = Telling(fresh=True, resent=1)
    seen += [transfers.flow().lossy, transfers.flow().lossy]
    assert seen == [False, True, False, True, False, True, False]


@pytest.mark.parametrize("preset", [dialects.RESUMABLEJS, dialects.RESUMABLEJS_EXACT, dialects.FLOWJS_EXACT])
def test_the_presets_of_the_browser_have_three(preset: dict[str, Any]) -> None:
    with Resumable("http://127.0.0.1:1/", **preset) as session:
        assert session.options.simultaneous_uploads == 3


def test_more_are_sent_while_that_is_faster() -> None:
    """As many as browsers send, and no more: the server does not say that it likes them."""
    for _ in range(10):
        with PoolServer(think=thinking, keep_alive=True) as server:
            most = upload(server)
            assert server.most_at_once <= 6
        if most >= 4:
            break  # once is enough: on a busy machine more are not faster
    assert most >= 4


def test_a_number_is_exactly_that() -> None:
    with PoolServer(think=thinking, keep_alive=True) as server:
        assert upload(server, simultaneous_uploads=4) == 4
        assert server.most_at_once == 4


@pytest.mark.parametrize("above", [2, 4])
def test_a_server_that_has_too_much_to_do_above_a_number_gets_no_more(above: int) -> None:
    """It says so a few times, and gets every byte."""
    with PoolServer(think=thinking, keep_alive=True, busy_above=above) as server:
        assert upload(server, chunks=150) <= above
        assert server.too_many <= 20


@pytest.mark.parametrize("above", [4, 6])
def test_a_server_that_resets_connections_above_a_number_gets_no_more(above: int) -> None:
    """Of a server that did not say that it takes more, nobody wants more than 6 anyway."""
    with PoolServer(think=thinking, keep_alive=True, broken_above=above) as server:
        assert upload(server, chunks=150) <= above
        assert server.too_many <= (20 if above < 6 else 0)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_that_takes_few_at_a_time_is_not_crowded(workers: int) -> None:
    """Every chunk comes once, and nobody is kept waiting until something fails."""
    with PoolServer(workers, think=thinking) as server:
        upload(server, chunks=60, max_chunk_retries=0)
        assert server.most_at_once <= workers
        assert server.broken == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_that_keeps_connections_and_takes_few_of_them_gets_all_chunks(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks at another connection when one that nobody uses has ended, which is not left to it."""
    monkeypatch.setattr(fast_path, "_NO_ROOM", 0.1)
    with PoolServer(workers, keep_alive=True) as server:
        upload(server, chunks=20, max_chunk_retries=0, timeout=(5, 5))
        assert server.most_at_once <= workers
        assert server.broken == 0


def test_sessions_of_a_process_share_the_number() -> None:
    """The second leaves it to the first to fall to its part."""
    target = PoolServer(think=lambda number: 0.1, keep_alive=True)
    with (
        target as server,
        Resumable(server.url, chunk_size=10) as first,
        Resumable(server.url, chunk_size=10) as second,
    ):
        first.add_file(bytes(50_000), relative_path="a.bin")
        eventually(lambda: first.stats.simultaneous_uploads > 3)
        second.add_file(bytes(50_000), relative_path="b.bin")
        eventually(lambda: first.stats.simultaneous_uploads <= 3 and second.stats.active > 0)
        assert second.stats.simultaneous_uploads <= 3
        for session in (first, second):
            session.cancel()


def test_only_sessions_count_that_were_there_a_moment_ago() -> None:
    """And that upload to the same place, if that is known."""
    first, second, elsewhere = Neighbours("http://here:1"), Neighbours("http://here:1"), Neighbours("http://there:1")
    assert [each.sharing(0.0) for each in (first, second, elsewhere)] == [1, 2, 1]
    assert first.sharing(10.0) == 2
    assert first.sharing(16.0) == 1
    assert second.sharing(17.0) == 2
    assert [Neighbours("").sharing(17.0) for _ in range(2)] == [1, 1]


class Counted(Receiver):
    """Counts the requests at once, and is a little slow, so that more of them would be faster."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.counting = threading.Lock()
        self.at_once = 0
        self.answered = 0
        self.most_at_once = 0

    def handle(self, request: Any) -> Any:
        """Count the request, but for those before the first answer, when no client knows better."""
        with self.counting:
            self.at_once += 1
            if self.answered:
                self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            threading.Event().wait(0.02)
            return super().handle(request)
        finally:
            with self.counting:
                self.at_once -= 1
                self.answered += 1


@pytest.mark.parametrize(("said", "chunks"), [(1, 20), (2, 40), (9, 150)])
def test_the_receiver_says_how_many_it_likes(tmp_path: Path, said: int, chunks: int) -> None:
    receiver = Counted(tmp_path / "in", max_uploads=said)
    with Server(receiver) as server, Resumable(server.url, chunk_size=CHUNK) as session:
        session.add_file(os.urandom(CHUNK * chunks), relative_path="a.bin")
        session.join(PATIENCE)
    assert receiver.most_at_once <= said
    assert said < 3 or receiver.most_at_once > 3


def test_a_server_of_others_may_say_how_many_it_likes(wire: ScriptedServer) -> None:
    """With any answer."""
    wire.behave = lambda request: (404,) if request.chunk is None else (200, "", {"Resumable-Max-Uploads": "1"})
    with Resumable(wire.url, chunk_size=CHUNK) as session:
        session.add_file(bytes(CHUNK * 8), relative_path="a.bin")
        session.join(PATIENCE)
        assert session.stats.simultaneous_uploads == 1


def workers() -> int:
    """How many threads upload."""
    return sum(thread.name.startswith("resumable-worker") for thread in threading.enumerate())


@pytest.mark.parametrize(("above", "least", "most"), [(1, 0, 2), (6, 4, 6)])
def test_there_are_as_many_threads_as_uploads(above: int, least: int, most: int) -> None:
    """More begin when they are needed, and those end that are not: to wake them for each chunk is not cheap."""
    for _ in range(10):
        seen: list[int] = []
        with (
            PoolServer(think=thinking, keep_alive=True, busy_above=above) as server,
            Resumable(server.url, chunk_size=CHUNK, chunk_retry_interval=0.02) as session,
        ):
            session.on("chunk_success", lambda seen=seen: seen.append(workers()))
            session.add_file(os.urandom(CHUNK * 100), relative_path="a.bin")
            session.join(PATIENCE)
        late = max(seen[len(seen) // 2 : -6])
        assert max(seen) <= 6
        assert late <= most
        if late >= least:
            break  # once is enough: on a busy machine more are not faster
    assert late >= least


def test_thousands_of_uploads_at_once_start_no_more_threads_than_there_are_chunks(wire: ScriptedServer) -> None:
    wire.behave = holding
    with Resumable(wire.url, chunk_size=10, chunk_order="free", simultaneous_uploads=5000) as session:
        session.add_file(bytes(90), relative_path="a.bin")
        wire.wait(lambda: len(wire.uploads) == 9, "all chunks at once")
        assert workers() <= 10
        session.cancel()


def test_files_that_are_added_while_no_more_can_be_sent_start_no_threads(wire: ScriptedServer) -> None:
    wire.behave = holding
    started: list[str] = []

    def begun(frame: Any, event: str, argument: Any) -> None:
        sys.setprofile(None)
        if threading.current_thread().name.startswith("resumable-worker"):
            started.append(threading.current_thread().name)

    threading.setprofile(begun)
    try:
        with Resumable(wire.url) as session:
            for number in range(100):
                session.add_file(b"0123456789", f"{number}.bin")
            wire.wait(lambda: len(wire.uploads) >= 3, "three uploads")
            before = len(started)
            for number in range(100, 200):
                session.add_file(b"0123456789", f"{number}.bin")
            assert len(started) < before + 50
            session.cancel()
    finally:
        threading.setprofile(None)  # type: ignore[arg-type]
