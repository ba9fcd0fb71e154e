"""Send the requests of one Session, one at a time, and find the answer whatever adapters, mocks and hooks do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPDigestAuth
from requests.structures import CaseInsensitiveDict

from .base import REPLY_LIMIT, NetworkFailure, Reply, Request, SourceFailure, Stopped
from .body import HandedBody
from .classify import (
    is_broken,
    is_of_network,
    is_passing,
    may_be_wrong_scheme,
    network_failure,
    own_failure,
    refusing_status,
    type_and_words,
    wrong_scheme,
)
from .connections import reads_at_once, watched
from .control import RequestControl
from .fast_path import refuse_unsendable
from .response import read_reply
from .scheme_probe import speaks_other_scheme
from .template import (
    MOST_TEMPLATES,
    RequestTemplate,
    has_header,
    has_own_request,
    hook_up,
    is_untampered,
    listed,
    settings_of,
    unfollowed,
)

__all__ = ["Channel"]


class _Stale(NetworkFailure):
    """A reused connection was closed before it answered."""

    stale = True


class _Kept:
    """Keeps the answer as it came, whatever hooks make of it. Called as the first of them."""

    response: requests.Response | None = None

    def __call__(self, response: requests.Response, **_: Any) -> None:
        self.response = response

    def close(self) -> None:
        """Free the connection of an answer that will not be read."""
        if self.response is not None:
            self.response.close()


class Channel:
    """A Session and its templates, for one request at a time."""

    def __init__(
        self, session: requests.Session, renewing: threading.Lock, known: set[tuple[str, ...]], *, untouched: bool
    ) -> None:
        self.session = session
        self.welcome = False
        self._renewing = renewing
        self._known = known
        self._untouched = untouched
        self._templates: dict[tuple[str, str, bool], RequestTemplate] = {}
        self._sees = True
        self._noted = _Kept()

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
                if template.fast_path is not None and not self.session.cookies and is_untampered():
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
            if stale == 0 or not isinstance(failure, _Stale) or (control.whole and not request.replay):
                raise failure
            stale -= 1

    def _failure(
        self, error: Exception, request: Request, template: RequestTemplate | None, control: RequestControl
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
            words = type_and_words(error, self._secrets(request))
            own = NetworkFailure(
                f"auth or a hook of the session raised {words}",
                permanent=not is_passing(response.status_code),
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

    def _speaks_other_scheme(self, error: Exception, template: RequestTemplate) -> bool:
        """Return whether the server speaks the other one of http:// and https://. It is asked once, unless it has
        answered before, or something else than our own connections leads to it."""
        if template.place in self._known or template.proxy is not None or not is_untampered():
            return False
        scheme = template.place[0]
        adapter: Any = self.session.get_adapter(template.url)
        if type(adapter).send is not HTTPAdapter.send or not may_be_wrong_scheme(error, scheme):
            return False
        self._known.add(template.place)
        return speaks_other_scheme(template.url)

    def _secrets(self, request: Request) -> list[str]:
        """Return what the text of an exception must not show: values of headers, and credentials without a scheme."""
        values = [str(value) for headers in (request.headers, self.session.headers or {}) for value in headers.values()]
        return [part for value in values for part in (value.strip(), value.split(" ")[-1].strip()) if len(part) > 3]

    def _template(self, request: Request, base: str) -> RequestTemplate:
        authorised = "authorization" in map(str.lower, request.headers)
        key = (request.method, base, authorised)
        template = self._templates.get(key)
        if template is None or not (self._untouched or template.settings_then == settings_of(self.session)):
            if len(self._templates) >= MOST_TEMPLATES:
                self._templates.clear()
            template = RequestTemplate(
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
        self, prepared: requests.PreparedRequest, template: RequestTemplate, request: Request, control: RequestControl
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
        self, prepared: requests.PreparedRequest, template: RequestTemplate, request: Request, timeout: tuple[Any, Any]
    ) -> Any:
        """Have the session send the request, by its own ``request`` if it has one."""
        session = self.session
        options = {"timeout": timeout, "allow_redirects": False, **template.settings}
        if not has_own_request(session):
            return session.send(prepared, **options)
        if template.auth is not None and has_header(request.headers, "authorization"):
            options["auth"] = template.auth
        hooks = [self._noted, *listed((session.hooks or {}).get("response")), unfollowed]
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

    def _pool(self, prepared: requests.PreparedRequest, template: RequestTemplate) -> Any:
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
            said = type_and_words(error)
            raise NetworkFailure(
                f"the server answered {response.status_code}, but a hook of the session raised {said}",
                permanent=True,
                status=response.status_code,
            )
        return response

    def _prepare(
        self, request: Request, template: RequestTemplate, query: str, control: RequestControl
    ) -> requests.PreparedRequest:
        session = self.session
        refuse_unsendable(request.headers)
        body: Any = None if request.body is None else HandedBody(request.body, control)
        if template.whole and not has_own_request(session):
            whole = requests.Request(request.method, request.url, headers=dict(request.headers), auth=template.auth)
            whole.data = body
            prepared = session.prepare_request(whole)
            hook_up(prepared, self._noted)
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
