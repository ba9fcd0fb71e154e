"""The transport over requests.

What users configure on their own ``requests.Session`` (auth, cookies, TLS, proxies, adapters, hooks) is honoured,
because every request then goes through ``Session.send``; without one there is a shorter way (``quick``). What costs
time and does not change is done once per target and worker: proxies and TLS settings from the environment, netrc, the
encoding of the URL, the merged headers.

What requests would get wrong, and how it is prevented:

* its connect timeout caps the sending of a whole body: the connections write piece by piece under a stall limit;
* it follows a redirected POST with a GET, and reads all of the body of a redirect: neither is done here;
* closing a Session does not stop a request: the live socket is known to the :class:`Watch` and shut down;
* a kept-alive connection that the server closed meanwhile fails the next POST: that is sent once more, at once;
* an answer may go on for ever, or end within its head: 64 KiB are read, in bounded time, behind a whole head;
* .netrc replaces an Authorization header and the credentials in a URL, the environment beats ``session.verify`` and
  ``session.proxies``: the user's own choice wins.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import requests
import urllib3.connection
from requests.adapters import HTTPAdapter
from requests.cookies import MockRequest, MockResponse, RequestsCookieJar
from requests.structures import CaseInsensitiveDict
from requests.utils import get_auth_from_url, get_netrc_auth, select_proxy

from .answer import WholeResponse, read_reply
from .base import NetworkFailure, Reply, Request, SourceFailure, Stopped, Watch
from .failure import is_broken, network_failure
from .quick import QuickWay, quick_way, refuse_unsendable

__all__ = ["RequestsTransport"]

_current = threading.local()

_MOST_TEMPLATES = 64


class _Watched:
    """A connection that writes through the watch of the request that its thread performs."""

    sock: Any
    response_class = WholeResponse

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        watch = getattr(_current, "watch", None)
        if watch is not None:
            watch.opened()

    def putrequest(self, *arguments: Any, **options: Any) -> None:
        watch = getattr(_current, "watch", None)
        if watch is not None:
            # Adapters, and auth that answers a challenge, send a request more than once.
            watch.anew()
        super().putrequest(*arguments, **options)  # type: ignore[misc]

    def send(self, data: Any) -> None:
        watch = getattr(_current, "watch", None)
        if watch is None:
            super().send(data)  # type: ignore[misc]
            return
        if self.sock is None:
            self.connect()
        watch.write(self.sock, data)


def _watched(kind: Any) -> Any:
    """The class of connections whose requests can be watched, made of any that urllib3 or a plugin of it uses."""
    if issubclass(kind, _Watched) or not issubclass(kind, urllib3.connection.HTTPConnection):
        return kind
    return type(f"Watched{kind.__name__}", (_Watched, kind), {})


class _Unfollowed(requests.Response):
    """An answer that requests does not look behind: of a redirect it would read all of the body, whatever its size."""

    is_redirect = False


def _unfollowed(response: requests.Response, **_: Any) -> None:
    response.__class__ = _Unfollowed


class RequestsTransport:
    """Sends through requests.

    ``session`` is None for Sessions of our own (one for each request at a time, over one pool of connections), a
    ``requests.Session`` that all requests share, or a factory that is called for each request at a time. Nothing is
    opened before the first request.
    """

    def __init__(self, session: Any = None, *, connections: int = 3) -> None:
        self._given = session
        self._connections = connections
        self._lock = threading.Lock()
        # Not one for each thread: threads come and go, and would leave their Sessions behind.
        self._idle: list[_Lane] = []
        self._adapter: HTTPAdapter | None = None
        self._own: list[requests.Session] = []
        # One jar, as in a browser: a balancer's cookie keeps all chunks of a file at one server.
        self._cookies = RequestsCookieJar()

    def send(self, request: Request, watch: Watch) -> Reply:
        """The answer; see :class:`Transport`. Connections that have gone stale are replaced, without counting."""
        lane = self._lane()
        try:
            for _ in range(self._connections):
                try:
                    return lane.send(request, watch)
                except _Stale:
                    # Others that were kept alive may be as stale; the last attempt has used them up.
                    continue
            return lane.send(request, watch)
        finally:
            self._idle.append(lane)

    def close(self) -> None:
        """No idle connection of ours is left open; a Session that was given is left alone."""
        with self._lock:
            own, self._own, self._adapter = self._own, [], None
        self._idle.clear()
        for session in own:
            session.close()

    def _lane(self) -> _Lane:
        try:
            return self._idle.pop()
        except IndexError:
            return _Lane(self._session(), untouched=self._given is None)

    def _session(self) -> requests.Session:
        if isinstance(self._given, requests.Session):
            return self._given
        if self._given is not None:
            session = self._session_of(self._given)
            with self._lock:
                self._own.append(session)
            return session
        session = requests.Session()
        session.cookies = self._cookies
        with self._lock:
            if self._adapter is None:
                self._adapter = HTTPAdapter(_MOST_TEMPLATES, self._connections, max_retries=0)
            session.mount("http://", self._adapter)
            session.mount("https://", self._adapter)
            self._own.append(session)
        return session

    @staticmethod
    def _session_of(factory: Callable[[], Any]) -> requests.Session:
        try:
            session = factory()
        except Exception as error:
            raise NetworkFailure(
                f"the factory given as session raised {type(error).__name__}", permanent=True
            ) from error
        if not isinstance(session, requests.Session):
            kind = type(session).__name__
            raise NetworkFailure(f"the factory given as session returned {kind}, no requests.Session", permanent=True)
        return session


class _Stale(NetworkFailure):
    """A reused connection was closed before it answered."""


class _Template:
    """What the requests of one method to one URL (without its query) share."""

    def __init__(self, session: requests.Session, method: str, url: str, *, authorised: bool, untouched: bool) -> None:
        self.settings_then = _settings_of(session)
        self.auth = _auth(session, url, authorised=authorised) if session.auth is None else None
        signs = session.auth is not None and not isinstance(session.auth, tuple)
        # An auth object may sign the whole request, and parameters belong into each URL.
        self.whole = signs or bool(session.params)
        auth = _as_it_is if signs else self.auth
        self.prepared = session.prepare_request(requests.Request(method, url, auth=auth))
        if "cookie" not in session.headers:
            # Those of the jar are asked for at each request.
            self.prepared.headers.pop("Cookie", None)
        self.prepared.hooks["response"].append(_unfollowed)
        self.url = self.prepared.url or url
        verify = None if session.verify is True else session.verify
        self.settings: dict[str, Any] = dict(session.merge_environment_settings(url, {}, True, verify, None))
        self.settings["proxies"] = {**self.settings["proxies"], **session.proxies}
        self.proxy = select_proxy(self.url, self.settings["proxies"])
        self.quick: QuickWay | None = None
        adapter = session.get_adapter(self.url)
        if isinstance(adapter, HTTPAdapter):
            verify, cert = self.settings["verify"], self.settings["cert"]
            pool: Any = adapter.get_connection_with_tls_context(
                self.prepared, verify, proxies=self.settings["proxies"], cert=cert
            )
            pool.ConnectionCls = _watched(pool.ConnectionCls)
            if untouched and self.proxy is None:
                adapter.cert_verify(pool, self.url, verify, cert)  # type: ignore[no-untyped-call]
                self.quick = quick_way(pool, method, self.url, self.prepared.headers)


def _settings_of(session: requests.Session) -> Any:
    """What a template takes over from a Session, whose owner may change it at any time."""
    return (
        dict(session.headers),
        session.auth,
        dict(session.params) if isinstance(session.params, Mapping) else session.params,
        dict(session.proxies),
        list(session.hooks["response"]),
        session.verify,
        session.cert,
        session.trust_env,
    )


def _auth(session: requests.Session, url: str, *, authorised: bool) -> Any:
    """The credentials that nobody gave as such: those in the URL, or in .netrc."""
    user, password = get_auth_from_url(url)
    if authorised or "authorization" in session.headers:
        return _as_it_is
    if user or password:
        return requests.auth.HTTPBasicAuth(user, password)
    return (get_netrc_auth(url) if session.trust_env else None) or _as_it_is


def _as_it_is(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
    """An auth that adds nothing, and keeps requests from looking into .netrc."""
    return prepared


class _Lane:
    """One way to the network, for one request at a time."""

    def __init__(self, session: requests.Session, *, untouched: bool) -> None:
        self._session = session
        self._untouched = untouched
        self._templates: dict[tuple[str, str, bool], _Template] = {}

    def send(self, request: Request, watch: Watch) -> Reply:
        """The answer. Raises Stopped, SourceFailure, NetworkFailure, of which _Stale is one."""
        watch.arm(request.body, stall=request.stall)
        _current.watch = watch
        template = None
        try:
            base, _, query = request.url.partition("#")[0].partition("?")
            template = self._template(request, base)
            if template.quick is not None and not self._session.cookies:
                reply = self._send_quickly(template.quick, request, query, watch)
            else:
                prepared = self._prepare(request, template, query)
                response = self._session.send(
                    prepared, timeout=request.timeout, allow_redirects=False, **template.settings
                )
                reply = _reply(response, request.timeout[1])
            if watch.unsent and reply.status < 300:
                raise NetworkFailure("the server answered before it had the whole chunk")
            return reply
        except (Stopped, SourceFailure):
            raise
        except Exception as error:
            # What requests says may have a URL with its secrets in it, so nothing of it is kept as a cause.
            failure = None if watch.stopped else self._failure(error, request, template, watch)
        finally:
            _current.watch = None
            watch.done()
        raise failure or Stopped

    @staticmethod
    def _failure(error: Exception, request: Request, template: _Template | None, watch: Watch) -> NetworkFailure:
        broken = is_broken(error)
        if broken and not watch.fresh:
            return _Stale("the server closed a connection that it had kept alive")
        failure = network_failure(error, request.url, template.proxy if template else None, begun=watch.begun)
        if broken and watch.begun and watch.unsent:
            failure.hint = "if it ends there each time, the server may take smaller requests only: lower chunk_size"
        return failure

    def _template(self, request: Request, base: str) -> _Template:
        authorised = any(name.lower() == "authorization" for name in request.headers)
        key = (request.method, base, authorised)
        template = self._templates.get(key)
        if template is None or not (self._untouched or template.settings_then == _settings_of(self._session)):
            if len(self._templates) >= _MOST_TEMPLATES:
                self._templates.clear()
            template = _Template(self._session, request.method, base, authorised=authorised, untouched=self._untouched)
            self._templates[key] = template
        return template

    def _send_quickly(self, quick: QuickWay, request: Request, query: str, watch: Watch) -> Reply:
        reply, response = quick.send(request, query, watch)
        if response.cookies:
            # The cookies are the Session's, which has to be asked from now on.
            prepared = requests.PreparedRequest()
            prepared.url = request.url
            prepared.headers = CaseInsensitiveDict()
            self._session.cookies.extract_cookies(MockResponse(response.message), MockRequest(prepared))  # type: ignore[arg-type]
        return reply

    def _prepare(self, request: Request, template: _Template, query: str) -> requests.PreparedRequest:
        session = self._session
        refuse_unsendable(request.headers)
        if template.whole:
            whole = requests.Request(request.method, request.url, headers=dict(request.headers), auth=template.auth)
            whole.data = request.body
            prepared = session.prepare_request(whole)
            prepared.hooks["response"].append(_unfollowed)
        else:
            prepared = requests.PreparedRequest()
            prepared.method = request.method
            prepared.url = f"{template.url}?{query}" if query else template.url
            prepared.headers = CaseInsensitiveDict(template.prepared.headers)
            prepared.headers.update(request.headers)
            prepared.hooks = template.prepared.hooks
            prepared._cookies = session.cookies  # type: ignore[attr-defined]
            if request.body is not None:
                prepared.body = request.body  # type: ignore[assignment]
            if len(session.cookies):
                # As in requests: a header that the user gave stays what it is.
                prepared.prepare_cookies(session.cookies)
        for name in ("Content-Length", "Transfer-Encoding"):
            prepared.headers.pop(name, None)
        if request.body is not None:
            prepared.headers["Content-Length"] = str(len(request.body))
        return prepared


def _reply(response: requests.Response, timeout: float | None) -> Reply:
    fields = {name.lower(): value for name, value in response.headers.items()}
    return read_reply(_Raw(response), fields, response.status_code, timeout)


class _Raw:
    """The body of a requests answer, read as http.client's is."""

    def __init__(self, response: requests.Response) -> None:
        self._read1 = getattr(response.raw, "read1", response.raw.read)
        self.close = response.close

    def read1(self, size: int) -> bytes:
        piece: bytes = self._read1(size, decode_content=True)
        return piece
