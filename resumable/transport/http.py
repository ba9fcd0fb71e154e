"""The transport over requests.

What users configure on their own ``requests.Session`` (auth, cookies, TLS, proxies, adapters, hooks) is honoured,
because every request then goes through ``Session.send``; without one there is a faster path (``fast_path``). What costs
time and does not change is done once per target and worker: proxies and TLS settings from the environment, netrc, the
encoding of the URL, the merged headers.

What requests would get wrong, and how it is prevented:

* its connect timeout caps the sending of a whole body: the connections write piece by piece under a stall limit, and
  what writes in another way gets small pieces and that limit as its timeout;
* it follows a redirected POST with a GET, and reads all of the body of a redirect: neither is done here;
* closing a Session does not stop a request: the live socket is known to the :class:`RequestControl` and shut down;
* a kept-alive connection that the server closed meanwhile fails the next POST: that is sent once more, at once;
* an answer may go on for ever, or end within its head: 64 KiB are read, in bounded time, behind a whole head;
* .netrc replaces an Authorization header and the credentials in a URL, the environment beats ``session.verify`` and
  ``session.proxies``: the user's own choice wins.

Whatever adapter, mock or hook sends the request in place of urllib3, its answer counts. Connections are watched where
that is possible (``connections``).
"""

from __future__ import annotations

import contextlib
import functools
import threading
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import HTTPDigestAuth
from requests.cookies import MockRequest, MockResponse, RequestsCookieJar
from requests.structures import CaseInsensitiveDict
from requests.utils import get_auth_from_url, get_netrc_auth, select_proxy

from . import congestion
from .base import (
    REPLY_LIMIT,
    NetworkFailure,
    Reply,
    Request,
    RequestControl,
    SourceFailure,
    Stopped,
)
from .body import HandedBody
from .classify import (
    is_broken,
    is_of_network,
    may_be_wrong_scheme,
    network_failure,
    own_failure,
    own_words,
    refusing_status,
    wrong_scheme,
)
from .connections import can_read, reads_at_once, watched
from .fast_path import FastPath, refuse_unsendable
from .response import read_reply
from .scheme_probe import speaks_other_scheme

__all__ = ["RequestsTransport"]

_MOST_TEMPLATES = 64


class _Unfollowed:
    """An answer that requests does not follow: of a redirect it would read all of the body, whatever its size."""

    is_redirect = False


@functools.lru_cache(_MOST_TEMPLATES)
def _unfollowed_kind(kind: Any) -> Any:
    return type(kind.__name__, (_Unfollowed, kind), {})


def _unfollowed(response: Any, **_: Any) -> None:
    if getattr(response, "is_redirect", False):
        with contextlib.suppress(TypeError):
            response.__class__ = _unfollowed_kind(type(response))  # type: ignore[arg-type]


class _Adapter(HTTPAdapter):
    """The adapter of Sessions of our own. Its connections have these options of sockets besides the usual ones."""

    def __init__(self, options: list[tuple[int, int, bytes]], connections: int) -> None:
        usual = urllib3.connection.HTTPConnection.default_socket_options
        self._options: dict[str, Any] = {"socket_options": [*usual, *options]} if options else {}
        super().__init__(_MOST_TEMPLATES, connections, max_retries=0)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """See requests."""
        super().init_poolmanager(*arguments, **{**options, **self._options})

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """See requests."""
        return super().proxy_manager_for(proxy, **{**options, **self._options})


def _untampered() -> bool:
    """Return whether requests is as it was installed, and no mock or tracer has replaced parts of it."""
    for method, genuine in (
        (HTTPAdapter.send, HTTPAdapter.build_response),
        (requests.Session.send, requests.Session.prepare_request),
        (requests.Session.get_adapter, requests.Session.prepare_request),
        (urllib3.HTTPConnectionPool.urlopen, urllib3.HTTPConnectionPool.close),
    ):
        # Asked before each request: mocks come and go.
        if not isinstance(method, types.FunctionType) or method.__code__.co_filename != genuine.__code__.co_filename:
            return False
    return True


class RequestsTransport:
    """Sends through requests.

    ``session`` is None for Sessions of our own (one for each request at a time, over one pool of connections), a
    ``requests.Session`` that all requests share, or a factory that is called for each request at a time. Nothing is
    opened before the first request. ``congestion_control`` is that of connections of our own Sessions.
    """

    def __init__(
        self, session: Any = None, *, connections: int = 3, congestion_control: str | None = congestion.AUTO
    ) -> None:
        self._given = session
        self._congestion_control = congestion_control
        self._connections = connections
        self._lock = threading.Lock()
        # Held by the worker that renews credentials, so that the next one finds new ones.
        self._renewing = threading.Lock()
        # Scheme and place of the servers that have answered, or were asked whether they speak the other scheme.
        self._known: set[tuple[str, ...]] = set()
        # Not one for each thread: threads come and go, and would leave their Sessions behind.
        self._idle: list[_Lane] = []
        self._adapter: HTTPAdapter | None = None
        self._own: list[requests.Session] = []
        # One jar, as in a browser: a balancer's cookie keeps all chunks of a file at one server.
        self._cookies = RequestsCookieJar()

    def send(self, request: Request, control: RequestControl) -> Reply:
        """Send the request; see :class:`Transport`. Connections that have gone stale are replaced, without counting."""
        lane = self._lane()
        try:
            if request.renew and self._makes_sessions:
                lane = self._replaced(lane)
            reply = lane.send(request, control, stale=self._connections)
            if reply.status != 401:
                lane.welcome = True
            elif lane.welcome and self._makes_sessions:
                # The Session that the factory logged in is no longer logged in.
                lane = self._replaced(lane)
                reply = lane.send(request, control, stale=self._connections)
            return reply
        finally:
            self._idle.append(lane)

    def close(self) -> None:
        """Close all connections of our own; a Session that was given is left alone."""
        with self._lock:
            own, self._own, self._adapter = self._own, [], None
        self._idle.clear()
        for session in own:
            session.close()

    @property
    def _makes_sessions(self) -> bool:
        return self._given is not None and not isinstance(self._given, requests.Session)

    def _lane(self) -> _Lane:
        try:
            return self._idle.pop()
        except IndexError:
            return _Lane(self._session(), self._renewing, self._known, untouched=self._given is None)

    def _replaced(self, lane: _Lane) -> _Lane:
        fresh = _Lane(self._session(), self._renewing, self._known, untouched=False)
        with self._lock:
            # One that was closed in the meantime is not there any more.
            self._own = [session for session in self._own if session is not lane.session]
        lane.session.close()
        return fresh

    def _session(self) -> requests.Session:
        if isinstance(self._given, requests.Session):
            return self._given
        if self._makes_sessions:
            session = self._session_of(self._given)
            with self._lock:
                self._own.append(session)
            return session
        session = requests.Session()
        session.cookies = self._cookies
        options = congestion.socket_options(self._congestion_control)
        with self._lock:
            if self._adapter is None:
                self._adapter = _Adapter(options, self._connections)
            session.mount("http://", self._adapter)
            session.mount("https://", self._adapter)
            self._own.append(session)
        return session

    @staticmethod
    def _session_of(factory: Callable[[], Any]) -> requests.Session:
        try:
            session = factory()
        except Exception as error:
            said = f"the factory given as session raised {type(error).__name__}"
            raise NetworkFailure(f"{said}{_colon(own_words(error))}", permanent=not _may_pass(error)) from None
        if not isinstance(session, requests.Session):
            kind = type(session).__name__
            raise NetworkFailure(f"the factory given as session returned {kind}, no requests.Session", permanent=True)
        return session


def _colon(words: str) -> str:
    return f": {words}" if words else ""


def _may_pass(error: Exception) -> bool:
    """Return whether the next attempt may succeed after this was raised."""
    response = getattr(error, "response", None)
    if isinstance(response, requests.Response):
        return _is_passing(response.status_code)
    return is_of_network(error)


def _is_passing(status: int) -> bool:
    return status >= 500 or status in (408, 425, 429)


class _Stale(NetworkFailure):
    """A reused connection was closed before it answered."""


class _Template:
    """What all requests of one method to one URL (without its query) have in common."""

    def __init__(
        self, session: requests.Session, method: str, url: str, note: Any, *, authorised: bool, untouched: bool
    ) -> None:
        self.settings_then = _settings_of(session)
        self.auth = _auth(session, url, authorised=authorised) if session.auth is None else None
        signs = session.auth is not None and not isinstance(session.auth, tuple)
        # An auth object may sign the whole request, and parameters belong into each URL.
        self.whole = signs or bool(session.params)
        auth = _as_it_is if signs else self.auth
        self.prepared = session.prepare_request(requests.Request(method, url, auth=auth))
        if not _has(session.headers, "cookie"):
            # Those of the jar are asked for at each request.
            self.prepared.headers.pop("Cookie", None)
        _hook_up(self.prepared, note)
        self.url = self.prepared.url or url
        self.place = tuple(urlsplit(self.url)[:2])
        verify = None if session.verify is True else session.verify
        self.settings: dict[str, Any] = dict(session.merge_environment_settings(url, {}, True, verify, None))
        self.settings["proxies"] = {**self.settings["proxies"], **(session.proxies or {})}
        self.proxy = select_proxy(self.url, self.settings["proxies"])
        self.fast_path: FastPath | None = None
        if untouched and self.proxy is None and can_read() and _untampered():
            adapter = session.get_adapter(self.url)
            pool = adapter.get_connection_with_tls_context(self.prepared, self.settings["verify"], proxies={})  # type: ignore[attr-defined]
            adapter.cert_verify(pool, self.url, self.settings["verify"], self.settings["cert"])  # type: ignore[attr-defined]
            keep_cookies = functools.partial(_keep_cookies, session)
            self.fast_path = FastPath(pool, method, self.url, self.prepared.headers, keep_cookies)


def _keep_cookies(session: requests.Session, url: str, message: Any) -> None:
    """Give the session the cookies of an answer to this URL, so that it has to be asked from now on."""
    prepared = requests.PreparedRequest()
    prepared.url = url
    prepared.headers = CaseInsensitiveDict()
    session.cookies.extract_cookies(MockResponse(message), MockRequest(prepared))  # type: ignore[arg-type]


def _hook_up(prepared: requests.PreparedRequest, note: Any) -> None:
    hooks = prepared.hooks["response"]
    hooks.insert(0, note)
    hooks.append(_unfollowed)


def _has(headers: Iterable[Any] | None, name: str) -> bool:
    return any(str(given).lower() == name for given in headers or ())


def _has_own_request(session: requests.Session) -> bool:
    """Return whether the session has its own ``request``, as those of OAuth 2 have: it adds a token, and renews it."""
    return "request" in vars(session) or type(session).request is not requests.Session.request


def _listed(hooks: Any) -> list[Any]:
    return [hooks] if callable(hooks) else list(hooks or ())


def _settings_of(session: requests.Session) -> Any:
    """Return what a template takes from a Session, whose owner may change it at any time. Each may be None."""
    return (
        _copied(session.headers),
        session.auth,
        _copied(session.params),
        _copied(session.proxies),
        {event: _copied(hooks) for event, hooks in (session.hooks or {}).items()},
        session.verify,
        session.cert,
        session.trust_env,
    )


def _copied(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else list(value) if isinstance(value, list) else value


def _auth(session: requests.Session, url: str, *, authorised: bool) -> Any:
    """Return the credentials in the URL or in .netrc, if none were given otherwise."""
    user, password = get_auth_from_url(url)
    if authorised or _has(session.headers, "authorization"):
        return _as_it_is
    if user or password:
        return requests.auth.HTTPBasicAuth(user, password)
    return (get_netrc_auth(url) if session.trust_env else None) or _as_it_is


def _as_it_is(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
    """Add no credentials, and keep requests from looking into .netrc."""
    return prepared


class _Noted:
    """Keeps the answer as it came, whatever hooks make of it. Called as the first of them."""

    response: requests.Response | None = None

    def __call__(self, response: requests.Response, **_: Any) -> None:
        self.response = response

    def close(self) -> None:
        """Free the connection of an answer that will not be read."""
        if self.response is not None:
            self.response.close()


class _Lane:
    """A Session and its templates, for one request at a time."""

    def __init__(
        self, session: requests.Session, renewing: threading.Lock, known: set[tuple[str, ...]], *, untouched: bool
    ) -> None:
        self.session = session
        self.welcome = False
        self._renewing = renewing
        self._known = known
        self._untouched = untouched
        self._templates: dict[tuple[str, str, bool], _Template] = {}
        self._sees = True
        self._noted = _Noted()

    def send(self, request: Request, control: RequestControl, *, stale: int) -> Reply:
        """Send the request, and return the answer: again after each of up to ``stale`` connections that turn out to be
        closed. Others that were kept alive may be, too; the last attempt has used them up.

        Raises Stopped, SourceFailure, NetworkFailure.
        """
        base, _, query = request.url.partition("#")[0].partition("?")
        while True:
            control.prepare(request.body, stall=request.stall)
            template = None
            try:
                template = self._template(request, base)
                reply = None
                if template.fast_path is not None and not self.session.cookies and _untampered():
                    reply = template.fast_path.send(request, query, control)
                if reply is None:
                    reply = self._send_all(request, base, query, control)
                self._known.add(template.place)
                if control.cut and reply.status < 300:
                    raise NetworkFailure("the server answered before it had the whole chunk")
                return reply
            except Exception as error:
                # What requests says may have a URL with its secrets in it, so nothing of it is kept as a cause.
                failure = self._failure(error, request, template, control)
            finally:
                control.done()
                self._noted.response = None
            if stale == 0 or not isinstance(failure, _Stale):
                raise failure
            stale -= 1

    def _failure(
        self, error: Exception, request: Request, template: _Template | None, control: RequestControl
    ) -> Stopped | SourceFailure | NetworkFailure:
        own = own_failure(error)
        if isinstance(own, SourceFailure):
            return own
        if control.stopped or isinstance(own, Stopped):
            return Stopped()
        if own is not None:
            # What it was raised behind has the request with its secrets, and holds connections.
            own.__context__ = own.__traceback__ = None
        broken = is_broken(error)
        if broken and control.seen and not control.fresh:
            return _Stale("the server closed a connection that it had kept alive")
        response = getattr(error, "response", None)
        if isinstance(response, requests.Response):
            # That of another server, as one that gives tokens.
            words = own_words(error, self._secrets(request))
            own = NetworkFailure(
                f"auth or a hook of the session raised {type(error).__name__}{_colon(words)}",
                permanent=not _is_passing(response.status_code),
            )
        failure = network_failure(
            own or error,
            request.url,
            template.proxy if template else None,
            begun=control.started or self._noted.response is not None,
            secrets=self._secrets(request),
        )
        if template is not None and not failure.permanent and self._speaks_other_scheme(error, template):
            return wrong_scheme(template.place[0])
        if broken and control.cut:
            failure.hint = "if it ends there each time, the server may take smaller requests only: lower chunk_size"
        return failure

    def _speaks_other_scheme(self, error: Exception, template: _Template) -> bool:
        """Return whether the server speaks the other one of http:// and https://. It is asked once, unless it has
        answered before, or something else than our own connections leads to it."""
        if template.place in self._known or template.proxy is not None or not _untampered():
            return False
        scheme = template.place[0]
        if type(self.session.get_adapter(template.url)) is not HTTPAdapter or not may_be_wrong_scheme(error, scheme):
            return False
        self._known.add(template.place)
        return speaks_other_scheme(template.url)

    def _secrets(self, request: Request) -> list[str]:
        """Return what the text of an exception must not show: values of headers, and credentials without a scheme."""
        values = [str(value) for headers in (request.headers, self.session.headers or {}) for value in headers.values()]
        return [part for value in values for part in (value.strip(), value.split(" ")[-1].strip()) if len(part) > 3]

    def _template(self, request: Request, base: str) -> _Template:
        authorised = "authorization" in map(str.lower, request.headers)
        key = (request.method, base, authorised)
        template = self._templates.get(key)
        if template is None or not (self._untouched or template.settings_then == _settings_of(self.session)):
            if len(self._templates) >= _MOST_TEMPLATES:
                self._templates.clear()
            template = _Template(
                self.session, request.method, base, self._noted, authorised=authorised, untouched=self._untouched
            )
            self._templates[key] = template
        return template

    def _send_all(self, request: Request, base: str, query: str, control: RequestControl) -> Reply:
        """Send with all that requests does, and once more with renewed credentials if the first are not accepted."""
        template = self._template(request, base)
        prepared = self._prepare(request, template, query, control)
        before = prepared.url, dict(prepared.headers)
        reply = self._exchange(prepared, template, request, control)
        if reply.status != 401 or self._untouched or isinstance(self.session.auth, HTTPDigestAuth):
            return reply
        with self._renewing:
            template = self._template(request, base)
            prepared = self._prepare(request, template, query, control)
        if before == (prepared.url, dict(prepared.headers)):
            return reply
        control.prepare(request.body, stall=request.stall)
        return self._exchange(prepared, template, request, control)

    def _exchange(
        self, prepared: requests.PreparedRequest, template: _Template, request: Request, control: RequestControl
    ) -> Reply:
        # A signer of the request may have read the body.
        control.rewind()
        self._noted.response = None
        connect, read = request.timeout
        with watched(self._pool(prepared, template), control, str(prepared.method), prepared.path_url) as lending:
            if request.body is not None and connect is not None and not (lending and self._sees):
                # It limits each piece of the body, too.
                connect = None if request.stall is None else max(connect, request.stall)
            try:
                response: Any = self._ask(prepared, template, request, timeout=(connect, read))
            except Exception as error:
                response = self._answer_behind(error, prepared)
                if response is None:
                    self._noted.close()
                    raise
            try:
                reply = _reply(response, read)
            except BaseException:
                self._noted.close()
                raise
            if response is not self._noted.response:
                self._noted.close()
        self._sees = control.seen
        return reply

    def _ask(
        self, prepared: requests.PreparedRequest, template: _Template, request: Request, timeout: tuple[Any, Any]
    ) -> Any:
        """Have the session send the request, by its own ``request`` if it has one."""
        session = self.session
        options = {"timeout": timeout, "allow_redirects": False, **template.settings}
        if not _has_own_request(session):
            return session.send(prepared, **options)
        if template.auth is not None and _has(request.headers, "authorization"):
            options["auth"] = template.auth
        hooks = [self._noted, *_listed((session.hooks or {}).get("response")), _unfollowed]
        response: Any = session.request(
            request.method,
            request.url.partition("#")[0],
            # Of an empty stream requests does not know that it has a length.
            data=prepared.body or None,
            headers=dict(request.headers),
            hooks={"response": hooks},
            **options,
        )
        return response.result() if isinstance(response, Future) else response

    def _pool(self, prepared: requests.PreparedRequest, template: _Template) -> Any:
        """Return the pool that the request will use, or None."""
        settings = template.settings
        try:
            adapter: Any = self.session.get_adapter(str(prepared.url))
            return adapter.get_connection_with_tls_context(
                prepared, settings["verify"], proxies=settings["proxies"], cert=settings["cert"]
            )
        except Exception:
            # There is none, or what is wrong with it will be raised by send().
            return None

    def _answer_behind(self, error: Exception, prepared: requests.PreparedRequest) -> requests.Response | None:
        """Find the answer that an exception hides, raised by a hook that looks at the status or by an adapter that gave
        up because of it. Raises NetworkFailure if a hook rejects a success."""
        response = getattr(error, "response", None)
        if isinstance(response, requests.Response):
            asked = getattr(response.request, "url", None)
            if response is not self._noted.response and asked not in (None, prepared.url):
                return None
        elif (status := refusing_status(error)) is not None:
            response = requests.Response()
            response.status_code = status
        elif own_failure(error) or (is_of_network(error) and not isinstance(error, requests.HTTPError)):
            return None
        else:
            response = self._noted.response
        if response is not None and response.status_code < 300:
            said = f"{type(error).__name__}{_colon(own_words(error))}"
            raise NetworkFailure(
                f"the server answered {response.status_code}, but a hook of the session raised {said}",
                permanent=True,
                status=response.status_code,
            )
        return response

    def _prepare(
        self, request: Request, template: _Template, query: str, control: RequestControl
    ) -> requests.PreparedRequest:
        session = self.session
        refuse_unsendable(request.headers)
        body: Any = None if request.body is None else HandedBody(request.body, control)
        if template.whole and not _has_own_request(session):
            whole = requests.Request(request.method, request.url, headers=dict(request.headers), auth=template.auth)
            whole.data = body
            prepared = session.prepare_request(whole)
            _hook_up(prepared, self._noted)
        else:
            prepared = requests.PreparedRequest()
            prepared.method = request.method
            prepared.url = f"{template.url}?{query}" if query else template.url
            prepared.headers = CaseInsensitiveDict(template.prepared.headers)
            prepared.headers.update(request.headers)
            prepared.hooks = template.prepared.hooks
            prepared._cookies = session.cookies  # type: ignore[attr-defined]
            prepared.body = body
            if session.cookies:
                # As in requests: a header that the user gave stays what it is.
                prepared.prepare_cookies(session.cookies)
        for name in ("Content-Length", "Transfer-Encoding"):
            prepared.headers.pop(name, None)
        if request.body is not None:
            prepared.headers["Content-Length"] = str(len(request.body))
        return prepared


def _reply(response: Any, timeout: float | None) -> Reply:
    if not isinstance(getattr(response, "status_code", None), int):
        kind = type(response).__name__
        raise NetworkFailure(f"the session gave {kind} in place of a requests.Response with a status", permanent=True)
    fields = {str(name).lower(): str(value) for name, value in response.headers.items()}
    return read_reply(_Raw(response), fields, response.status_code, timeout)


class _Raw:
    """The body of an answer of requests, read as http.client's is: what has come is returned at once."""

    def __init__(self, response: requests.Response) -> None:
        self._pieces = _pieces(response)
        self.close = response.close

    def read1(self, _size: int) -> bytes:
        return next(self._pieces, b"")


def _pieces(response: requests.Response) -> Iterator[bytes]:
    raw: Any = response.raw
    something = False
    try:
        if reads_at_once(raw):
            while piece := raw.read1(REPLY_LIMIT, decode_content=True):
                something = True
                yield piece
        elif raw is not None:
            # Asking for more at once would wait for it.
            yield from response.iter_content(1)
            response.close()
            return
        if not something:
            # A hook may have read it, or an adapter has made it of nothing else.
            yield response.content or b""
    except (RuntimeError, requests.exceptions.StreamConsumedError):
        # A hook has read it and kept nothing.
        return
