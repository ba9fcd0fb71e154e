"""Mocks of requests, and what else takes the place of the network: their answers count as any server's."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import requests
import requests_mock
import responses
import spnego
import vcr
from requests_ntlm import HttpNtlmAuth
from requests_unixsocket import UnixAdapter
from support.client import CHUNK, content, upload
from support.scripted_server import Answer, Request, ScriptedServer, Store, answer

from resumable import (
    AuthenticationRefused,
    OptionError,
    Resumable,
    ServerRefused,
)

BLIND: dict[str, Any] = {"test_chunks": False}
NOWHERE = "http://server.invalid/upload"


@pytest.fixture(params=["own", "given", "factory"])
def way(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Options that leave the session to us, give one, or make one for each worker."""
    with requests.Session() as session:
        yield {"own": {}, "given": {"session": session}, "factory": {"session": requests.Session}}[request.param]


def test_an_upload_to_responses_succeeds(way: dict[str, Any]) -> None:
    with responses.RequestsMock() as network:
        network.get(NOWHERE, status=404)
        network.post(NOWHERE, body="stored")
        run = upload(NOWHERE, content(3 * CHUNK), **way)
        assert sum(call.request.method == "POST" for call in network.calls) == 3
    assert (run.count("chunk_retry"), run.count("file_success")) == (0, 1)


def test_a_refusal_of_responses_is_one(way: dict[str, Any]) -> None:
    with responses.RequestsMock() as network:
        network.post(NOWHERE, body="too much", status=413)
        run = upload(NOWHERE, content(10), **BLIND, **way)
    assert type(run.error) is ServerRefused
    assert (run.error.status, run.error.body) == (413, "too much")


def test_an_upload_to_requests_mock_succeeds(way: dict[str, Any]) -> None:
    bodies: list[bytes] = []

    def keep(request: Any, _context: Any) -> str:
        bodies.append(b"".join(request.body))
        return "stored"

    data = content(2 * CHUNK)
    with requests_mock.Mocker() as network:
        network.get(NOWHERE, status_code=404)
        network.post(NOWHERE, text=keep)
        run = upload(NOWHERE, data, method="octet", **way)
    assert (run.count("chunk_retry"), run.count("file_success")) == (0, 1)
    assert b"".join(bodies) == data


@pytest.mark.parametrize("target", ["requests.Session.send", "requests.adapters.HTTPAdapter.send"])
def test_an_upload_to_a_method_that_was_replaced_succeeds(target: str, way: dict[str, Any]) -> None:
    response = requests.Response()
    response.status_code = 200
    response._content = b"stored"
    with mock.patch(target, return_value=response) as send:
        run = upload(NOWHERE, content(2 * CHUNK), **BLIND, **way)
    assert (run.count("chunk_retry"), run.count("file_success")) == (0, 1)
    assert send.call_count == 2


def test_a_mock_that_begins_later_is_asked(way: dict[str, Any]) -> None:
    with ScriptedServer(answer()) as server, Resumable(server.url, CHUNK, **BLIND, **way) as session:
        session.add_file(content(10), relative_path="first.bin")
        session.join()
        with responses.RequestsMock() as network:
            network.post(server.url, body="stored")
            session.add_file(content(10, seed=1), relative_path="second.bin")
            assert len(session.join().succeeded) == 1
    assert len(server.requests) == 1


def test_what_vcr_recorded_is_played_without_the_server(way: dict[str, Any], tmp_path: Path) -> None:
    recorder = vcr.VCR(record_mode="once", match_on=["method", "uri"])
    data = content(3 * CHUNK)
    store = Store()
    with ScriptedServer(otherwise=store) as server, recorder.use_cassette(str(tmp_path / "cassette.yaml")):
        upload(server.url, (data, "same.bin"), **BLIND, **way)
        count = len(server.requests)
    assert b"".join(store.chunks.values()) == data
    with recorder.use_cassette(str(tmp_path / "cassette.yaml")) as cassette:
        run = upload(server.url, (data, "same.bin"), **BLIND, **way)
    assert (run.count("chunk_retry"), run.count("file_success")) == (0, 1)
    assert (count, cassette.play_count) == (3, 3)


# -- sockets in the file system --------------------------------------------------------------------------------------


def test_an_upload_through_a_unix_socket_arrives(tmp_path: Path) -> None:
    store = Store()
    data = content(3 * CHUNK)
    with ScriptedServer(path=tmp_path / "socket", otherwise=store) as server, requests.Session() as session:
        session.mount("http+unix://", UnixAdapter())
        run = upload(server.url, data, session=session)
        session.close()
    assert (run.count("chunk_retry"), run.count("file_success")) == (0, 1)
    assert store.content(run.files[0].unique_identifier or "") == data


@pytest.mark.parametrize("option", ["target", "test_target"])
def test_a_unix_socket_needs_a_session_that_knows_it(option: str) -> None:
    with pytest.raises(OptionError):
        Resumable(**{"target": NOWHERE, option: "http+unix://%2Ftmp%2Fsocket/upload"})


# -- NTLM --------------------------------------------------------------------------------------------------------------


class _Guard:
    """A step that answers a login by NTLM, which is that of a connection, before the step behind it."""

    def __init__(self, behind: Any) -> None:
        self._behind = behind
        self._logins: dict[int, Any] = {}
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Answer | None:
        request.read()
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        number = request.connection
        if kind != "NTLM":
            return 401, b"who?", {"WWW-Authenticate": "NTLM"}
        with self._lock:
            login = self._logins.setdefault(number, spnego.server(protocol="ntlm"))
        try:
            reply = login.step(base64.b64decode(token))
        except spnego.exceptions.SpnegoError:
            return 401, b"no"
        if not login.complete:
            challenge = base64.b64encode(reply).decode()
            return 401, b"then?", {"WWW-Authenticate": f"NTLM {challenge}"}
        del self._logins[number]
        return self._behind(request)


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server knows one account."""
    (tmp_path / "accounts").write_text("HERE:me:right\n")
    monkeypatch.setenv("NTLM_USER_FILE", str(tmp_path / "accounts"))


@pytest.mark.usefixtures("account")
def test_an_upload_behind_ntlm_arrives() -> None:
    store = Store()
    data = content(4 * CHUNK)
    with ScriptedServer(otherwise=_Guard(store)) as server, requests.Session() as session:
        session.auth = HttpNtlmAuth("HERE\\me", "right")
        run = upload(server.url, data, session=session, simultaneous_uploads=2)
    assert (run.count("chunk_retry"), run.count("file_success")) == (0, 1)
    assert store.content(run.files[0].unique_identifier or "") == data


@pytest.mark.usefixtures("account")
def test_a_wrong_password_of_ntlm_is_final() -> None:
    with ScriptedServer(otherwise=_Guard(Store())) as server, requests.Session() as session:
        session.auth = HttpNtlmAuth("HERE\\me", "wrong")
        run = upload(server.url, content(10), session=session, **BLIND)
    assert type(run.error) is AuthenticationRefused
    assert len(server.requests) == 3
