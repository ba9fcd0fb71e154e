"""The transport over requests.

What users configure on their own ``requests.Session`` (auth, cookies, TLS, proxies, adapters, hooks) is honoured,
because every request goes through ``Session.send``. What costs time and does not change is done once per target and
worker: proxies and TLS settings from the environment, netrc, the encoding of the URL, the merged headers.

What requests would get wrong, and how it is prevented:

* its connect timeout caps the sending of a whole body: the connections write piece by piece under a stall limit;
* it follows a redirected POST with a GET: redirects are never followed here;
* closing a Session does not stop a request: the live socket is known to the :class:`Watch` and shut down;
* a kept-alive connection that the server closed meanwhile fails the next POST: that is sent once more, at once;
* an answer may go on for ever: 64 KiB of it are read, within the read timeout;
* .netrc replaces an Authorization header, REQUESTS_CA_BUNDLE beats ``session.verify``: the user's own choice wins.
"""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3.connection
import urllib3.exceptions
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers, get_netrc_auth

from .base import REPLY_LIMIT, NetworkFailure, Reply, Request, SourceFailure, Stopped, Watch

__all__ = ["RequestsTransport"]

_current = threading.local()

_BROKEN = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError, ConnectionAbortedError,
           ssl.SSLEOFError)
_UNUSABLE = (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader, requests.exceptions.InvalidSchema,
             requests.exceptions.MissingSchema, urllib3.exceptions.LocationValueError, UnicodeError)


class _Watched:
    """A connection that writes through the watch of the request that its thread performs."""

    sock: Any

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        watch = getattr(_current, "watch", None)
        if watch is not None:
            watch.opened()

    def send(self, data: Any) -> None:
        watch = getattr(_current, "watch", None)
        if watch is None:
            super().send(data)  # type: ignore[misc]
            return
        if self.sock is None:
            self.connect()
        watch.write(self.sock, data)

    def getresponse(self) -> Any:
        watch = getattr(_current, "watch", None)
        if watch is not None:
            watch.written()
        return super().getresponse()  # type: ignore[misc]


class _WatchedHTTP(_Watched, urllib3.connection.HTTPConnection):
    pass


class _WatchedHTTPS(_Watched, urllib3.connection.HTTPSConnection):
    pass


_WATCHED = {urllib3.connection.HTTPConnection: _WatchedHTTP, urllib3.connection.HTTPSConnection: _WatchedHTTPS}


class RequestsTransport:
    """Sends through requests.

    ``session`` is None for Sessions of our own (one a worker, over one pool of connections), a ``requests.Session``
    that all workers share, or a factory that is called once a worker. Nothing is opened before the first request.
    """

    def __init__(self, session: Any = None, *, connections: int = 3) -> None:
        self._given = session
        self._connections = connections
        self._local = threading.local()
        self._lock = threading.Lock()
        self._adapter: HTTPAdapter | None = None
        self._own: list[requests.Session] = []

    def send(self, request: Request, watch: Watch) -> Reply:
        """The answer; see :class:`Transport`. A connection that had gone stale is replaced, once."""
        lane = self._lane()
        try:
            return lane.send(request, watch)
        except _Stale:
            return lane.send(request, watch)

    def close(self) -> None:
        """No idle connection of ours is left open; a Session that was given is left alone."""
        with self._lock:
            own, self._own, self._adapter = self._own, [], None
        for session in own:
            session.close()

    def _lane(self) -> _Lane:
        lane: _Lane | None = getattr(self._local, "lane", None)
        if lane is None:
            lane = self._local.lane = _Lane(self._session())
        return lane

    def _session(self) -> requests.Session:
        if isinstance(self._given, requests.Session):
            return self._given
        if self._given is not None:
            session = self._given()
            with self._lock:
                self._own.append(session)
            return session  # type: ignore[no-any-return]
        session = requests.Session()
        with self._lock:
            if self._adapter is None:
                self._adapter = HTTPAdapter(self._connections, self._connections, max_retries=0)
            session.mount("http://", self._adapter)
            session.mount("https://", self._adapter)
            self._own.append(session)
        return session


class _Stale(Exception):
    """A reused connection was closed before it answered."""


class _Template:
    """What the requests of one method to one URL (without its query) share."""

    def __init__(self, session: requests.Session, method: str, url: str, *, authorised: bool) -> None:
        self.auth: Any = None
        if session.auth is None:
            self.auth = (get_netrc_auth(url) if session.trust_env and not authorised else None) or _as_it_is
        self.prepared = session.prepare_request(requests.Request(method, url, auth=self.auth))
        verify = None if session.verify is True else session.verify
        self.settings: dict[str, Any] = dict(session.merge_environment_settings(url, {}, True, verify, None))
        self.url = self.prepared.url or url
        adapter = session.get_adapter(self.url)
        if isinstance(adapter, HTTPAdapter):
            pool: Any = adapter.get_connection_with_tls_context(
                self.prepared, self.settings["verify"], proxies=self.settings["proxies"], cert=self.settings["cert"]
            )
            watched = _WATCHED.get(pool.ConnectionCls)
            if watched is not None:
                pool.ConnectionCls = watched


def _as_it_is(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
    """An auth that adds nothing, and keeps requests from looking into .netrc."""
    return prepared


class _Lane:
    """One worker's way to the network."""

    def __init__(self, session: requests.Session) -> None:
        self._session = session
        self._templates: dict[tuple[str, str, bool], _Template] = {}

    def send(self, request: Request, watch: Watch) -> Reply:
        body = request.body
        watch.arm(stall=request.timeout[1], overhead=body.overhead if body is not None else 0)
        _current.watch = watch
        response = None
        try:
            prepared, settings = self._prepare(request)
            response = self._session.send(
                prepared, timeout=request.timeout, allow_redirects=False, **settings
            )
            return _reply(response, request.timeout[1])
        except (Stopped, SourceFailure):
            raise
        except Exception as error:
            if watch.stopped:
                raise Stopped from error
            if not watch.fresh and response is None and any(isinstance(link, _BROKEN) for link in _chain(error)):
                raise _Stale from error
            raise _failure(error) from error
        finally:
            _current.watch = None
            watch.done()

    def _prepare(self, request: Request) -> tuple[requests.PreparedRequest, dict[str, Any]]:
        session = self._session
        base, question_mark, query = request.url.partition("#")[0].partition("?")
        authorised = any(name.lower() == "authorization" for name in request.headers)
        key = (request.method, base, authorised)
        template = self._templates.get(key)
        if template is None:
            if len(self._templates) > 64:
                self._templates.clear()
            template = self._templates[key] = _Template(session, request.method, base, authorised=authorised)
        if session.params or (session.auth is not None and not isinstance(session.auth, tuple)):
            # Auth objects may sign the whole request, and parameters belong into each URL.
            whole = requests.Request(request.method, request.url, headers=dict(request.headers), auth=template.auth)
            whole.data = request.body
            return session.prepare_request(whole), template.settings
        prepared = requests.PreparedRequest()
        prepared.method = request.method
        prepared.url = template.url + question_mark + query
        prepared.headers = CaseInsensitiveDict(template.prepared.headers)
        prepared.headers.update(request.headers)
        prepared.hooks = template.prepared.hooks
        if request.body is not None:
            prepared.body = request.body  # type: ignore[assignment]
            prepared.headers["Content-Length"] = str(len(request.body))
        if len(session.cookies):
            prepared.headers.pop("Cookie", None)
            prepared.prepare_cookies(session.cookies)
        return prepared, template.settings


def _reply(response: requests.Response, timeout: float | None) -> Reply:
    deadline = None if timeout is None else time.monotonic() + timeout
    raw: Any = response.raw
    read: Callable[..., bytes] = getattr(raw, "read1", raw.read)
    pieces = []
    size = 0
    while size <= REPLY_LIMIT:
        piece = read(REPLY_LIMIT, decode_content=True)
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
        if deadline is not None and time.monotonic() > deadline:
            response.close()
            raise NetworkFailure(f"the answer was not over after {timeout:g} s")
    if size > REPLY_LIMIT:
        response.close()
    encoding = get_encoding_from_headers(response.headers) or "utf-8"
    content = b"".join(pieces)[:REPLY_LIMIT]
    try:
        text = content.decode(encoding, "replace")
    except LookupError:
        text = content.decode("utf-8", "replace")
    return Reply(response.status_code, {name.lower(): value for name, value in response.headers.items()}, text)


def _failure(error: Exception) -> NetworkFailure:
    """The failure in one sentence, and whether it can pass."""
    links = list(_chain(error))
    if isinstance(error, NetworkFailure):
        return error
    for link in links:
        if isinstance(link, ssl.SSLCertVerificationError):
            return NetworkFailure(f"the server's certificate is not trusted: {link.verify_message}", permanent=True)
    for link in links:
        if isinstance(link, ssl.SSLError) and not isinstance(link, ssl.SSLEOFError) and link.reason in _NOT_TLS:
            return NetworkFailure(f"the server does not speak TLS here, or not with us: {link.reason}", permanent=True)
    if isinstance(error, _UNUSABLE):
        return NetworkFailure(f"the request cannot be sent: {_first_line(error)}", permanent=True)
    if isinstance(error, requests.exceptions.ProxyError):
        refused = any("407" in str(link) for link in links)
        reason = _first_line(links[-1])
        return NetworkFailure(f"the proxy failed: {reason}", permanent=refused, status=407 if refused else None)
    if isinstance(error, (requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError)):
        return NetworkFailure("the server did not answer in time")
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return NetworkFailure("no connection came about in time")
    unknown = any(isinstance(link, urllib3.exceptions.NameResolutionError) for link in links)
    if unknown:
        host = urlsplit(getattr(getattr(error, "request", None), "url", "") or "").hostname
        return NetworkFailure(f"the host {host!r} is unknown", hopeless=True)
    for link in reversed(links):
        if isinstance(link, (OSError, http.client.HTTPException)) and not isinstance(link, requests.RequestException):
            return NetworkFailure(_first_line(link) or type(link).__name__)
    return NetworkFailure(f"{type(error).__name__}: {_first_line(error)}")


_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE",
                      "TLSV1_ALERT_PROTOCOL_VERSION", "TLSV13_ALERT_CERTIFICATE_REQUIRED",
                      "SSLV3_ALERT_HANDSHAKE_FAILURE", "HTTPS_PROXY_REQUEST", "RECORD_LAYER_FAILURE"})


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception and everything it was made of, outermost first."""
    seen: set[int] = set()
    pending: list[BaseException] = [error]
    while pending:
        link = pending.pop(0)
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        inner = [link.__cause__, link.__context__, getattr(link, "reason", None), *link.args]
        pending.extend(item for item in inner if isinstance(item, BaseException))


def _first_line(error: BaseException) -> str:
    strerror = getattr(error, "strerror", None)
    return str(strerror) if strerror else (str(error).splitlines() or [""])[0][:300]
