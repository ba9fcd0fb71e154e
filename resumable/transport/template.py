"""What all requests of a Session to one URL have in common, made once.

That takes most of the time that requests needs for a small request: proxies and TLS settings from the environment,
netrc, the encoding of the URL, the merged headers.
"""

from __future__ import annotations

import contextlib
import functools
import os
import types
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.cookies import MockRequest, MockResponse
from requests.structures import CaseInsensitiveDict
from requests.utils import get_auth_from_url, get_netrc_auth, select_proxy

from ..special_files import refuse_special_file
from .connections import can_read
from .fast_path import FastPath

__all__ = [
    "MOST_TEMPLATES",
    "RequestTemplate",
    "has_header",
    "has_own_request",
    "hook_up",
    "is_untampered",
    "listed",
    "settings_of",
    "unfollowed",
]

MOST_TEMPLATES = 64
"""Templates that are kept, for as many URLs."""


class _Unfollowed:
    """An answer that requests does not follow: of a redirect it would read all of the body, whatever its size."""

    is_redirect = False


@functools.lru_cache(MOST_TEMPLATES)
def _unfollowed_kind(kind: Any) -> Any:
    return type(kind.__name__, (_Unfollowed, kind), {})


def unfollowed(response: Any, **_: Any) -> None:
    """Keep requests from following a redirect. Called as the last hook."""
    if getattr(response, "is_redirect", False):
        with contextlib.suppress(TypeError):
            response.__class__ = _unfollowed_kind(type(response))  # type: ignore[arg-type]


def is_untampered() -> bool:
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


class RequestTemplate:
    """What all requests of one method to one URL (without its query) have in common."""

    def __init__(
        self, session: requests.Session, method: str, url: str, note: Any, *, authorised: bool, untouched: bool
    ) -> None:
        self.settings_then = settings_of(session)
        self.auth = _auth(session, url, authorised=authorised) if session.auth is None else None
        signs = session.auth is not None and not isinstance(session.auth, tuple)
        # An auth object may sign the whole request, and parameters belong into each URL.
        self.whole = signs or bool(session.params)
        auth = _as_it_is if signs else self.auth
        self.prepared = session.prepare_request(requests.Request(method, url, auth=auth))
        if not has_header(session.headers, "cookie"):
            # Those of the jar are asked for at each request.
            self.prepared.headers.pop("Cookie", None)
        hook_up(self.prepared, note)
        self.url = self.prepared.url or url
        self.place = tuple(urlsplit(self.url)[:2])
        verify = None if session.verify is True else session.verify
        self.settings: dict[str, Any] = dict(session.merge_environment_settings(url, {}, True, verify, None))
        _refuse_special_files(self.settings["verify"], self.settings["cert"])
        self.settings["proxies"] = {**self.settings["proxies"], **(session.proxies or {})}
        self.proxy = select_proxy(self.url, self.settings["proxies"])
        self.fast_path: FastPath | None = None
        if untouched and self.proxy is None and can_read() and is_untampered():
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


def hook_up(prepared: requests.PreparedRequest, note: Any) -> None:
    """Have the first hook of the request note its answer, and the last keep requests from following it."""
    hooks = prepared.hooks["response"]
    hooks.insert(0, note)
    hooks.append(unfollowed)


def has_header(headers: Iterable[Any] | None, name: str) -> bool:
    """Return whether a header of this name, in lower case, is among the names."""
    return any(str(given).lower() == name for given in headers or ())


def has_own_request(session: requests.Session) -> bool:
    """Return whether the session has its own ``request``, as those of OAuth 2 have: it adds a token, and renews it."""
    return "request" in vars(session) or type(session).request is not requests.Session.request


def listed(hooks: Any) -> list[Any]:
    """Return the hooks of a Session, which may be one, several or None, as a list."""
    return [hooks] if callable(hooks) else list(hooks or ())


def settings_of(session: requests.Session) -> Any:
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
    if authorised or has_header(session.headers, "authorization"):
        return _as_it_is
    if user or password:
        return requests.auth.HTTPBasicAuth(user, password)
    if not session.trust_env:
        return _as_it_is
    _refuse_special_files(os.environ.get("NETRC", os.path.expanduser("~/.netrc")))
    return get_netrc_auth(url) or _as_it_is


def _refuse_special_files(*named: Any) -> None:
    """Raise OSError if one of the files that would be opened is a FIFO or the like. Others are no paths, or tuples."""
    for each in named:
        for path in each if isinstance(each, tuple) else (each,):
            try:
                if isinstance(path, (str, os.PathLike)):
                    refuse_special_file(path)
            except OSError as error:
                # Without a number it is a mistake, which no later attempt mends.
                raise OSError(f"{path!r} cannot be read: {error.strerror}") from None


def _as_it_is(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
    """Add no credentials, and keep requests from looking into .netrc."""
    return prepared
