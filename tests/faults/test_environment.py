"""The environment of the program: proxies, .netrc, certificates; and what the user brings instead."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests
import requests.auth
import trustme
from support.certificates import server_context
from support.client import CHUNK, content, upload
from support.scripted_server import Request, ScriptedServer, Store, answer, head, hold

from resumable import (
    AuthenticationRefused,
    Resumable,
    RetriesExhausted,
    TransportError,
)

BLIND: dict[str, Any] = {"test_chunks": False}
NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the environment of the tests themselves."""
    for name in (*NAMES, *(name.upper() for name in NAMES), "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


# -- proxies -----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["environment", "session"])
def proxied(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A function that makes options of the URL of a proxy."""
    if request.param == "environment":

        def by_environment(url: str) -> dict[str, Any]:
            monkeypatch.setenv("http_proxy", url)
            monkeypatch.setenv("https_proxy", url)
            return {}

        yield by_environment
        return
    with requests.Session() as session:

        def by_session(url: str) -> dict[str, Any]:
            session.proxies = {"http": url, "https": url}
            return {"session": session}

        yield by_session


def test_what_goes_through_a_proxy_is_asked_of_it_by_its_whole_url(proxied: Any) -> None:
    store = Store()
    data = content(3 * CHUNK)
    with ScriptedServer(otherwise=store) as proxy:
        run = upload("http://server.invalid/upload", data, **proxied(f"http://me:secret@127.0.0.1:{proxy.port}"))
    assert store.content(run.files[0].unique_identifier or "") == data
    assert {request.target.partition("?")[0] for request in proxy.requests} == {"http://server.invalid/upload"}
    assert {request.headers["proxy-authorization"] for request in proxy.requests} == {basic("me:secret")}


def test_a_proxy_that_does_not_know_us_is_not_asked_again(proxied: Any) -> None:
    with ScriptedServer(answer(407, b"who?")) as proxy:
        run = upload(
            "http://server.invalid/", content(10), **BLIND, **proxied(f"http://me:secret@127.0.0.1:{proxy.port}")
        )
    assert type(run.error) is AuthenticationRefused
    assert run.error.status == 407
    assert "credentials of the proxy" in str(run.error)


@pytest.mark.parametrize("status", [407, 403, 502])
def test_a_proxy_that_makes_no_tunnel_is_named(proxied: Any, status: int) -> None:
    with ScriptedServer(otherwise=answer(status, close=True)) as proxy:
        run = upload(
            "https://server.invalid/?key=abc",
            content(10),
            max_chunk_retries=1,
            **BLIND,
            **proxied(f"http://me:secret@127.0.0.1:{proxy.port}"),
        )
    text = str(run.error)
    assert f"the proxy http://127.0.0.1:{proxy.port} answered {status}" in text
    assert "secret" not in text
    assert "abc" not in text
    assert [request.method for request in proxy.requests] == ["CONNECT"] * (2 if status == 502 else 1)
    if status == 407:
        assert type(run.error) is AuthenticationRefused
        assert run.error.status == 407
    else:
        assert "; check whether the proxy allows connections to this host" in text


def test_a_proxy_that_ends_its_tunnel_is_named(proxied: Any) -> None:
    with ScriptedServer(otherwise=answer(200, close=True)) as proxy:
        where = f"http://127.0.0.1:{proxy.port}"
        run = upload("https://server.invalid/", content(10), max_chunk_retries=1, **BLIND, **proxied(where))
    assert f"(through the proxy {where}) (attempt 2 of 2)" in str(run.error)
    assert len(proxy.requests) == 2


@pytest.mark.parametrize("address", ["http://", "http://[", "ftp://127.0.0.1:1", "http://a b:1"])
def test_an_address_that_no_proxy_can_have_is_said_to_be_one(proxied: Any, address: str) -> None:
    run = upload("http://server.invalid/", content(10), **proxied(address))
    assert str(run.error).endswith("(not retried); check the proxy")


def test_a_proxy_that_is_not_there_is_named_and_tried_again(proxied: Any, silent_port: int) -> None:
    proxy = f"http://127.0.0.1:{silent_port}"
    # The number in its address is not the status 407.
    run = upload("http://server.invalid/407", content(10), max_chunk_retries=2, **proxied(proxy))
    assert type(run.error) is RetriesExhausted
    assert f"Connection refused (on the way to the proxy {proxy})" in str(run.error)
    assert run.count("chunk_retry") == 2


def test_a_proxy_that_does_not_exist_is_an_error_at_once(proxied: Any) -> None:
    run = upload("http://server.invalid/", content(10), **proxied("http://nowhere.invalid:3128"))
    assert type(run.error) is TransportError
    assert "nowhere.invalid:3128" in str(run.error)
    assert "check the proxy" in str(run.error)


def test_a_proxy_that_hangs_up_is_tried_again(proxied: Any) -> None:
    store = Store()
    with ScriptedServer(Request.close, store) as proxy:
        run = upload("http://server.invalid/", content(10), **BLIND, **proxied(f"http://127.0.0.1:{proxy.port}"))
    assert run.count("file_success") == 1


def test_a_tunnel_carries_a_whole_upload(proxied: Any, authority: trustme.CA, bundle: str) -> None:
    store = Store()
    data = content(3 * CHUNK)
    with (
        ScriptedServer(otherwise=store, context=server_context(authority)) as server,
        ScriptedServer(otherwise=tunnel) as proxy,
    ):
        options = proxied(f"http://127.0.0.1:{proxy.port}")
        with requests.Session() as session:
            options.setdefault("session", session)
            options["session"].verify = bundle
            run = upload(server.url, data, **BLIND, **options)
    assert store.content(run.files[0].unique_identifier or "") == data
    assert [request.method for request in proxy.requests] == ["CONNECT"]
    assert run.files[0].bytes_sent == len(data)


def test_a_request_that_hangs_behind_a_tunnel_is_ended(authority: trustme.CA, bundle: str) -> None:
    with (
        ScriptedServer(otherwise=hold, context=server_context(authority)) as server,
        ScriptedServer(otherwise=tunnel) as proxy,
        requests.Session() as mine,
    ):
        mine.verify = bundle
        mine.proxies = {"https": f"http://127.0.0.1:{proxy.port}"}
        session = Resumable(server.url, session=mine, timeout=(50, 50), **BLIND)
        session.add_file(content(10), relative_path="a.bin")
        server.wait_requests(1)
        session.cancel()
        for thread in threading.enumerate():
            if thread.name.startswith("resumable-worker"):
                thread.join(60)
                assert not thread.is_alive()
        session.close()


def tunnel(request: Request) -> None:
    """The step of a proxy that makes a tunnel to localhost."""
    request.over = True
    host, _, port = request.target.partition(":")
    assert host == "localhost"
    with socket.create_connection(("127.0.0.1", int(port))) as server:
        request.send(b"HTTP/1.1 200 Connection established\r\n\r\n")

        def back() -> None:
            try:
                while data := server.recv(65536):
                    request.send(data)
            except OSError:
                pass

        thread = threading.Thread(target=back, daemon=True)
        thread.start()
        try:
            while data := request.socket.recv(65536):
                server.sendall(data)
        except OSError:
            pass
        try:
            server.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        thread.join(5)


def test_a_host_that_needs_no_proxy_is_reached_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://nowhere.invalid:3128")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ScriptedServer(answer()) as server:
        run = upload(server.url, content(10), **BLIND)
    assert run.count("file_success") == 1


def test_the_proxies_of_the_session_go_before_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://nowhere.invalid:3128")
    with ScriptedServer(answer()) as proxy, requests.Session() as session:
        session.proxies = {"http": f"http://127.0.0.1:{proxy.port}"}
        run = upload("http://server.invalid/", content(10), session=session, **BLIND)
    assert run.count("file_success") == 1


# -- credentials -------------------------------------------------------------------------------------------------------


def credentials(url_prefix: str = "", **options: Any) -> str | None:
    """The Authorization header with which a chunk comes."""
    with ScriptedServer(answer()) as server:
        url = server.url.replace("http://", f"http://{url_prefix}")
        run = upload(url, content(10), **BLIND, **options)
    assert run.count("file_success") == 1
    return server.requests[0].headers.get("authorization")


@pytest.fixture
def netrc(tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login robot password secret\n")
    (tmp_path / "netrc").chmod(0o600)


@pytest.mark.usefixtures("netrc")
def test_netrc_is_used_where_there_is_nothing_else(way: dict[str, Any]) -> None:
    assert credentials(**way) == basic("robot:secret")


@pytest.mark.usefixtures("netrc")
@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
def test_netrc_does_not_replace_a_header(way: dict[str, Any], name: str) -> None:
    assert credentials(headers={name: "Bearer abc"}, **way) == "Bearer abc"
    assert credentials(headers=lambda file, chunk: {name: "Bearer abc"}, **way) == "Bearer abc"


@pytest.mark.usefixtures("netrc")
def test_netrc_does_not_replace_a_header_of_the_session() -> None:
    with requests.Session() as session:
        session.headers["Authorization"] = "Bearer abc"
        assert credentials(session=session) == "Bearer abc"


@pytest.mark.usefixtures("netrc")
def test_netrc_does_not_replace_the_auth_of_the_session() -> None:
    with requests.Session() as session:
        session.auth = ("me", "mine")
        assert credentials(session=session) == basic("me:mine")


@pytest.mark.usefixtures("netrc")
def test_credentials_in_the_target_are_used(way: dict[str, Any]) -> None:
    assert credentials("me:mine@", **way) == basic("me:mine")
    assert credentials("me:mine@", headers={"Authorization": "Bearer abc"}, **way) == "Bearer abc"


@pytest.mark.usefixtures("netrc")
def test_a_session_that_trusts_no_environment_does_not_look_into_netrc() -> None:
    with requests.Session() as session:
        session.trust_env = False
        assert credentials(session=session) is None


def test_a_digest_is_answered_with_the_body_once_more() -> None:
    store = Store()
    data = content(3 * CHUNK)

    def challenge(request: Request) -> None:
        request.read()
        fields = {
            "WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256',
            "Content-Length": "0",
        }
        request.send(head(401, fields))

    with ScriptedServer(challenge, otherwise=store) as server, requests.Session() as session:
        session.auth = requests.auth.HTTPDigestAuth("me", "mine")
        run = upload(server.url, data, session=session, **BLIND)
    assert run.count("file_success") == 1
    assert store.content(run.files[0].unique_identifier or "") == data
    assert server.requests[1].headers["authorization"].startswith('Digest username="me"')
    assert server.requests[1].body == server.requests[0].body


def test_an_auth_object_sees_each_whole_request() -> None:
    seen = []

    class Signing(requests.auth.AuthBase):
        def __call__(self, prepared: requests.PreparedRequest) -> requests.PreparedRequest:
            seen.append((prepared.method, prepared.url, prepared.headers["X-A"]))
            prepared.headers["Signature"] = str(len(seen))
            return prepared

    with ScriptedServer(answer(404), answer()) as server, requests.Session() as session:
        session.auth = Signing()
        run = upload(server.url, (b"", "empty.bin"), session=session, headers={"X-A": "1"}, method="octet")
    assert run.count("file_success") == 1
    signed = [entry for entry in seen if "resumableChunkNumber" in str(entry[1])]
    assert [entry[0] for entry in signed] == ["GET", "POST"]
    assert [entry[2] for entry in signed] == ["1", "1"]
    assert "signature" in server.requests[0].headers
    # An empty body has a length too.
    assert server.uploads[0].headers["content-length"] == "0"
    assert "transfer-encoding" not in server.uploads[0].headers


def test_what_the_session_has_goes_along() -> None:
    with ScriptedServer(answer(Set_Cookie="later=2; Path=/"), answer()) as server, requests.Session() as session:
        session.headers["X-Mine"] = "1"
        session.params = {"tenant": "7"}
        session.cookies.set("early", "1")
        heard = []
        session.hooks["response"].append(lambda response, **_: heard.append(response.status_code))
        run = upload(server.url, content(2 * CHUNK), session=session, **BLIND)
    assert run.count("file_success") == 1
    assert [request.headers["x-mine"] for request in server.requests] == ["1", "1"]
    assert [request.parameters["tenant"] for request in server.requests] == ["7", "7"]
    assert [request.number for request in server.requests] == [1, 2]
    assert [sorted(request.headers["cookie"].split("; ")) for request in server.requests] == [
        ["early=1"],
        ["early=1", "later=2"],
    ]
    assert heard == [200, 200]


def renew_header(session: requests.Session) -> None:
    session.headers["Authorization"] = basic("me:new")


def renew_auth(session: requests.Session) -> None:
    session.auth = ("me", "new")


@pytest.mark.parametrize("renew", [renew_header, renew_auth])
def test_what_changes_on_the_session_changes_the_next_request(renew: Callable[[requests.Session], None]) -> None:
    with requests.Session() as session:
        session.headers["Authorization"] = basic("me:old")

        def expire(request: Request) -> None:
            del session.headers["Authorization"]
            renew(session)
            answer()(request)

        with ScriptedServer(expire, answer()) as server:
            upload(server.url, content(2 * CHUNK), session=session, **BLIND)
    assert [request.headers["authorization"] for request in server.requests] == [basic("me:old"), basic("me:new")]


def test_a_cookie_that_the_server_sets_comes_back(way: dict[str, Any]) -> None:
    with ScriptedServer(answer(Set_Cookie="a=1; Path=/"), answer(Set_Cookie="b=2; Path=/"), answer()) as server:
        upload(server.url, content(3 * CHUNK), **BLIND, **way)
    cookies = [sorted(request.headers.get("cookie", "").split("; ")) for request in server.requests]
    assert cookies == [[""], ["a=1"], ["a=1", "b=2"]]


def test_a_cookie_that_one_worker_got_is_sent_by_all(way: dict[str, Any]) -> None:
    nodes = count(1)
    second_and_third = iter(range(2))
    together = threading.Barrier(2)

    def balance(request: Request) -> None:
        if "cookie" in request.headers and next(second_and_third, None) is not None:
            together.wait(60)
        given = {} if "cookie" in request.headers else {"Set_Cookie": f"node={next(nodes)}; Path=/"}
        answer(**given)(request)  # type: ignore[arg-type]

    with ScriptedServer(otherwise=balance) as server:
        upload(server.url, content(40 * CHUNK), simultaneous_uploads=3, **BLIND, **way)
    # Bookends: the first chunk is alone, so whoever sends the second has seen its cookie.
    assert len({request.connection for request in server.requests}) > 1
    assert {request.headers.get("cookie") for request in server.requests[1:]} == {"node=1"}


@pytest.mark.parametrize("name", ["Cookie", "cookie"])
def test_a_cookie_of_the_server_does_not_replace_the_header_of_the_user(way: dict[str, Any], name: str) -> None:
    with ScriptedServer(answer(Set_Cookie="a=1; Path=/"), otherwise=answer()) as server:
        upload(server.url, content(3 * CHUNK), headers={name: "session=mine"}, **BLIND, **way)
    assert [request.headers["cookie"] for request in server.requests] == ["session=mine"] * 3


def test_a_cookie_that_is_gone_from_the_session_is_not_sent() -> None:
    with requests.Session() as session:
        session.cookies.set("early", "1")

        def forget(request: Request) -> None:
            session.cookies.clear()
            answer()(request)

        with ScriptedServer(forget, answer()) as server:
            upload(server.url, content(2 * CHUNK), session=session, **BLIND)
    assert [request.headers.get("cookie") for request in server.requests] == ["early=1", None]


def test_a_factory_makes_one_session_a_worker_and_they_are_closed() -> None:
    made: list[Any] = []

    class Counted(requests.Session):
        closed = False

        def close(self) -> None:
            self.closed = True
            super().close()

    def factory() -> requests.Session:
        made.append(Counted())
        return made[-1]  # type: ignore[no-any-return]

    with ScriptedServer(otherwise=answer()) as server:
        upload(server.url, content(8 * CHUNK), session=factory, simultaneous_uploads=3, **BLIND)
    assert 1 <= len(made) <= 3
    assert all(session.closed for session in made)


def test_later_runs_use_the_sessions_of_the_factory_again() -> None:
    made: list[requests.Session] = []

    def factory() -> requests.Session:
        made.append(requests.Session())
        return made[-1]

    with ScriptedServer(otherwise=answer()) as server:
        with Resumable(server.url, CHUNK, simultaneous_uploads=3, session=factory, **BLIND) as session:
            for number in range(5):
                session.add_file(content(8 * CHUNK, number), relative_path=f"{number}.bin")
                session.join(60)
        assert len(made) <= 3
        assert server.connections <= 3


@pytest.mark.parametrize("made", [None, 42, ZeroDivisionError])
def test_a_factory_that_makes_no_session_is_an_error(made: Any) -> None:
    def factory() -> Any:
        if made is ZeroDivisionError:
            raise ZeroDivisionError
        return made

    with ScriptedServer() as server:
        run = upload(server.url, content(10), session=factory)
    assert type(run.error) is TransportError
    assert "session" in str(run.error)


# -- certificates ------------------------------------------------------------------------------------------------------


def test_the_bundle_of_the_environment_does_not_go_before_that_of_the_session(
    authority: trustme.CA, bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
    with ScriptedServer(answer(), context=server_context(authority)) as server, requests.Session() as session:
        session.verify = bundle
        run = upload(server.url, content(10), session=session, **BLIND)
    assert run.count("file_success") == 1


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_a_session_that_verifies_nothing_gets_its_way(
    authority: trustme.CA, bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    with (
        ScriptedServer(answer(), context=server_context(authority, "elsewhere.example")) as server,
        requests.Session() as session,
    ):
        session.verify = False
        run = upload(server.url, content(10), session=session, **BLIND)
    assert run.count("file_success") == 1
