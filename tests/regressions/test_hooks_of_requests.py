"""Hooks, auth objects and adapters of requests that raise, that read, and that put another answer in place of one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from support.client import CHUNK, Run, content, upload
from support.scripted_server import ScriptedServer, answer
from support.sessions import WAYS
from urllib3.util.retry import Retry

from resumable import AuthenticationRefused, ServerRefused, TransportError
from resumable.errors import UploadError

BLIND: dict[str, Any] = {"test_chunks": False}
Hook = Callable[..., Any]


@pytest.fixture
def session() -> Iterator[requests.Session]:
    """The session of the user."""
    with requests.Session() as session:
        yield session


def raise_for_status(response: requests.Response, **_: Any) -> None:
    """What many programs have all their answers go through."""
    response.raise_for_status()


def failed_at_once(run: Run, kind: type[UploadError]) -> Any:
    """The error of the upload, which was tried once."""
    assert run.count("chunk_retry") == 0
    assert type(run.error) is kind
    return run.error


# -- a hook that raises for the status --------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["list", "callable"])
def test_a_permanent_refusal_behind_raise_for_status_is_judged_by_its_status(
    session: requests.Session, given: str
) -> None:
    session.hooks = {"response": [raise_for_status] if given == "list" else raise_for_status}
    with ScriptedServer(answer(413, b"too much")) as server:
        run = upload(server.url, content(10), session=session, **BLIND)
    error = failed_at_once(run, ServerRefused)
    assert (error.status, error.body) == (413, "too much")


def test_a_passing_refusal_behind_raise_for_status_is_tried_again(session: requests.Session) -> None:
    session.hooks["response"].append(raise_for_status)
    with ScriptedServer(answer(503, Retry_After="0"), answer()) as server:
        run = upload(server.url, content(10), session=session, **BLIND)
    assert (run.count("chunk_retry"), run.count("file_success")) == (1, 1)


def test_a_missing_chunk_behind_raise_for_status_is_missing(session: requests.Session) -> None:
    session.hooks["response"].append(raise_for_status)
    with ScriptedServer(answer(404), answer()) as server:
        run = upload(server.url, content(10), session=session)
    assert [request.method for request in server.requests] == ["GET", "POST"]
    assert run.count("file_success") == 1


def test_raise_for_status_leaves_no_connection_taken(session: requests.Session) -> None:
    session.mount("http://", HTTPAdapter(pool_maxsize=1, pool_block=True))
    session.hooks["response"].append(raise_for_status)
    with ScriptedServer(*[answer(503, b"x" * 100)] * 3, answer()) as server:
        run = upload(server.url, content(10), session=session, **BLIND)
    assert (run.count("chunk_retry"), run.count("file_success")) == (3, 1)
    assert server.connections == 1


def test_a_session_that_raises_in_send_is_judged_by_the_answer() -> None:
    class Strict(requests.Session):
        def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
            response = super().send(request, **options)
            response.raise_for_status()
            return response

    with ScriptedServer(answer(413, b"too much")) as server, Strict() as session:
        run = upload(server.url, content(10), session=session, **BLIND)
    assert failed_at_once(run, ServerRefused).status == 413


# -- hooks that raise something else ----------------------------------------------------------------------------------


class _Refused(Exception):
    """What an application raises for answers that it does not like."""


@pytest.mark.parametrize(
    "raised", [_Refused("no"), KeyError("result"), requests.HTTPError("no"), PermissionError("no")]
)
def test_whatever_a_hook_raises_a_refusal_is_judged_by_its_status(session: requests.Session, raised: Exception) -> None:
    def hook(response: requests.Response, **_: Any) -> None:
        if not response.ok:
            raise raised

    session.hooks["response"].append(hook)
    with ScriptedServer(answer(413, b"too much")) as server:
        run = upload(server.url, content(10), session=session, **BLIND)
    error = failed_at_once(run, ServerRefused)
    assert (error.status, error.body) == (413, "too much")


def test_a_hook_that_raises_at_a_yes_makes_it_a_no_for_good(session: requests.Session) -> None:
    def hook(response: requests.Response, **_: Any) -> None:
        response.json()

    session.hooks["response"].append(hook)
    with ScriptedServer(answer(200, b"not JSON")) as server:
        run = upload(server.url, content(10), session=session, **BLIND)
    assert failed_at_once(run, TransportError).status == 200


def test_a_line_that_breaks_under_a_hook_is_tried_again(session: requests.Session) -> None:
    def hook(response: requests.Response, **_: Any) -> None:
        assert response.content == b"ok"

    def cut(request: Any) -> None:
        request.read()
        request.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\no")
        request.close()

    session.hooks["response"].append(hook)
    with ScriptedServer(cut, answer(200, b"ok")) as server:
        run = upload(server.url, content(10), session=session, **BLIND)
    assert (run.count("chunk_retry"), run.count("file_success")) == (1, 1)


# -- hooks that read, answer, and ask ---------------------------------------------------------------------------------


def read_content(response: requests.Response, **_: Any) -> None:
    """As a log of answers does."""
    assert response.content is not None


@pytest.mark.parametrize("body", [b"too much", b""])
def test_an_answer_that_a_hook_has_read_keeps_its_body(session: requests.Session, body: bytes) -> None:
    session.hooks["response"].append(read_content)
    with ScriptedServer(answer(413, body)) as server:
        run = upload(server.url, content(10), session=session, **BLIND)
    assert failed_at_once(run, ServerRefused).body == body.decode()


def test_an_answer_that_a_hook_has_read_and_not_kept_still_counts(session: requests.Session) -> None:
    session.hooks["response"].append(lambda response, **_: [*response.iter_content(10)] and None)
    with ScriptedServer(answer(200, b"stored")) as server:
        run = upload(server.url, content(10), session=session, **BLIND)
    assert (run.count("chunk_retry"), run.count("file_success")) == (0, 1)


def test_a_response_that_a_hook_puts_in_place_counts(session: requests.Session) -> None:
    def hook(response: requests.Response, **_: Any) -> requests.Response:
        made = requests.Response()
        made.status_code = 413
        made._content = b"made up"
        return made

    session.mount("http://", HTTPAdapter(pool_maxsize=1, pool_block=True))
    session.hooks["response"].append(hook)
    with ScriptedServer(answer(200, b"stored"), answer(200)) as server:
        run = upload(server.url, content(10), session=session, **BLIND)
        assert session.get(server.url, timeout=5, hooks={"response": []}) is not None
    error = failed_at_once(run, ServerRefused)
    assert (error.status, error.body) == (413, "made up")


def test_a_hook_that_returns_no_response_is_an_error_at_once(session: requests.Session) -> None:
    session.hooks["response"].append(lambda response, **_: {"status": "ok"})
    with ScriptedServer(answer()) as server:
        run = upload(server.url, content(10), session=session, **BLIND)
    failed_at_once(run, TransportError)


def test_a_hook_that_sends_requests_of_its_own_disturbs_nothing(session: requests.Session) -> None:
    def log(response: requests.Response, **_: Any) -> None:
        if "log" not in response.url:
            assert session.post(response.url.partition("/upload")[0] + "/log", data=b"x").ok

    session.hooks["response"].append(log)
    with ScriptedServer() as server:
        run = upload(server.url, content(3 * CHUNK), session=session, **BLIND)
    assert (run.count("chunk_retry"), run.count("file_success")) == (0, 1)
    assert [request.target.partition("?")[0] for request in server.requests] == ["/upload", "/log"] * 3


def test_a_session_that_streams_is_no_other() -> None:
    with ScriptedServer(answer(200, b"stored")) as server, requests.Session() as session:
        session.stream = True
        run = upload(server.url, content(10), session=session, **BLIND)
    assert run.count("file_success") == 1


# -- adapters that retry ----------------------------------------------------------------------------------------------


def test_an_adapter_that_gives_up_on_a_status_is_judged_by_it(session: requests.Session) -> None:
    session.mount("http://", HTTPAdapter(max_retries=Retry(2, allowed_methods=None, status_forcelist=[413])))
    with ScriptedServer(*[answer(413)] * 3) as server:
        run = upload(server.url, content(10), session=session, **BLIND)
    assert failed_at_once(run, ServerRefused).status == 413


# -- what cannot get better -------------------------------------------------------------------------------------------


def unsupported_proxy(session: requests.Session) -> None:
    session.proxies = {"http": "gopher://me:hidden@127.0.0.1:1"}


def bad_header(session: requests.Session) -> None:
    session.headers["X-Token"] = "hidden\n"


def bad_header_type(session: requests.Session) -> None:
    session.headers["X-Token"] = 5  # type: ignore[assignment]


def no_adapter(session: requests.Session) -> None:
    session.adapters.clear()


def proxy_without_host(session: requests.Session) -> None:
    session.proxies = {"http": "http://"}


def auth_that_is_wrong(session: requests.Session) -> None:
    session.auth = lambda prepared: json.loads("{}")["token"]  # type: ignore[assignment]


def auth_without_its_file(session: requests.Session) -> None:
    session.auth = lambda prepared: open("/nonexistent/hidden")  # type: ignore[assignment]  # noqa: SIM115


@pytest.mark.parametrize(
    "spoil",
    [
        unsupported_proxy,
        bad_header,
        bad_header_type,
        no_adapter,
        proxy_without_host,
        auth_that_is_wrong,
        auth_without_its_file,
    ],
)
def test_what_requests_cannot_send_fails_at_once(
    session: requests.Session, spoil: Callable[[requests.Session], None]
) -> None:
    spoil(session)
    with ScriptedServer() as server:
        run = upload(server.url + "?token=hidden", content(10), session=session, **BLIND)
    assert not server.requests
    assert "hidden" not in str(failed_at_once(run, TransportError)).replace("/nonexistent/hidden", "")


def test_a_missing_support_for_socks_is_said_in_the_words_of_requests(session: requests.Session) -> None:
    class WithoutSocks(HTTPAdapter):
        def get_connection_with_tls_context(self, *_: Any, **__: Any) -> Any:
            raise requests.exceptions.InvalidSchema("Missing dependencies for SOCKS support.")

    session.mount("http://", WithoutSocks())
    run = upload("http://me:hidden@127.0.0.1:1/", content(10), session=session, **BLIND)
    text = str(failed_at_once(run, TransportError))
    assert "InvalidSchema: Missing dependencies for SOCKS support." in text


# -- auth that asks another server ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "retries"), [(503, 1), (403, 0)])
def test_auth_that_got_no_token_is_judged_by_what_its_server_said(
    session: requests.Session, status: int, retries: int
) -> None:
    with ScriptedServer() as server, ScriptedServer(answer(status), otherwise=answer(200)) as tokens:

        def auth(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
            requests.get(tokens.url + "?secret=hidden", timeout=5).raise_for_status()
            return prepared

        session.auth = auth  # type: ignore[assignment]
        run = upload(server.url, content(10), session=session, **BLIND)
    assert run.count("chunk_retry") == retries
    assert run.count("file_success") == retries
    if run.result.errors:
        assert type(run.error) is TransportError
        assert "hidden" not in str(run.error)


def test_a_factory_whose_server_is_away_for_a_moment_is_asked_again() -> None:
    tries: list[int] = []

    def factory() -> requests.Session:
        tries.append(len(tries))
        if len(tries) == 1:
            raise requests.ConnectionError("away")
        return requests.Session()

    with ScriptedServer() as server:
        run = upload(server.url, content(10), session=factory, **BLIND)
    assert (run.count("chunk_retry"), run.count("file_success")) == (1, 1)


# -- a token that is renewed ------------------------------------------------------------------------------------------


class Renewed(requests.auth.AuthBase):
    """A token that is made anew each time it is asked for after it was refused."""

    def __init__(self) -> None:
        self.number = 1

    def __call__(self, prepared: requests.PreparedRequest) -> requests.PreparedRequest:
        prepared.headers["Authorization"] = f"Bearer {self.number}"
        prepared.register_hook("response", self._look)
        return prepared

    def _look(self, response: requests.Response, **_: Any) -> None:
        if response.status_code == 401:
            self.number += 1


def bearer(expected: str) -> Any:
    """A step that takes this token only."""

    def step(request: Any) -> None:
        given = request.headers.get("authorization")
        answer(200 if given == expected else 401, b"said")(request)

    return step


def test_a_token_that_an_auth_object_renews_gets_a_second_chance(session: requests.Session) -> None:
    session.auth = Renewed()
    with ScriptedServer(otherwise=bearer("Bearer 2")) as server:
        run = upload(server.url, content(2 * CHUNK), session=session, **BLIND)
    assert (run.count("chunk_retry"), run.count("file_success")) == (0, 1)
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer 1", "Bearer 2", "Bearer 2"]


def test_a_header_that_a_hook_renews_on_the_session_gets_a_second_chance(session: requests.Session) -> None:
    def renew(response: requests.Response, **_: Any) -> None:
        if response.status_code == 401:
            session.headers["Authorization"] = "Bearer new"

    session.headers["Authorization"] = "Bearer old"
    session.hooks["response"].append(renew)
    with ScriptedServer(otherwise=bearer("Bearer new")) as server:
        run = upload(server.url, content(10), session=session, **BLIND)
    assert run.count("file_success") == 1
    assert len(server.requests) == 2


@pytest.mark.parametrize("size", [0, 10, 2 * CHUNK])
def test_a_token_that_a_request_method_adds_and_renews_is_sent(size: int) -> None:
    with WAYS["with token"]("", Path()) as session, ScriptedServer(otherwise=bearer("Bearer 1")) as server:
        run = upload(server.url, content(size), session=session, headers={"X-Mine": "1"}, method="octet", **BLIND)
    assert (run.count("chunk_retry"), run.count("file_success")) == (0, 1)
    assert {request.headers["x-mine"] for request in server.requests} == {"1"}
    assert [request.headers["content-length"] for request in server.requests][1:] == [
        str(min(size, CHUNK)) for _ in server.requests[1:]
    ]


def test_an_authorization_header_of_the_upload_beats_netrc_in_a_request_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Session(requests.Session):
        def request(self, *arguments: Any, **options: Any) -> Any:
            return super().request(*arguments, **options)

    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password wrong")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with Session() as session, ScriptedServer(otherwise=bearer("Bearer mine")) as server:
        run = upload(server.url, content(10), session=session, headers={"Authorization": "Bearer mine"}, **BLIND)
    assert run.count("file_success") == 1


def test_a_session_that_gives_a_future_is_waited_for() -> None:
    with ThreadPoolExecutor(1) as executor:

        class Session(requests.Session):
            def request(self, *arguments: Any, **options: Any) -> Any:
                return executor.submit(super().request, *arguments, **options)

        with Session() as session, ScriptedServer() as server:
            run = upload(server.url, content(2 * CHUNK), session=session)
    assert (run.count("chunk_retry"), run.count("file_success")) == (0, 1)


@pytest.mark.parametrize("auth", [("me", "wrong"), lambda prepared: prepared, None])
def test_credentials_that_stay_the_same_are_not_sent_twice(session: requests.Session, auth: Any) -> None:
    session.auth = auth
    with ScriptedServer(answer(401)) as server:
        run = upload(server.url, content(10), session=session, **BLIND)
    assert failed_at_once(run, AuthenticationRefused).status == 401
    assert len(server.requests) == 1


def test_a_second_401_is_final(session: requests.Session) -> None:
    session.auth = Renewed()
    with ScriptedServer(answer(401), answer(401)) as server:
        run = upload(server.url, content(10), session=session, **BLIND)
    assert failed_at_once(run, AuthenticationRefused).status == 401


def test_a_factory_whose_login_has_expired_is_asked_once_more() -> None:
    made: list[str] = []

    def factory() -> requests.Session:
        made.append(f"Bearer {len(made)}")
        session = requests.Session()
        session.headers["Authorization"] = made[-1]
        return session

    with ScriptedServer(bearer("Bearer 0"), otherwise=bearer("Bearer 1")) as server:
        run = upload(server.url, content(3 * CHUNK), session=factory, **BLIND)
    assert (run.count("chunk_retry"), run.count("file_success")) == (0, 1)
    assert made == ["Bearer 0", "Bearer 1"]


def test_many_workers_renew_a_token_once(session: requests.Session) -> None:
    class Once(requests.auth.AuthBase):
        token, refused, renewals = "old", False, 0

        def __call__(self, prepared: requests.PreparedRequest) -> requests.PreparedRequest:
            if self.refused:
                self.token, self.refused = "new", False
                self.renewals += 1
            prepared.headers["Authorization"] = f"Bearer {self.token}"
            prepared.register_hook("response", self._look)
            return prepared

        def _look(self, response: requests.Response, **_: Any) -> None:
            if response.status_code == 401 and response.request.headers["Authorization"] == f"Bearer {self.token}":
                self.refused = True

    session.auth = auth = Once()
    with ScriptedServer(otherwise=bearer("Bearer new")) as server:
        run = upload(server.url, content(12 * CHUNK), session=session, simultaneous_uploads=4, **BLIND)
    assert (run.count("chunk_retry"), run.count("file_success")) == (0, 1)
    assert auth.renewals == 1
