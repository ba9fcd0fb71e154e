"""The receiver as an ASGI application: what it says to a server, and what it makes of what a server says to it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from support.sample import Sample

from resumable.errors import OptionError
from resumable.receiver import FileStore, Receiver, Refusal
from resumable.receiver.frameworks.asgi import ASGIApplication

pytestmark = pytest.mark.timeout(120)

LEFT = {"type": "http.disconnect"}


class Exchange:
    """One request to an application, as a server would bring it: ``bodies`` are its pieces, and then the client waits.

    ``hold`` is called before each piece, and may wait.
    """

    def __init__(self, scope: dict[str, Any], bodies: Iterable[bytes], *, left: bool = False) -> None:
        pieces = list(bodies)
        self.scope = scope
        self.messages = [
            {"type": "http.request", "body": piece, "more_body": left or number < len(pieces)}
            for number, piece in enumerate(pieces, 1)
        ]
        if left:
            self.messages.append(LEFT)
        self.received = 0
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        if self.received == len(self.messages):
            await asyncio.Event().wait()
        self.received += 1
        return self.messages[self.received - 1]

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    async def run(self, application: ASGIApplication) -> Exchange:
        await application(self.scope, self.receive, self.send)
        return self

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])


def exchange(
    method: str,
    query: str = "",
    bodies: Iterable[bytes] = (),
    headers: Iterable[tuple[str, str]] = (),
    *,
    left: bool = False,
    length: int | None = None,
    **scope: Any,
) -> Exchange:
    pieces = list(bodies)
    fields = [(name.encode(), value.encode()) for name, value in headers]
    if length is not None or pieces:
        fields.append((b"content-length", str(sum(map(len, pieces)) if length is None else length).encode()))
    said = {"type": "http", "method": method, "path": "/", "query_string": query.encode(), "headers": fields, **scope}
    return Exchange(said, pieces, left=left)


def answer(application: ASGIApplication, *arguments: Any, **options: Any) -> Exchange:
    return asyncio.run(exchange(*arguments, **options).run(application))


@pytest.fixture
def application(root: Path) -> ASGIApplication:
    return ASGIApplication(Receiver(FileStore(root, fsync="never")), max_body=1000, sweep_every=None)


def test_a_file_arrives_in_pieces_of_any_size(application: ASGIApplication, root: Path) -> None:
    sample = Sample()
    first = sample.chunk(1)
    last = answer(application, "POST", sample.query(1), [b"", first[:3], first[3:], b""])
    assert (last.status, last.body) == (200, b"Chunk 1 of 2 is stored.\n")
    assert last.headers["content-length"] == str(len(last.body))
    assert answer(application, "POST", sample.query(2), [sample.chunk(2)]).status == 201
    assert (root / "sample.bin").read_bytes() == sample.data


def test_head_and_answers_without_a_body_have_none(application: ASGIApplication) -> None:
    assert answer(application, "HEAD").body == b""
    missing = answer(application, "GET", Sample().query(1))
    assert (missing.status, missing.body) == (204, b"")
    assert "content-length" not in missing.headers


@pytest.mark.parametrize(
    ("path", "root_path"), [("/app/up/", "/app/up"), ("/app/up/", "/app/up/"), ("/", "/app/up"), ("/", "")]
)
def test_it_is_found_where_it_is_mounted(application: ASGIApplication, path: str, root_path: str) -> None:
    assert answer(application, "GET", path=path, root_path=root_path).headers["content-type"].startswith("text/html")


def test_its_page_is_at_the_path_with_a_slash(application: ASGIApplication) -> None:
    moved = answer(application, "GET", path="/app/up", root_path="/app/up")
    assert (moved.status, moved.headers["location"]) == (308, "/app/up/")
    assert answer(application, "GET", path="/app/upper", root_path="/app/up").status == 404


def test_nothing_is_received_of_a_body_that_is_refused(root: Path) -> None:
    application = ASGIApplication(Receiver(root, token="s3cret"), max_body=1000, sweep_every=None)
    expecting = [("expect", "100-continue")]
    wrong = exchange("POST", Sample().query(1), [b"x" * 8], expecting)
    long = exchange("POST", Sample().query(1), [b"x"], [("authorization", "Bearer s3cret")], length=1001)
    unknown = exchange("POST", Sample().query(1), headers=[("transfer-encoding", "chunked")])
    for each, status in ((wrong, 401), (long, 413), (unknown, 411)):
        assert asyncio.run(each.run(application)).status == status
        assert each.received == 0


def test_what_a_client_that_has_left_did_not_send_is_not_stored(application: ASGIApplication) -> None:
    sample = Sample()
    gone = answer(application, "POST", sample.query(1), [sample.chunk(1)[:5]], left=True, length=8)
    assert gone.status == 400
    assert answer(application, "GET", sample.query(1)).status == 204


def test_a_request_that_is_cancelled_stores_nothing_and_ends_its_thread(root: Path) -> None:
    sample = Sample()
    begun, left, ended = threading.Event(), threading.Event(), threading.Event()

    def started(record: object, request: object) -> None:
        begun.set()
        assert left.wait(60)

    receiver = Receiver(FileStore(root, fsync="never"), on_upload_started=started)
    receiver.signals.upload_refused.connect(lambda *_, **__: ended.set(), weak=False)
    application = ASGIApplication(receiver, sweep_every=None)

    async def cancelled() -> None:
        running = asyncio.create_task(
            exchange("POST", sample.query(1), [sample.chunk(1)[:5], b""], left=False, length=8).run(application)
        )
        await asyncio.to_thread(begun.wait, 60)
        running.cancel()
        left.set()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cancelled())
    assert ended.wait(60)
    assert answer(application, "GET", sample.query(1)).status == 204


def test_a_client_that_drips_is_refused(root: Path) -> None:
    application = ASGIApplication(Receiver(root), rate_window=0.01, sweep_every=None)
    slow = exchange("POST", Sample().query(1), [b"x"], length=8)
    slow.messages[0]["more_body"] = True
    assert asyncio.run(slow.run(application)).status == 408


def test_a_store_that_is_slow_holds_the_body_back(root: Path) -> None:
    piece, count = 64 * 1024, 64
    data = bytes(piece * count)
    sample = Sample(data=data, chunk_size=len(data))
    sending = exchange("POST", sample.query(1), [data[:piece]] * count)
    ahead: list[int] = []
    open_before = FileStore.open

    class Slow(FileStore):
        def open(self, key: str) -> Any:
            upload = open_before(self, key)
            if upload is None:
                return None
            receive = upload.receive

            def slowly(index: int, pieces: Iterable[bytes]) -> bool:
                def counted() -> Any:
                    taken = 0
                    for each in pieces:
                        taken += len(each)
                        ahead.append(sending.received * piece - taken)
                        yield each

                return receive(index, counted())

            upload.receive = slowly  # type: ignore[method-assign, assignment]
            return upload

    application = ASGIApplication(Receiver(Slow(root, fsync="never")), sweep_every=None)
    assert asyncio.run(sending.run(application)).status == 201
    assert max(ahead) <= 256 * 1024 + 2 * piece


def test_the_loop_goes_on_while_the_application_waits(root: Path) -> None:
    sample = Sample(data=b"x" * 8)
    reached, let_go = threading.Event(), threading.Event()

    def received(record: object) -> None:
        reached.set()
        assert let_go.wait(60)

    application = ASGIApplication(Receiver(root, on_file_received=received), sweep_every=None)

    async def both() -> tuple[Exchange, Exchange]:
        first = asyncio.create_task(exchange("POST", sample.query(1), [sample.chunk(1)]).run(application))
        await asyncio.to_thread(reached.wait, 60)
        second = await exchange("GET", Sample(identifier="other").query(1)).run(application)
        let_go.set()
        return await first, second

    first, second = asyncio.run(both())
    assert (first.status, second.status) == (201, 204)


def test_health_is_told_when_all_threads_are_taken(root: Path) -> None:
    application = ASGIApplication(Receiver(root), threads=1, sweep_every=None)

    async def asked() -> Exchange:
        slow = exchange("POST", Sample().query(1), [b"x"], length=8)
        slow.messages[0]["more_body"] = True
        running = asyncio.create_task(slow.run(application))
        while slow.received == 0:
            await asyncio.to_thread(threading.Event().wait, 0.001)
        health = await exchange("GET", path="/healthz").run(application)
        running.cancel()
        return health

    assert asyncio.run(asked()).status == 200


def test_hooks_may_be_coroutine_functions_that_run_in_the_loop(root: Path) -> None:
    threads: list[int] = []

    async def tenant(request: Any) -> str:
        threads.append(threading.get_ident())
        await asyncio.sleep(0)
        return str(request.environ["user"])

    async def started(record: Any, request: Any) -> None:
        if record.identifier == "refused":
            raise Refusal(422, "Not this one.")

    async def publish_as(record: Any, request: Any) -> str:
        return f"sorted/{record.name}"

    async def received(record: Any) -> dict[str, str]:
        return {"id": record.tenant}

    receiver = Receiver(
        root,
        tenant=tenant,
        tenant_folders=True,
        on_upload_started=started,
        publish_as=publish_as,
        on_file_received=received,
    )
    application = ASGIApplication(receiver, sweep_every=None)
    sample = Sample(data=b"x" * 8)

    for session in ((), (("resumable-session", "0" * 32),)):
        named = Sample(data=b"x" * 8, identifier=f"a{len(session)}")
        told = answer(application, "POST", named.query(1), [named.chunk(1)], session, user="ada")
        assert told.status == 201
        assert b'"id": "ada"' in told.body
    refused = Sample(data=b"x" * 8, identifier="refused")
    assert answer(application, "POST", refused.query(1), [refused.chunk(1)], user="ada").status == 422
    assert (root / "ada" / "sorted" / "sample.bin").read_bytes() == sample.data
    assert set(threads) == {threading.get_ident()}


def test_a_coroutine_function_is_no_hook_of_anything_else(root: Path) -> None:
    async def started(record: object, request: object) -> None:
        raise AssertionError

    receiver = Receiver(root, on_upload_started=started)
    assert Sample().send(receiver, 1) == [500]
    assert not list(receiver.uploads())


@pytest.mark.parametrize("name", ["authorization", "content-length", "host", "origin"])
def test_a_field_that_counts_once_may_not_come_twice(application: ASGIApplication, name: str) -> None:
    assert answer(application, "GET", headers=[(name, "1"), (name, "1")]).status == 400


def test_other_fields_may_come_twice(application: ASGIApplication) -> None:
    both = [("accept", "text/html"), ("accept", "application/json")]
    sample = Sample(data=b"x" * 8)
    told = answer(application, "POST", sample.query(1), [sample.chunk(1)], both)
    assert told.headers["content-type"] == "application/json"


def test_it_sweeps_for_as_long_as_the_server_lives(root: Path) -> None:
    swept = threading.Event()

    class Store(FileStore):
        def sweep(self, *arguments: Any) -> int:
            swept.set()
            return 0

    class Life(Exchange):
        async def receive(self) -> dict[str, Any]:
            if self.received == 1:
                assert await asyncio.to_thread(swept.wait, 60)
            return await super().receive()

    before = set(threading.enumerate())
    life = Life({"type": "lifespan"}, ())
    life.messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    asyncio.run(life.run(ASGIApplication(Receiver(Store(root)))))
    assert [message["type"] for message in life.sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name == "resumable-sweeper"]
    with pytest.raises(OptionError):
        ASGIApplication(Receiver(root), sweep_every=0)


def test_it_speaks_http_only(application: ASGIApplication) -> None:
    socket = Exchange({"type": "websocket"}, ())
    socket.messages = [{"type": "websocket.connect"}]
    assert asyncio.run(socket.run(application)).sent == [{"type": "websocket.close", "code": 1000}]
    with pytest.raises(ValueError, match="'telepathy'"):
        asyncio.run(Exchange({"type": "telepathy"}, ()).run(application))
