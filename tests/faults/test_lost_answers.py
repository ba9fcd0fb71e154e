"""Answers that are lost: the server may have the chunk, so it is asked before it gets the bytes again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.client import CHUNK, Run, content, upload
from support.scripted_server import Request, ScriptedServer, Step, Store, answer, head

from resumable import Resumable, UploadFailed

CHUNKS = 8
LOST = 6
"""The number of the chunk that is answered badly. By then a new file is sent without questions."""


def reset(request: Request) -> None:
    request.reset()


def close(request: Request) -> None:
    request.close()


def cut(request: Request) -> None:
    """An answer that ends within its head."""
    request.send(b"HTTP/1.1 200 OK\r\nContent-Le")
    request.close()


def gibberish(request: Request) -> None:
    request.send(b"SSH-2.0-OpenSSH_9.6\r\n")
    request.close()


def stall(request: Request) -> None:
    """No answer: the client is not patient."""
    request.hold()


def status(code: int) -> Step:
    """What a proxy says for a server of which it heard nothing."""

    def step(request: Request) -> None:
        request.send(head(code, {"Content-Length": "0"}))

    return step


LOSSES: dict[str, Step] = {
    "reset": reset,
    "close": close,
    "cut": cut,
    "gibberish": gibberish,
    "stall": stall,
    **{str(code): status(code) for code in (444, 499, 502, 504, 520, 522, 524, 527, 598)},
}


class Server(ScriptedServer):
    """A foreign server that keeps chunks, but for the first request with the chunk ``LOST``, which ends in another way
    behind its last byte. ``keeps``: it has kept that chunk, too."""

    def __init__(self, loss: Callable[[Request], Any], *, keeps: bool, store: Store | None = None) -> None:
        self.store = store or Store()
        self.lost = 0
        self._loss = loss
        self._keeps = keeps
        super().__init__(otherwise=self._step)

    def _step(self, request: Request) -> Any:
        request.read()
        if request.chunk is None or request.number != LOST or self.lost:
            return self.store(request)
        self.lost += 1
        if self._keeps:
            self.store(request)
        return self._loss(request)

    def sent(self) -> int:
        """How often the bytes of that chunk came."""
        return self.numbers.count(LOST)

    def asked(self) -> int:
        """How often the chunk was asked for, but for the canary."""
        return sum(request.number == LOST and "canary" not in request.identifier for request in self.tests)


def run(server: Server, **options: Any) -> Run:
    """The upload of a file of ``CHUNKS`` chunks, which arrived whole."""
    data = content(CHUNKS * CHUNK)
    defaults = {"simultaneous_uploads": 1, "timeout": (5, 0.5), "chunk_retry_interval": 0}
    done = upload(server.url, (data, "a.bin"), **{**defaults, **options})
    assert server.lost == 1
    assert b"".join(server.store.chunks[key] for key in sorted(server.store.chunks)) == data
    assert done.count("file_success") == 1
    assert done.count("chunk_success") == CHUNKS
    return done


@pytest.mark.once
@pytest.mark.parametrize("loss", LOSSES)
def test_a_chunk_that_the_server_took_is_not_sent_again(loss: str) -> None:
    """Its success is told as that of a chunk that was there, and it does not count as skipped: its bytes were sent."""
    with Server(LOSSES[loss], keeps=True) as server:
        done = run(server)
        assert (server.sent(), server.asked()) == (1, 1)
    assert done.count("chunk_success") == CHUNKS


@pytest.mark.once
@pytest.mark.parametrize("loss", LOSSES)
def test_a_chunk_that_the_server_did_not_take_is_sent_again(loss: str) -> None:
    with Server(LOSSES[loss], keeps=False) as server:
        run(server)
        assert (server.sent(), server.asked()) == (2, 1)


@pytest.mark.parametrize("way", ["own", "session"], indirect=True)
@pytest.mark.parametrize("loss", ["reset", "close"])
def test_the_first_request_of_a_connection_may_be_lost_too(loss: str, way: dict[str, Any]) -> None:
    """Then the failure counts as one, and the next attempt begins with the question."""

    class Fresh(Store):
        def __call__(self, request: Request) -> Any:
            status, *_ = super().__call__(request)
            return status, "", {"Connection": "close"}

    with Server(LOSSES[loss], keeps=True, store=Fresh()) as server:
        done = run(server, **way)
        assert (server.sent(), server.asked()) == (1, 1)
    assert done.count("chunk_retry") == 1


@pytest.mark.parametrize("options", [{"test_chunks": False}, {"test_chunks": False, "test_every_chunk": True}])
def test_nothing_is_asked_if_tests_are_switched_off(options: dict[str, Any]) -> None:
    with Server(stall, keeps=True) as server:
        run(server, **options)
        assert (server.sent(), server.asked()) == (2, 0)


@pytest.mark.parametrize("code", [408, 423, 429, 503, 507, 521])
def test_a_server_that_says_that_it_did_not_take_the_chunk_is_not_asked(code: int) -> None:
    with Server(status(code), keeps=False) as server:
        run(server)
        assert (server.sent(), server.asked()) == (2, 0)


def test_a_server_that_did_not_get_all_bytes_is_not_asked() -> None:
    """It cannot have the chunk. This one is larger than what the buffers on the way hold."""
    chunk, store, cut = 8 << 20, Store(), []

    def step(request: Request) -> Any:
        if request.chunk is None or request.fields["resumableChunkNumber"] != "1" or cut:
            return store(request)
        cut.append(request)
        request.socket.recv(65536)
        return request.reset()

    options: dict[str, Any] = {"params_in": "query", "simultaneous_uploads": 1, "chunk_retry_interval": 0}
    with ScriptedServer(otherwise=step, receive_buffer=1 << 18) as server:
        done = upload(server.url, (content(chunk + 1), "a.bin"), chunk_size=chunk, force_chunk_size=True, **options)
        asked = [request.number for request in server.tests]
    assert (len(cut), done.count("file_success")) == (1, 1)
    assert asked.count(1) == 1


def test_a_server_that_has_everything_is_not_believed() -> None:
    """It is asked for a chunk that cannot exist, too, and gets the bytes again."""

    class Liar(Store):
        def __call__(self, request: Request) -> Any:
            return (200,) if request.chunk is None and server.lost else super().__call__(request)

    with Server(stall, keeps=False, store=Liar()) as server:
        run(server)
        assert (server.sent(), server.asked()) == (2, 1)


def test_a_server_that_does_not_answer_the_question_gets_the_bytes() -> None:
    """As with every other test."""

    class Mute(Store):
        def __call__(self, request: Request) -> Any:
            return (500,) if request.chunk is None and server.lost else super().__call__(request)

    with Server(close, keeps=True, store=Mute()) as server:
        run(server)
        assert server.sent() == 2


def test_a_failed_file_that_is_tried_again_asks_for_the_chunk() -> None:
    """The failure had used up all attempts."""
    data = content(CHUNKS * CHUNK)
    with (
        Server(stall, keeps=True) as server,
        Resumable(
            server.url, chunk_size=CHUNK, simultaneous_uploads=1, timeout=(5, 0.5), max_chunk_retries=0
        ) as session,
    ):
        file = session.add_file(data, relative_path="a.bin")
        with pytest.raises(UploadFailed):
            session.join()
        file.retry()
        session.join()
        assert (server.sent(), server.asked()) == (1, 1)
        assert file.bytes_skipped == 0


def test_our_receiver_is_asked_too() -> None:
    """An answer of another machine, without the header of ours, is none."""
    ours = {"Resumable-Server": "1", "Resumable-File": f"partial;stored=1;total={CHUNKS}"}

    class Ours(Store):
        def __call__(self, request: Request) -> Any:
            status, *_ = super().__call__(request)
            whole = len(self.chunks) == CHUNKS
            return (
                204 if status == 404 else 200,
                "",
                {**ours, "Resumable-File": "whole"} if whole else ours,
            )

    with Server(answer(200, b"<p>maintenance</p>"), keeps=True, store=Ours()) as server:
        run(server)
        assert (server.sent(), server.asked()) == (1, 1)
