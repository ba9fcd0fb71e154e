"""Files and chunks: what they say, what they can be told, and how they travel."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import PATIENCE, Request, ScriptedServer, Store
from support.threads import wait_until_answers_are_awaited
from support.waiting import eventually

from resumable import (
    ChunkState,
    FileState,
    OptionError,
    Resumable,
    ResumableChunk,
    ResumableFile,
    RetriesExhausted,
    ServerRefused,
    SessionState,
    SourceChanged,
    SourceError,
    StateError,
    UploadCancelled,
    UploadFailed,
    WaitTimeout,
)
from resumable.dispatch.registry import ChunkRecord, FileRecord

Make = Callable[..., Path]


# -- progress ------------------------------------------------------------------------------------------------------


def test_progress_never_falls_and_is_not_1_before_the_last_answer(wire: ScriptedServer, make: Make) -> None:
    answered: list[int] = []
    wire.behave = lambda request: (404,) if request.chunk is None else answered.append(request.number) or (200,)
    seen: list[tuple[float, float, int]] = []
    with Resumable(wire.url, chunk_size=10, simultaneous_uploads=4, throttle_progress_callbacks=0) as session:

        @session.on("file_progress")
        def look(file: ResumableFile) -> None:
            before = len(answered)
            ratio = file.progress()
            assert ratio * len(file.chunks) <= len(answered)
            assert ratio < 1 or before == len(file.chunks)
            seen.append((ratio, session.progress(), file.bytes_confirmed))

        file = session.add_file(make(size=400))
    for values in zip(*seen, strict=True):
        assert list(values) == sorted(values)
    assert seen[-1] == (1.0, 1.0, 400)
    assert (file.bytes_confirmed, file.bytes_skipped, file.bytes_sent) == (400, 0, 400)


def test_what_the_server_had_already_is_skipped_and_no_speed(wire: ScriptedServer, make: Make) -> None:
    memory: dict[tuple[str, int], bytes] = {}
    wire.behave = Store(memory, missing=204)
    path = make(size=100)
    with Resumable(wire.url, chunk_size=10) as session:
        session.add_file(path)
    for number in (1, 4, 10):
        (key,) = [key for key in memory if key[1] == number]
        del memory[key]
    sent = len(wire.uploads)
    with Resumable(wire.url, chunk_size=10) as session:
        file = session.add_file(path)
    assert sorted(request.number for request in wire.uploads[sent:]) == [1, 4, 10]
    assert (file.bytes_confirmed, file.bytes_skipped, file.bytes_sent) == (100, 70, 30)
    assert (session.bytes_confirmed, session.bytes_skipped, session.bytes_sent) == (100, 70, 30)
    with Resumable(wire.url, chunk_size=10) as session:
        file = session.add_file(path)
    assert len(wire.uploads) == sent + 3
    assert (file.bytes_skipped, file.bytes_sent, file.speed, session.speed) == (100, 0, 0, 0)


def test_what_was_sent_falls_on_a_retry_and_what_was_confirmed_does_not(wire: ScriptedServer, make: Make) -> None:
    wire.behave = lambda request: None
    with Resumable(wire.url, chunk_size=10, test_chunks=False, chunk_retry_interval=0) as session:
        file = session.add_file(make(size=10))
        wire.wait_held()
        wait_until_answers_are_awaited()
        assert (file.bytes_sent, file.bytes_confirmed, file.progress()) == (10, 0, 0)
        assert session.bytes_sent == 10
        failed = threading.Event()
        file.on("retry", lambda: failed.set())
        with wire.condition:
            held, wire.held = wire.held, []
        held[0].answer(503)
        assert failed.wait(PATIENCE)
        wire.wait_held()
        wire.release()


def test_speed_and_the_rest_of_the_time_are_known_while_bytes_flow(wire: ScriptedServer, make: Make) -> None:
    now = [0.0]

    def behave(request: Any) -> Any:
        # The time that remains is known after five seconds.
        now[0] += 2
        return (200,) if request.number < 5 else None

    wire.behave = behave
    options: dict[str, Any] = {"chunk_size": 1 << 16, "test_chunks": False, "simultaneous_uploads": 1}
    with Resumable(wire.url, clock=lambda: now[0], **options) as session:
        assert session.speed == 0
        assert session.time_remaining == 0, "there is nothing left to do"
        file = session.add_file(b"x" * (10 << 16), relative_path="x")
        wire.wait_held()
        wait_until_answers_are_awaited()
        eventually(lambda: file.speed > 0)
        assert session.speed > 0
        left = file.time_remaining
        assert left is not None
        assert left > 0
        assert session.time_remaining is not None
        wire.behave = lambda request: (200,)
        wire.release()
    assert file.time_remaining == session.time_remaining == 0


def test_a_pause_is_not_held_against_the_speed(wire: ScriptedServer, make: Make) -> None:
    now = [100.0]
    wire.behave = lambda request: None
    with Resumable(
        wire.url, chunk_size=1000, test_chunks=False, simultaneous_uploads=1, clock=lambda: now[0]
    ) as session:
        # Whoever asks the file how much of it is stored has the speed measured at that moment.
        stored = threading.Semaphore(0)
        session.on("chunk_success", lambda chunk, message: stored.release())
        file = session.add_file(make(size=4000))
        for number in range(4):
            wire.wait_held()
            wait_until_answers_are_awaited()
            now[0] += 1
            if number == 1:
                session.pause()
            wire.release()
            assert stored.acquire(timeout=PATIENCE)
            if number == 1:
                now[0] += 1000
                session.resume()
    assert file.speed == pytest.approx(1000)
    assert session.speed == pytest.approx(1000)


def test_the_progress_of_a_session_is_that_of_all_its_bytes(wire: ScriptedServer, make: Make) -> None:
    with Resumable(wire.url, auto_upload=False) as session:
        assert session.progress() == 0
        first = session.add_file(make("first", 30))
        assert session.get_size() == 30
        session.join(PATIENCE)
        assert (session.progress(), first.progress()) == (1, 1)
        second = session.add_file(make("second", 10))
        assert session.get_size() == 40
        assert session.progress() == first.progress(relative=True) == 0.75
        assert second.progress(relative=True) == 0
        session.remove_file(first)
        assert session.get_size() == 10
        assert session.progress() == 0


def test_an_empty_file_is_done_when_the_server_says_so(wire: ScriptedServer, make: Make) -> None:
    with Resumable(wire.url, auto_upload=False) as session:
        file = session.add_file(make(size=0))
        assert (file.progress(), session.progress(), len(file.chunks)) == (0, 0, 1)
        assert file.progress(relative=True) == 0
        session.join(PATIENCE)
        assert (file.progress(), session.progress()) == (1, 1)
    assert [request.chunk for request in wire.uploads] == [b""]


# -- commands ------------------------------------------------------------------------------------------------------


def test_a_paused_file_waits_while_the_others_go_on(wire: ScriptedServer, make: Make) -> None:
    with Resumable(wire.url, chunk_size=10, auto_upload=False) as session:
        first, second = session.add_files([make("first", 50), make("second", 50)])
        first.pause()
        first.pause()
        assert first.is_paused()
        session.upload()
        second.wait(PATIENCE)
        assert session.is_uploading()
        assert first.state is FileState.PAUSED
        assert {request.file_name for request in wire.uploads} == {"second"}
        first.pause(False)
        first.resume()
        assert not first.is_paused()
    assert first.is_complete()


def test_an_aborted_file_goes_on_at_the_next_upload(wire: ScriptedServer, make: Make) -> None:
    wire.behave = lambda request: (404,) if request.chunk is None else None
    with Resumable(wire.url, chunk_size=10) as session:
        file = session.add_file(make(size=50))
        wire.wait_held()
        wait_until_answers_are_awaited()
        file.abort()
        assert file.is_paused()
        wire.release()
        begun = wire.settle()
        wire.behave = lambda request: (404,) if request.chunk is None else (200,)
        assert wire.settle() == begun
        session.upload()
        file.wait(PATIENCE)
    assert len(wire.uploads) == 5


def test_an_aborted_file_does_not_go_on_because_another_is_added_while_somebody_joins(
    wire: ScriptedServer, make: Make
) -> None:
    wire.behave = lambda request: None if request.fields["resumableFilename"] == "held" else (200,)
    with Resumable(wire.url, test_chunks=False) as session:
        session.add_file(make("held"))
        wire.wait_held()
        wait_until_answers_are_awaited()
        session.pause()
        aborted = session.add_file(make("aborted"))
        aborted.abort()
        session.resume()
        joins = threading.Thread(target=session.join)
        joins.start()
        while not session._dispatcher._results.joining:
            pass
        session.add_file(make("other")).wait(PATIENCE)
        assert aborted.is_paused()
        aborted.resume()
        wire.release()
        joins.join(PATIENCE)
    assert aborted.is_complete()


def test_a_cancelled_file_is_gone_and_its_wait_says_so(wire: ScriptedServer, make: Make) -> None:
    wire.behave = lambda request: None
    with Resumable(wire.url) as session:
        file = session.add_file(make())
        (held,) = wire.wait_held()
        file.cancel()
        assert held.gone.wait(PATIENCE)
        file.cancel()
        file.pause()
        file.resume()
        assert session.files == []
        with pytest.raises(UploadCancelled, match=r"'a\.bin' was cancelled"):
            file.wait(PATIENCE)
        for call in (file.retry, file.bootstrap, lambda: file.mark_chunks_completed(1)):
            with pytest.raises(StateError, match="no longer part of the session"):
                call()
        assert file.chunks[0].state is ChunkState.PENDING
        assert session.join(PATIENCE).cancelled == (file,)


def test_a_failed_file_says_why_and_goes_on_with_what_is_stored(wire: ScriptedServer, make: Make) -> None:
    wire.behave = lambda request: (
        (404,) if request.chunk is None else (413, "too large") if request.number == 3 else (200,)
    )
    with Resumable(wire.url, chunk_size=10, simultaneous_uploads=1) as session:
        file = session.add_file(make(size=50))
        with pytest.raises(ServerRefused, match="413") as caught:
            file.wait(PATIENCE)
        assert file.error is caught.value
        assert caught.value.file is file
        assert caught.value.chunk == file.chunks[2]
        assert file.message == "too large"
        assert file.state is FileState.ERROR
        assert not file.is_complete()
        assert not file.is_completed
        assert file.progress() == 0.4
        assert session.join(PATIENCE, raise_errors=False).failed == (file,)
        before = len(wire.uploads)
        wire.behave = lambda request: (404,) if request.chunk is None else (200,)
        file.retry()
        file.retry()
        file.wait(PATIENCE)
        assert (file.error, file.message) == (None, "")
        assert [request.number for request in wire.uploads[before:]] == [3, 4, 5]
        with pytest.raises(StateError, match="success"):
            file.retry()


def test_bootstrap_takes_nothing_for_stored(wire: ScriptedServer, make: Make) -> None:
    heard: list[str] = []
    with Resumable(wire.url, chunk_size=10) as session:
        file = session.add_file(make(size=30))
        session.join(PATIENCE)
        file.on("catch_all", lambda event, *_: heard.append(event))
        file.bootstrap()
        assert file.state is FileState.READY
        assert (file.bytes_confirmed, file.progress()) == (0, 0)
        session.join(PATIENCE)
    assert [request.number for request in wire.uploads] == [1, 2, 3, 1, 2, 3]
    assert heard.count("file_success") == 1


@pytest.mark.parametrize(
    ("marked", "sent"),
    [
        (2, [3, 4, 5]),
        (0, [1, 2, 3, 4, 5]),
        (-1, [1, 2, 3, 4, 5]),
        ([1, 3, 3, 99, -1], [1, 3, 5]),
        (99, []),
        ([], [1, 2, 3, 4, 5]),
    ],
)
def test_chunks_that_were_marked_are_neither_tested_nor_sent(
    wire: ScriptedServer, make: Make, marked: Any, sent: list[int]
) -> None:
    with Resumable(wire.url, chunk_size=10, simultaneous_uploads=1, auto_upload=False) as session:
        file = session.add_file(make(size=50))
        session.add_file(make("other"))
        file.mark_chunks_completed(marked)
        assert [chunk.state is ChunkState.DONE for chunk in file.chunks] == [n + 1 not in sent for n in range(5)]
        session.join(PATIENCE)
        with pytest.raises(StateError, match="success"):
            file.mark_chunks_completed(1)
    mine = [request for request in wire.requests if request.file_name in (None, "a.bin")]
    assert [request.number for request in mine if request.chunk is not None] == sent
    assert file.bytes_skipped == 50 - 10 * len(sent)


def test_a_new_query_goes_with_later_requests(wire: ScriptedServer, make: Make) -> None:
    # A mapping replaces a function and a function a mapping, whichever was there first.
    queries: list[Any] = [
        {"step": "1"},
        lambda file, chunk: {"step": "2"},
        {"step": "3"},
        lambda file, chunk: {"step": "4"},
        None,
    ]
    with Resumable(wire.url, test_chunks=False, query=lambda file, chunk: {"step": "0"}) as session:
        for number, query in enumerate([..., *queries]):
            if query is not ...:
                session.update_query(query)
            session.add_file(make(str(number))).wait(PATIENCE)
        with pytest.raises(ValueError, match="query"):
            session.update_query(7)
        with pytest.raises(ValueError, match=r"query must be a callable\(file, chunk\)"):
            session.update_query(lambda file: {})
    assert [request.fields.get("step") for request in wire.uploads] == ["0", "1", "2", "3", "4", None]


# -- chunks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("old", [{"round": "1"}, lambda file, chunk: {"round": "1"}], ids=["fixed", "made"])
@pytest.mark.parametrize("new", [{"round": "2"}, lambda file, chunk: {"round": "2"}], ids=["fixed", "made"])
def test_a_query_that_is_replaced_between_test_and_upload_goes_with_the_upload(
    wire: ScriptedServer, make: Make, old: Any, new: Any
) -> None:
    def behave(request: Request) -> tuple[int]:
        if request.chunk is None:
            session.update_query(new)
            return (404,)
        return (200,)

    wire.behave = behave
    with Resumable(wire.url, query=old) as session:
        session.add_file(make())
    assert [request.fields["round"] for request in wire.requests] == ["1", "2"]


def test_the_chunks_of_a_file_are_a_sequence(wire: ScriptedServer, make: Make) -> None:
    with Resumable(wire.url, chunk_size=10, auto_upload=False) as session:
        file = session.add_file(make(size=35))
        chunks = file.chunks
        assert len(chunks) == 3
        assert [(chunk.index, chunk.offset, chunk.number, chunk.start, chunk.end, chunk.size) for chunk in chunks] == [
            (0, 0, 1, 0, 10, 10),
            (1, 1, 2, 10, 20, 10),
            (2, 2, 3, 20, 35, 15),
        ]
        assert chunks[-1] is chunks[2]
        assert chunks[1:] == [chunks[1], chunks[2]]
        assert chunks[0] in chunks
        assert chunks.index(chunks[1]) == 1
        with pytest.raises(IndexError, match="3 chunks"):
            chunks[3]
        with pytest.raises(IndexError):
            chunks[-4]
        assert chunks[0] != chunks[1]
        assert chunks[0] != "a chunk"
        assert len({chunks[0], chunks[0], chunks[1]}) == 2
        assert chunks[2].read() == make(size=35).read_bytes()[20:]
        assert chunks[1].state is ChunkState.PENDING
        assert repr(chunks[1]) == "<ResumableChunk 2 of 'a.bin'>"
        session.cancel()


def test_a_chunk_says_where_it_is(wire: ScriptedServer, make: Make) -> None:
    wire.behave = lambda request: None
    with Resumable(wire.url, chunk_size=10, chunk_retry_interval=3600) as session:
        file = session.add_file(make(size=10))
        chunk = file.chunks[0]
        (test,) = wire.wait_held()
        assert chunk.state is ChunkState.TESTING
        wire.release(404)
        wire.wait_held()
        assert (chunk.state, chunk.retries) == (ChunkState.SENDING, 0)
        failed = threading.Event()
        chunk.on("chunk_retry", lambda: failed.set())
        wire.release(502)
        assert failed.wait(PATIENCE)
        assert (chunk.state, chunk.retries) == (ChunkState.BACKOFF, 1)
        file.pause()
        assert (chunk.state, chunk.retries) == (ChunkState.PENDING, 1)
        wire.behave = lambda request: (200,)
        file.resume()
        file.wait(PATIENCE)
        assert chunk.state is ChunkState.DONE
        assert test.method == "GET"


def test_chunks_follow_the_cut_that_preprocessing_makes(wire: ScriptedServer, make: Make) -> None:
    heard = []
    with Resumable(
        wire.url, chunk_size=10, preprocess_file=lambda file: b"y" * 45, auto_upload=False, deliver="manual"
    ) as session:
        file = session.add_file(make(size=20))
        assert file.state is FileState.PREPARING
        held = file.chunks[1]
        held.on("chunk_success", lambda chunk: heard.append((chunk.start, chunk.end)))
        assert (len(file.chunks), held.end) == (2, 20)
        shrinking = session.add_file(make("b", size=60))
        lost = shrinking.chunks[5]
        session.join(PATIENCE)
        assert (len(file.chunks), held.start, held.end, held.size) == (4, 10, 20, 10)
        assert file.size == 45
        assert held.read() == b"y" * 10
        with pytest.raises(IndexError):
            lost.size  # noqa: B018
        assert repr(lost)
    assert heard == [(10, 20)]
    assert [len(request.chunk or b"") for request in wire.uploads if request.file_name == "a.bin"] == [10, 10, 10, 15]


def test_a_source_that_changed_fails_its_file_alone(wire: ScriptedServer, make: Make) -> None:
    with Resumable(wire.url, auto_upload=False) as session:
        path = make("changed")
        changed, other = session.add_files([path, make("other")])
        path.write_bytes(b"longer than before")
        result = session.join(PATIENCE, raise_errors=False)
        assert (result.failed, result.succeeded) == ((changed,), (other,))
        assert isinstance(changed.error, SourceChanged)
        path.unlink()
        changed.retry()
        session.join(PATIENCE, raise_errors=False)
        assert isinstance(changed.error, SourceError)


# -- facts and travel ----------------------------------------------------------------------------------------------


def test_files_say_what_they_are(wire: ScriptedServer, make: Make) -> None:
    path = make("docs/a.txt", 25)
    with Resumable(wire.url, chunk_size=10, auto_upload=False) as session:
        file = session.add_file(path, relative_path="docs/a.txt", unique_identifier="mine")
        assert file.resumable_obj is session
        assert (file.file_name, file.relative_path, file.size, file.mime_type, file.unique_identifier) == (
            "a.txt",
            "docs/a.txt",
            25,
            "text/plain",
            "mine",
        )
        assert (file.path, file.chunk_size, file.state, file.error, file.message) == (
            str(path),
            10,
            FileState.READY,
            None,
            None,
        )
        assert repr(file) == "<ResumableFile 'docs/a.txt', 25 bytes, ready>"
        assert repr(session).endswith(", 1 file, idle>")
        assert not file.is_uploading()
        with pytest.raises(WaitTimeout):
            file.wait(0)
        session.join(PATIENCE)
        assert file.message == "got 2"
    assert session.support is True
    assert session.state is SessionState.CLOSED


def test_no_secret_is_shown() -> None:
    session = Resumable("http://user:word@127.0.0.1/?token=secret", headers={"Authorization": "Bearer abc"})
    assert "word" not in repr(session)
    assert "secret" not in repr(session)
    assert "a callable" in repr(Resumable(lambda params: "http://127.0.0.1/"))


def test_files_chunks_and_errors_pickle_as_plain_records(wire: ScriptedServer, make: Make) -> None:
    wire.behave = lambda request: (503, "later")
    with Resumable(wire.url, chunk_size=10, max_chunk_retries=0, test_chunks=False) as session:
        file = session.add_file(make(size=25), unique_identifier="mine")
        with pytest.raises(UploadFailed) as caught:
            session.join(PATIENCE)
    record = FileRecord("a.bin", "a.bin", 25, "application/octet-stream", "mine")
    assert pickle.loads(pickle.dumps(file)) == record
    assert pickle.loads(pickle.dumps(file.chunks[1])) == ChunkRecord(record, 2, 10, 25)
    failed = pickle.loads(pickle.dumps(caught.value))
    assert str(failed) == str(caught.value)
    (error,) = failed.errors
    assert isinstance(error, RetriesExhausted)
    assert (error.file, error.chunk, error.status, error.body, error.attempts) == (
        record,
        ChunkRecord(record, 1, 0, 10),
        503,
        "later",
        1,
    )
    assert failed.result.failed == (record,)


def test_all_failed_files_go_on_at_once(wire: ScriptedServer, make: Make) -> None:
    refused = {"a.bin", "c.bin"}
    wire.behave = lambda request: (403,) if request.fields["resumableFilename"] in refused else (200,)
    with Resumable(wire.url, test_chunks=False) as session:
        first, second, third = session.add_files([make("a.bin"), make("b.bin"), make("c.bin")])
        session.join(PATIENCE, raise_errors=False)
        refused.clear()
        assert session.retry_failed() == [first, third]
        assert session.join(PATIENCE).succeeded == (first, third)
        assert second.is_complete()
        assert session.retry_failed() == []


def test_a_notebook_shows_files_and_results_without_letting_names_in(wire: ScriptedServer, make: Make) -> None:
    wire.behave = lambda request: (403, "<b>no</b>") if "x" in request.fields["resumableFilename"] else (200,)
    with Resumable(wire.url, test_chunks=False) as session:
        good = session.add_file(b"1" * 2048, relative_path="good.bin")
        files = [session.add_file(b"1", relative_path=f"<x{number}>.bin") for number in range(12)]
        result = session.join(PATIENCE, raise_errors=False)
    assert good._repr_html_() == (
        '<div><b>good.bin</b> <progress max="2048" value="2048"></progress> 2.00 KiB of 2.00 KiB, success</div>'
    )
    assert "&lt;x0&gt;" in files[0]._repr_html_()
    shown = result._repr_html_()
    assert "<tr><th>succeeded</th><td>1</td></tr><tr><th>failed</th><td>12</td></tr>" in shown
    assert "<x0>" not in shown
    assert "<li>and 2 more</li>" in shown


def test_the_limit_of_the_rate_is_changed_while_bytes_flow(receiver_url: str, received: Path) -> None:
    with Resumable(receiver_url, chunk_size=1 << 16, limit_rate=10_000, simultaneous_uploads=1) as session:
        assert session.limit_rate == 10_000
        file = session.add_file(bytes(1 << 20), relative_path="a.bin")
        eventually(lambda: file.bytes_sent > 0)
        # The rest would take longer than the test waits.
        session.limit_rate = None
        session.join(PATIENCE)
        assert session.options.limit_rate is None
        with pytest.raises(OptionError):
            session.limit_rate = 0
        session.limit_rate = 10_000_000
        assert session.add_file(b"more", relative_path="b.bin").resumable_obj.join(PATIENCE)
    assert (received / "a.bin").stat().st_size == 1 << 20


def test_a_file_has_the_answer_with_its_status_and_headers(wire: ScriptedServer, make: Make) -> None:
    wire.behave = lambda request: (201, '{"id": 5}', {"X-Number": str(request.number)})
    heard: list[Any] = []
    with Resumable(wire.url, test_chunks=False, chunk_size=5) as session:
        file = session.add_file(make(size=10), on={"file_success": lambda file: heard.append(file.response.json())})
    assert file.response is not None
    assert (file.response.status, file.response.headers["x-number"]) == (201, "2")
    assert file.response.text == file.message
    assert heard == [{"id": 5}]
    assert file.response._replace(text="\ufeff[1]").json() == [1]
    for body in ("[" * 100_000, "<p>", ""):
        with pytest.raises(ValueError):  # noqa: PT011 # json has no words for the first
            file.response._replace(text=body).json()
    wire.behave = lambda request: (403, "no")
    with Resumable(wire.url, test_chunks=False) as session:
        failed = session.add_file(make("b.bin"))
        assert failed.response is None or failed.response.status == 403
        session.join(PATIENCE, raise_errors=False)
    assert failed.response is not None
    assert (failed.response.status, failed.response.text) == (403, "no")


def test_a_chunk_has_the_answer_to_it_in_its_handlers(wire: ScriptedServer, make: Make) -> None:
    statuses = iter([503, 200, 200, 403])
    wire.behave = lambda request: (next(statuses), '{"n": 1}', {"X-Number": str(request.number)})
    heard: list[tuple[str, int, int, Any, str]] = []

    def hear(event: str, chunk: ResumableChunk) -> None:
        assert chunk.response is not None
        answer = chunk.response
        heard.append((event, chunk.number, answer.status, answer.json(), answer.headers["x-number"]))

    options: dict[str, Any] = {"test_chunks": False, "simultaneous_uploads": 1, "chunk_retry_interval": 0}
    with Resumable(wire.url, chunk_size=5, **options) as session:
        for event in ("chunk_success", "chunk_retry", "chunk_error"):
            session.on(event, lambda chunk, *_, event=event: hear(event, chunk))
        file = session.add_file(make(size=15))
        session.join(PATIENCE, raise_errors=False)
    assert heard == [
        ("chunk_retry", 1, 503, {"n": 1}, "1"),
        ("chunk_success", 1, 200, {"n": 1}, "1"),
        ("chunk_success", 2, 200, {"n": 1}, "2"),
        ("chunk_error", 3, 403, {"n": 1}, "3"),
    ]
    assert file.chunks[0].response is None, "this handle was not there when it came"
