"""No secret is in a repr, a log record, an exception or its traceback."""

from __future__ import annotations

import logging
import pickle
import traceback
from typing import Any

import pytest
import requests
from support.client import content, upload
from support.scripted_server import ScriptedServer, answer, raw

from resumable import OptionError, Resumable

BLIND: dict[str, Any] = {"test_chunks": False}
SECRET = "s3cr3t"
HEADERS = {"Authorization": f"Bearer {SECRET}-header", "Cookie": f"id={SECRET}-cookie"}
QUERY = {"csrf": f"{SECRET}-csrf"}
SERVERS: dict[str, Any] = {
    "refuses": answer(404, b"no"),
    "wants other credentials": answer(401),
    "is busy": answer(503),
    "redirects": answer(302, Location=f"/there?token={SECRET}-location"),
    "redirects elsewhere": answer(
        307, Location=f"http://me:{SECRET}-location@elsewhere.example/?token={SECRET}-location"
    ),
    "speaks no HTTP": raw(b"garbage\r\n\r\n"),
    "hangs up": raw(b""),
    "resets": raw(b"", end="reset"),
    "says present to everything": answer(200),
}


def every_text(run: Any) -> str:
    """Everything that a program would show of a run that failed."""
    texts = [repr(run.files), repr([file.chunks[0] for file in run.files]), repr(run.result)]
    for error in run.result.errors:
        texts += [str(error), repr(error), "".join(traceback.format_exception(error)), repr(vars(error))]
        texts.append(repr(pickle.dumps(error)))
        seen: Any = error
        while seen is not None:
            texts += [str(seen), repr(seen), repr(seen.args), repr(vars(seen))]
            seen = seen.__cause__ or seen.__context__
    return "\n".join(texts)


def ours(caplog: pytest.LogCaptureFixture) -> str:
    """The records of our loggers. Those of urllib3 are its own: at DEBUG it logs whole URLs."""
    formatter = logging.Formatter("%(message)s")
    return "\n".join(formatter.format(record) for record in caplog.records if record.name.startswith("resumable"))


@pytest.mark.parametrize("server", SERVERS)
def test_no_secret_leaves_by_a_failure(server: str, way: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with ScriptedServer(otherwise=SERVERS[server]) as script:
        url = script.url.replace("http://", f"http://me:{SECRET}-password@") + f"?key={SECRET}-query&page=1"
        run = upload(url, content(10), headers=HEADERS, query=QUERY, max_chunk_retries=1, **way)
    assert bool(run.result.errors) == (server != "says present to everything")
    assert script.requests[0].headers["authorization"].endswith("-header")
    assert SECRET not in every_text(run)
    assert SECRET not in ours(caplog)


@pytest.mark.parametrize("where", ["nowhere.invalid", "127.0.0.1:{port}"])
def test_no_secret_leaves_where_nobody_answers(
    where: str, way: dict[str, Any], silent_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    where = where.format(port=silent_port)
    url = f"http://me:{SECRET}-password@{where}/?key={SECRET}-query"
    run = upload(url, content(10), headers=HEADERS, query=QUERY, max_chunk_retries=1, **way)
    assert run.result.errors
    assert SECRET not in every_text(run)
    assert SECRET not in ours(caplog)


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"{SECRET}\r\nX: y"},
        {"Authorization": f"{SECRET}\u20ac"},
        {f"X {'y'}": SECRET},
        {"X": f" {SECRET}"},
    ],
    ids=ascii,
)
def test_no_secret_leaves_by_a_header_that_cannot_be_sent(
    headers: dict[str, str], way: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with ScriptedServer(otherwise=answer(404)) as script:
        run = upload(script.url, content(10), headers=lambda file, chunk: headers, max_chunk_retries=1, **BLIND, **way)
    assert run.result.errors
    assert SECRET not in every_text(run)
    assert SECRET not in ours(caplog)


def test_no_secret_leaves_by_a_proxy(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://me:{SECRET}@nowhere.invalid:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    for target in ("http://server.invalid/", "https://server.invalid/"):
        run = upload(target, content(10), max_chunk_retries=1)
        assert run.result.errors
        assert SECRET not in every_text(run)
    assert SECRET not in ours(caplog)


def test_no_secret_is_in_the_repr_of_a_session_or_of_its_options() -> None:
    with requests.Session() as mine:
        mine.auth = ("me", SECRET)
        session = Resumable(
            f"https://me:{SECRET}@example.com/?key={SECRET}",
            test_target=f"https://me:{SECRET}@example.com/?token={SECRET}",
            headers=HEADERS,
            query=QUERY,
            session=mine,
            auto_upload=False,
        )
        file = session.add_file(content(10), relative_path="a.bin")
        for thing in (session, session.options, session.options.headers, file, file.chunks[0], session.signals):
            if thing is not session.options.headers:
                assert SECRET not in repr(thing)
        session.close()


@pytest.mark.parametrize(
    "options",
    [
        {"target": f"ftp://me:{SECRET}@example.com/?key={SECRET}"},
        {"target": f"me:{SECRET}@example.com"},
        {"test_target": f"me:{SECRET}@example.com"},
        {"headers": f"Authorization: {SECRET}"},
        {"headers": {"Authorization": f"{SECRET}\n"}},
        {"query": f"key={SECRET}"},
        {"session": f"{SECRET}"},
        {"redirect_origins": (f"https://me:{SECRET}@example.com",)},
    ],
    ids=str,
)
def test_no_secret_leaves_by_a_bad_option(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError) as caught:
        Resumable(**{"target": "https://example.com/", **options})
    text = "".join(traceback.format_exception(caught.value)[-1:]) + repr(vars(caught.value)) + repr(caught.value)
    assert SECRET not in text


def test_a_request_and_an_answer_do_not_show_what_may_be_secret() -> None:
    from resumable.transport.base import Reply, Request

    request = Request("POST", f"https://me:{SECRET}@example.com/?key={SECRET}", {"Authorization": SECRET})
    reply = Reply(200, {"set-cookie": SECRET}, "stored")
    assert SECRET not in repr(request)
    assert SECRET not in repr(reply)
