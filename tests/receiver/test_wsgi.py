from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest
from support.sample import Sample

from resumable.receiver import Application, FileStore, Receiver

Answer = tuple[str, dict[str, str], bytes]


class Waiter(io.RawIOBase):
    """The body of a client that sends so much and then nothing more."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.asked = 0

    def read(self, size: int = -1) -> bytes:
        self.asked += 1
        if not self._data:
            raise TimeoutError
        piece, self._data = self._data[:size], self._data[size:]
        return piece


@pytest.fixture
def application(root: Path) -> Application:
    return Application(Receiver(FileStore(root, fsync="never")), max_body=1000)


def ask(application: Application, method: str, query: str = "", body: Any = b"", **environ: Any) -> Answer:
    """The status line, the headers and the body of the answer, which a validator has found to be one by PEP 3333."""
    stream = io.BytesIO(body) if isinstance(body, bytes) else body
    length = {"CONTENT_LENGTH": str(len(body))} if isinstance(body, bytes) and method not in ("GET", "HEAD") else {}
    asked = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": stream,
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "HTTP_HOST": "localhost",
        **length,
        **environ,
    }
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        started.append((status, headers))
        return lambda data: None

    served = validator(application)(asked, start_response)  # type: ignore[arg-type]
    try:
        said = b"".join(served)
    finally:
        served.close()  # type: ignore[attr-defined]
    ((status, headers),) = started
    assert len({name.lower() for name, _ in headers}) == len(headers)
    return status, dict(headers), said


def test_a_sentence_is_plain_text_that_nobody_keeps(application: Application) -> None:
    status, headers, body = ask(application, "POST", Sample().query(1), Sample().chunk(1))
    assert (status, body) == ("200 OK", b"Chunk 1 of 2 is stored.\n")
    assert headers == {
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Resumable-Server": "1",
        "Resumable-Order": "any",
        "Resumable-Max-Uploads": "16",
        "Resumable-File": "partial;stored=1;total=2",
    }


def test_what_a_response_says_of_itself_counts(application: Application) -> None:
    status, headers, body = ask(application, "GET")
    assert (status, headers["Content-Type"]) == ("200 OK", "text/html; charset=utf-8")
    assert (headers["X-Content-Type-Options"], headers["Content-Length"]) == ("nosniff", str(len(body)))


def test_an_answer_without_a_body_has_none(application: Application) -> None:
    status, headers, body = ask(application, "GET", Sample().query(1))
    assert (status, body) == ("204 No Content", b"")
    assert not {"Content-Type", "Content-Length"} & headers.keys()


def test_the_answer_to_head_is_that_to_get_without_its_body(application: Application) -> None:
    ask(application, "POST", Sample().query(1), Sample().chunk(1))
    got, head = (ask(application, method, Sample().query(1)) for method in ("GET", "HEAD"))
    assert head == (*got[:2], b"")


def test_a_status_that_is_not_registered_has_a_phrase_too(application: Application) -> None:
    wrong = Sample(extra={"resumableChunkSha256": hashlib.sha256(b"other").hexdigest()})
    assert ask(application, "POST", wrong.query(1), wrong.chunk(1))[0] == "460 Refused"


@pytest.mark.parametrize(
    ("environ", "status"),
    [
        ({"CONTENT_LENGTH": "-1"}, "400 Bad Request"),
        ({"CONTENT_LENGTH": "1_0"}, "400 Bad Request"),
        ({"CONTENT_LENGTH": "\u0661"}, "400 Bad Request"),
        ({"CONTENT_LENGTH": "1" * 20}, "400 Bad Request"),
        ({"CONTENT_LENGTH": "1001"}, "413 "),
        ({"CONTENT_LENGTH": ""}, "411 Length Required"),
        ({"CONTENT_LENGTH": "8", "HTTP_TRANSFER_ENCODING": "chunked"}, "411 Length Required"),
    ],
)
def test_a_length_that_cannot_be_is_refused_before_the_body_is_read(
    application: Application, root: Path, environ: dict[str, str], status: str
) -> None:
    refused: list[int] = []
    application.receiver.signals.upload_refused.connect(
        lambda sender, status, sentence, record: refused.append(status), weak=False
    )
    stream = Waiter(b"x" * 2000)
    # The validator wants lengths that are right, so this goes without it.
    started: list[str] = []
    asked = {"REQUEST_METHOD": "POST", "QUERY_STRING": Sample().query(1), "wsgi.input": stream, **environ}
    said = b"".join(application(asked, lambda line, headers: started.append(line)))
    assert started[0].startswith(status)
    assert said.endswith(b".\n")
    assert refused == [int(status[:3])]
    assert stream.asked == 0
    assert not root.exists()


def test_a_body_that_stops_is_refused(application: Application) -> None:
    for body, status in ((Waiter(b"01"), "408 Request Timeout"), (io.BytesIO(b"01"), "400 Bad Request")):
        assert ask(application, "POST", Sample().query(1), body, CONTENT_LENGTH="8")[0] == status
    assert ask(application, "GET", Sample().query(1))[0] == "204 No Content"


def test_what_is_left_of_a_body_is_read_so_that_the_answer_is_too(application: Application) -> None:
    stream = io.BytesIO(b"x" * 900 + b"the next request")
    assert ask(application, "POST", "a=b", stream, CONTENT_LENGTH="900")[0] == "400 Bad Request"
    assert stream.read() == b"the next request"
    assert ask(application, "POST", "a=b", Waiter(b"x"), CONTENT_LENGTH="900")[0] == "400 Bad Request"


def test_a_long_rest_of_a_body_is_left(root: Path) -> None:
    application = Application(Receiver(root))
    stream = Waiter(b"x")
    assert ask(application, "DELETE", body=stream, CONTENT_LENGTH=str(9 * 1024 * 1024))[0].startswith("405 ")
    assert stream.asked == 0


def test_a_client_that_waits_to_be_told_to_go_on_is_not_waited_for(application: Application) -> None:
    stream = Waiter(b"")
    asked = {"CONTENT_LENGTH": "8", "HTTP_EXPECT": "100-continue", "HTTP_ORIGIN": "https://evil.example"}
    assert ask(application, "POST", Sample().query(1), stream, **asked)[0] == "403 Forbidden"
    assert stream.asked == 0


def test_the_query_is_utf_8_whatever_its_bytes(application: Application) -> None:
    query = Sample(identifier="é").query(1)
    assert ask(application, "GET", query.replace("%C3%A9", "Ã©"))[0] == "204 No Content"
    assert ask(application, "GET", query.replace("%C3%A9", "\xff"))[0] == "204 No Content"


def test_the_receiver_sees_where_it_is_mounted_and_what_the_server_knows(root: Path) -> None:
    seen = []

    def tenant(request: Any) -> str:
        seen.append((request.mount, request.path, request.environ["REMOTE_USER"], request.headers["x-one-two"]))
        return "me"

    application = Application(Receiver(root, tenant=tenant))
    mounted = {"SCRIPT_NAME": "/up", "PATH_INFO": "", "REMOTE_USER": "ada", "HTTP_X_ONE_TWO": "3"}
    assert ask(application, "GET", Sample().query(1), **mounted)[0] == "204 No Content"
    assert seen == [("/up", "", "ada", "3")]
    status, headers, body = ask(application, "GET", **mounted)
    assert (status, headers["Location"], body) == ("308 Permanent Redirect", "/up/", b"")
