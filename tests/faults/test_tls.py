"""TLS: what cannot be trusted is refused at once, what breaks is tried again."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme
from support.breaking_proxy import Fault, Proxy, Scenario
from support.certificates import server_context
from support.client import CHUNK, content, upload
from support.scripted_server import ScriptedServer, Store, answer, hold

from resumable import TransportError
from resumable.transport.control import RequestControl

BLIND: dict[str, Any] = {"test_chunks": False}


@pytest.fixture(params=["own", "session"])
def trusting(request: pytest.FixtureRequest, bundle: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Options that trust the authority: by the environment, or by the Session."""
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    if request.param == "own":
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
        yield {}
        return
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    with requests.Session() as session:
        session.verify = bundle
        yield {"session": session}


def failed_at_once(url: str, **options: Any) -> str:
    run = upload(url, content(10), **options)
    assert type(run.error) is TransportError
    assert run.count("chunk_retry") == 0
    assert "(not retried)" in str(run.error)
    return str(run.error)


@pytest.mark.parametrize("test_chunks", [True, False])
def test_a_certificate_of_a_stranger_is_refused_at_the_first_attempt(
    authority: trustme.CA, way: dict[str, Any], test_chunks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    with ScriptedServer(context=server_context(authority)) as server:
        text = failed_at_once(server.url, test_chunks=test_chunks, **way)
    assert "certificate is not trusted" in text
    assert "session" in text
    assert server.requests == []
    assert server.connections == 1


def test_a_certificate_for_another_name_is_refused(authority: trustme.CA, trusting: dict[str, Any]) -> None:
    with ScriptedServer(context=server_context(authority, "elsewhere.example")) as server:
        text = failed_at_once(server.url, **trusting)
    assert "not trusted" in text
    assert "localhost" in text
    assert server.connections == 1


def test_what_is_trusted_is_used(authority: trustme.CA, trusting: dict[str, Any]) -> None:
    store = Store()
    data = content(5 * CHUNK)
    with ScriptedServer(otherwise=store, context=server_context(authority)) as server:
        run = upload(server.url, data, **trusting)
    assert run.count("file_success") == 1
    assert store.content(run.files[0].unique_identifier or "") == data
    assert server.connections == 1


@pytest.mark.parametrize("test_chunks", [True, False])
def test_a_plain_server_is_told_apart_from_a_tls_one(trusting: dict[str, Any], test_chunks: bool) -> None:
    # Like any server, this one says what it thinks of a request that is none.
    reply = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with ScriptedServer(to_anything=reply) as server:
        text = failed_at_once(f"https://localhost:{server.port}/", test_chunks=test_chunks, **trusting)
    assert "does not speak TLS here" in text
    assert "http://" in text
    assert server.connections == 1


def test_a_tls_server_is_told_apart_from_a_plain_one(way: dict[str, Any]) -> None:
    # What OpenSSL says to plain HTTP: the alert "protocol version".
    with ScriptedServer(to_anything=b"\x15\x03\x01\x00\x02\x02\x46") as server:
        text = failed_at_once(f"http://127.0.0.1:{server.port}/", test_chunks=False, **way)
    assert "speaks TLS" in text
    assert "https://" in text
    assert server.connections == 1


def test_a_server_that_wants_a_certificate_gets_the_one_of_the_session(
    authority: trustme.CA, bundle: str, tmp_path: Path
) -> None:
    wanting = server_context(authority)
    wanting.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(wanting)
    mine = tmp_path / "mine.pem"
    authority.issue_cert("client.example").private_key_and_cert_chain_pem.write_to_path(str(mine))
    with requests.Session() as session, ScriptedServer(answer(), context=wanting) as server:
        session.verify = bundle
        session.cert = str(mine)
        run = upload(server.url, content(10), session=session, **BLIND)
    assert run.count("file_success") == 1


@pytest.mark.parametrize(
    "faults",
    [
        [Fault("close", 1000)],
        [Fault("reset", 1000)],
        [Fault("close", 9000)],
        [Fault("reset", 9000)],
        [Fault("close", 100, "down")],
        [Fault("close", 1700, "down")],
        [Fault("reset", 1700, "down")],
        [Fault("corrupt", 9000)],
        [Fault("corrupt", 1700, "down")],
    ],
    ids=str,
)
def test_a_tls_connection_that_breaks_is_tried_again(
    authority: trustme.CA, trusting: dict[str, Any], faults: list[Fault]
) -> None:
    store = Store()
    data = content(6 * CHUNK)
    with (
        ScriptedServer(otherwise=store, context=server_context(authority)) as server,
        Proxy(server.url, Scenario(faults)) as proxy,
    ):
        run = upload(proxy.url, data, **BLIND, **trusting)
    assert run.count("file_success") == 1
    assert store.content(run.files[0].unique_identifier or "") == data


def test_a_bundle_that_is_missing_is_an_error_at_once(authority: trustme.CA, tmp_path: Path) -> None:
    with requests.Session() as session, ScriptedServer(context=server_context(authority)) as server:
        session.verify = str(tmp_path / "missing.pem")
        text = failed_at_once(server.url, session=session)
    assert server.connections == 0
    assert "cannot be sent" in text


@pytest.mark.parametrize("kept", [b"", b"garbage\n", 300, "key"], ids=["nothing", "garbage", "a piece", "a key"])
def test_a_bundle_without_certificates_is_an_error_at_once(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bytes | int | str
) -> None:
    bundle = tmp_path / "bundle.pem"
    key = authority.issue_cert("a.example").private_key_pem.bytes()
    pem = authority.cert_pem.bytes()
    bundle.write_bytes(key if isinstance(kept, str) else pem[:kept] if isinstance(kept, int) else kept)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with ScriptedServer(context=server_context(authority)) as server:
        text = failed_at_once(server.url)
    assert server.requests == []
    assert "REQUESTS_CA_BUNDLE" in text


def test_a_certificate_of_ones_own_that_cannot_be_used_is_an_error_at_once(
    authority: trustme.CA, bundle: str, tmp_path: Path
) -> None:
    mine, other = authority.issue_cert("a.example"), authority.issue_cert("b.example")
    paths = {}
    for name, content_of in {
        "mine": mine.cert_chain_pems[0].bytes(),
        "other": other.private_key_pem.bytes(),
        "none": b"garbage",
        "locked": b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n",
    }.items():
        paths[name] = str(tmp_path / name)
        (tmp_path / name).write_bytes(content_of)
    for cert, why in (
        ((paths["mine"], paths["other"]), "that of another one"),
        ((paths["none"], paths["none"]), "is damaged"),
        (paths["mine"], "is damaged"),
        ((paths["mine"], paths["locked"]), "is encrypted"),
    ):
        with requests.Session() as session, ScriptedServer(context=server_context(authority)) as server:
            session.verify, session.cert = bundle, cert
            text = failed_at_once(server.url, session=session)
        assert server.requests == []
        assert why in text


def test_a_connection_that_is_stopped_stays_one_of_tls(authority: trustme.CA, bundle: str) -> None:
    # SSLSocket.shutdown forgets the encryption first: a worker in the middle of a body would go on in plain text.
    trusted = ssl.create_default_context(cafile=bundle)
    with ScriptedServer(hold, context=server_context(authority)) as server:
        plain = socket.create_connection(("127.0.0.1", server.port))
        with trusted.wrap_socket(plain, server_hostname="localhost") as connection:
            control = RequestControl()
            control.prepare(None, stall=5)
            control.begin(connection, b"GET / HTTP/1.1\r\n\r\n")
            control.stop(hard=True)
            assert connection.version() is not None


def test_a_session_may_trust_whom_the_system_trusts(
    authority: trustme.CA, bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusting_session = pytest.importorskip("resumable.adapters.truststore").trusting_session
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with ScriptedServer(context=server_context(authority)) as server:
        text = failed_at_once(server.url, session=trusting_session, **BLIND)
        assert "not trusted" in text
        # Where OpenSSL looks for the certificates of the system.
        monkeypatch.setenv("SSL_CERT_FILE", bundle)
        server.behave = lambda request: (200,)
        run = upload(server.url, content(10), session=trusting_session, **BLIND)
    assert run.count("file_success") == 1
