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

import threading
from collections.abc import Callable
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar

from . import congestion
from .base import NetworkFailure, Reply, Request
from .channel import Channel
from .classify import is_of_network, is_passing, type_and_words
from .control import RequestControl
from .template import MOST_TEMPLATES

__all__ = ["RequestsTransport"]


class _Adapter(HTTPAdapter):
    """The adapter of Sessions of our own. Its connections have these options of sockets besides the usual ones."""

    def __init__(self, options: list[tuple[int, int, bytes]], connections: int) -> None:
        usual = urllib3.connection.HTTPConnection.default_socket_options
        self._options: dict[str, Any] = {"socket_options": [*usual, *options]} if options else {}
        super().__init__(MOST_TEMPLATES, connections, max_retries=0)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """See requests."""
        super().init_poolmanager(*arguments, **{**options, **self._options})

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """See requests."""
        return super().proxy_manager_for(proxy, **{**options, **self._options})


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
        self._idle: list[Channel] = []
        self._adapter: HTTPAdapter | None = None
        self._own: list[requests.Session] = []
        # One jar, as in a browser: a balancer's cookie keeps all chunks of a file at one server.
        self._cookies = RequestsCookieJar()

    def send(self, request: Request, control: RequestControl) -> Reply:
        """Send the request; see :class:`Transport`. Connections that have gone stale are replaced, without counting."""
        try:
            channel = self._idle.pop()
        except IndexError:
            channel = Channel(self._session(), self._renewing, self._known, untouched=self._given is None)
        try:
            if request.renew and self._makes_sessions:
                channel = self._replaced(channel)
            reply = channel.send(request, control, stale=self._connections)
            if reply.status != 401:
                channel.welcome = True
            elif channel.welcome and self._makes_sessions:
                # The Session that the factory logged in is no longer logged in.
                channel = self._replaced(channel)
                reply = channel.send(request, control, stale=self._connections)
            return reply
        finally:
            self._idle.append(channel)

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

    def _replaced(self, channel: Channel) -> Channel:
        fresh = Channel(self._session(), self._renewing, self._known, untouched=False)
        with self._lock:
            # One that was closed in the meantime is not there any more.
            self._own = [session for session in self._own if session is not channel.session]
        channel.session.close()
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
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            said = f"the factory given as session raised {type_and_words(error)}"
            raise NetworkFailure(said, permanent=not _may_pass(error)) from None
        if not isinstance(session, requests.Session):
            kind = type(session).__name__
            raise NetworkFailure(f"the factory given as session returned {kind}, no requests.Session", permanent=True)
        return session


def _may_pass(error: BaseException) -> bool:
    """Return whether the next attempt may succeed after this was raised."""
    response = getattr(error, "response", None)
    if isinstance(response, requests.Response):
        return is_passing(response.status_code)
    return is_of_network(error)
