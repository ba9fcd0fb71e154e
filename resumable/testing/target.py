"""A server to check, and requests to it that are written by hand.

Nothing here is shared with the client of this package but the names of the parameters, so that an error of the client
cannot hide the same error of a server.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

import requests
from requests.utils import get_netrc_auth, select_proxy
from urllib3.exceptions import ProtocolError

from ..errors import OptionError, UnknownOption, redact_url
from ..options import OPTIONS
from ..protocol.acceptance import Acceptance, judge, quoted
from ..protocol.pages import one_line
from ..protocol.parameters import ParameterNames
from ..protocol.retry_after import parse_retry_after
from ..special_files import refuse_special_file
from ..transport.base import NetworkFailure
from ..transport.classify import is_refused, network_failure
from ..validators import Invalid
from .files import ServerFiles
from .final_answers import FinalAnswers

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["CHUNK_SIZE", "Answer", "Body", "Pairs", "Target"]

Pairs = Iterable[tuple[str, str]]
Body = Callable[[bytes], Any]
"""Makes what is sent out of the bytes of a body."""

CHUNK_SIZE = 32 * 1024
"""The size of the chunks of the checks in bytes, unless another one is asked for."""

_NAMES = {field: f"{field}_parameter_name" for field in ParameterNames._fields[:10]}
_MOST = 64 * 1024

_BUSY = (429, 503)
"""The statuses of a server that limits how fast clients may ask, or has no room at the moment."""
_REPEATS = 3
_PAUSE = 1.0
_LONGEST_PAUSE = 60.0
_MOST_IN_VAIN = 3
"""Requests that a server has refused although they waited; after that none waits any more."""


class Answer(NamedTuple):
    """What the server answered. ``asked`` says to what; ``text`` is the beginning of the body."""

    asked: str
    status: int
    text: str
    accepted: bool
    """Whether a client takes it for success: by the status, and by a body that says otherwise under such a status."""

    def __str__(self) -> str:
        said = one_line(self.text)
        return f"{self.asked} → {self.status}{' ' + quoted(said) if said else ''}"


class Target:
    """A server to check. The options are those of :class:`~resumable.Resumable`; those that are not about the wire
    change nothing.

    ``files`` is where the server puts finished files, if it can be seen from here: a directory, or a function that
    returns whether a file with these bytes is there. Without it, the checks believe what the server answers.
    ``patience`` is how long to wait for a file that the server has acknowledged, in seconds. ``rounds`` is how often
    requests are sent at the same time, because what goes wrong then does not go wrong each time.
    """

    def __init__(
        self,
        url: str,
        *,
        files: str | Path | Callable[[bytes], bool] | None = None,
        patience: float = 2.0,
        rounds: int = 5,
        chunk_size: int = CHUNK_SIZE,
        timeout: float | tuple[float, ...] = (10.0, 60.0),
        parameter_namespace: str = "",
        **options: Any,
    ) -> None:
        for name in options:
            if name not in OPTIONS:
                raise UnknownOption(name, get_close_matches(name, OPTIONS))
        try:
            OPTIONS["target"].check(url)
        except Invalid:
            raise OptionError("url", url, "an http:// or https:// URL") from None
        if chunk_size < 16:
            raise OptionError("chunk_size", chunk_size, "16 or more: the checks cut chunks into parts")
        self.url = url
        self.chunk_size = chunk_size
        self.rounds = rounds
        self.names = ParameterNames(
            **{field: options.get(name, OPTIONS[name].default) for field, name in _NAMES.items()},
            namespace=parameter_namespace,
        )
        self.method: str = self._option(options, "method")
        self.params_in: str = self._option(options, "params_in")
        self.permanent_errors: frozenset[int] = frozenset(self._option(options, "permanent_errors"))
        self._files = ServerFiles(files, patience)
        self.directory = self._files.directory
        self.sent: dict[str, bool] = {}
        """The names of all files of which something may be at the server, and whether all of it is."""
        self.unanswered = 0
        """How many requests the server has left without an answer in time, or could not be made because it was gone."""
        self.answered: set[int] = set()
        """The statuses with which it has answered uploads."""
        self._in_vain = 0
        self._timeout = (timeout[0], timeout[-1]) if isinstance(timeout, tuple) else (timeout, timeout)
        self._query: Mapping[str, str] = self._option(options, "query") or {}
        self._headers = self._option(options, "headers") or {}
        self._test_target: str = self._option(options, "test_target") or url
        self._test_method: str = self._option(options, "test_method")
        self._upload_method: str = self._option(options, "upload_method")
        self._success = frozenset(self._option(options, "success_statuses"))
        self._session = _client()
        # What the environment says about proxies, certificates and users is looked up once, not for each request.
        self._settings = self._session.merge_environment_settings(url, {}, None, None, None)
        self._proxy: str | None = select_proxy(url, self._settings["proxies"])
        refuse_special_file(os.environ.get("NETRC", os.path.expanduser("~/.netrc")))
        self._session.auth = get_netrc_auth(url)
        self._session.trust_env = False

    @staticmethod
    def _option(options: Mapping[str, Any], name: str) -> Any:
        return options.get(name, OPTIONS[name].default)

    def close(self) -> None:
        """Close the connections. The end of a ``with`` block does that, too."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def other_client(self) -> requests.Session:
        """Return a client that the server has not met: it has other connections, and no cookies."""
        session = _client()
        session.auth, session.trust_env = self._session.auth, False
        return session

    def same_client(self) -> requests.Session:
        """Return a client with another connection and the same cookies."""
        session = self.other_client()
        session.cookies.update(self._session.cookies)
        return session

    def test(self, asked: str, parameters: Pairs, session: requests.Session | None = None) -> Answer:
        """Ask for a chunk. Raises requests.RequestException."""
        url = _with_query(self._test_target, [*self._query.items(), *parameters])
        request = requests.Request(self._test_method, url, headers=self._sent_headers())
        return self._answer(f"{self._test_method} {asked}", request, session)

    def upload(
        self,
        asked: str,
        parameters: Pairs,
        data: bytes | None,
        file_name: str,
        *,
        params_in: str | None = None,
        method: str | None = None,
        body: Body | None = None,
        session: requests.Session | None = None,
    ) -> Answer:
        """Send a chunk, or a form without one if ``data`` is None. Raises requests.RequestException."""
        octet = (method or self.method) == "octet"
        where = "query" if octet else params_in or self.params_in
        # A query of the user's own goes wherever the parameters go.
        pairs = [*parameters, *self._query.items()]
        headers = self._sent_headers()
        url = _with_query(self.url, pairs if where != "form" else [])
        request = requests.Request(self._upload_method, url, headers=headers)
        if octet:
            request.headers = {"Content-Type": "application/octet-stream", **headers}
            request.data = data or b""
        else:
            # A plain field is a part without a file name.
            parts: list[Any] = [(name, (None, value)) for name, value in pairs] if where != "query" else []
            if data is not None:
                field = self.names.namespace + self.names.file
                parts.append((field, (file_name, data, "application/octet-stream")))
            request.files = parts or [("nothing", (None, ""))]
        known = file_name in self.sent
        # Something may be stored, even if no answer comes or it is not understood.
        self.sent.setdefault(file_name, False)
        answer = self._answer(f"{self._upload_method} {asked}", request, session, body)
        if not known and 400 <= answer.status < 500:
            self.sent.pop(file_name, None)
        self.answered.add(answer.status)
        return answer

    @property
    def sees_files(self) -> bool:
        """Whether it is known which files are at the server."""
        return self._files.visible

    def has(self, content: bytes) -> bool:
        """Return whether a file with these bytes is at the server, or cannot be looked for. Waits for it a little."""
        return self._files.has(content)

    def remove(self) -> int:
        """Remove from the directory what the checks have left there, and return how many files that were."""
        return self._files.remove(self.sent)

    def failure(self, error: requests.RequestException, *, begun: bool = True) -> NetworkFailure:
        """Return why a request had no answer, as a sentence. ``begun``: the server was there before."""
        if isinstance(error, requests.exceptions.ContentDecodingError):
            return NetworkFailure("its body is not in the coding that its Content-Encoding names")
        begun = begun or isinstance(error, requests.ReadTimeout)
        return network_failure(error, self.url, self._proxy, begun=begun)

    def _sent_headers(self) -> dict[str, str]:
        given = self._headers(None, None) if callable(self._headers) else self._headers
        return {str(name): str(value) for name, value in given.items()}

    def _answer(
        self, asked: str, request: requests.Request, session: requests.Session | None, body: Body | None = None
    ) -> Answer:
        client = session or self._session
        try:
            answer, pause = self._answered(asked, request, client, body)
            # What is cut, or waits for others, is sent once.
            patient = body is None and self._in_vain < _MOST_IN_VAIN
            for _ in range(_REPEATS if patient else 0):
                if pause is None:
                    break
                threading.Event().wait(pause)
                answer, pause = self._answered(asked, request, client, body)
            self._in_vain += patient and pause is not None
            return answer
        except requests.RequestException as error:
            # A connection that breaks later may do so because of this one request.
            self.unanswered += isinstance(error, requests.Timeout) or is_refused(error)
            raise

    def _answered(
        self, asked: str, request: requests.Request, client: requests.Session, body: Body | None
    ) -> tuple[Answer, float | None]:
        """Return the answer, and after how many seconds clients ask again; None if they do not, or only after long."""
        prepared = client.prepare_request(request)
        if body is not None:
            assert isinstance(prepared.body, bytes)
            prepared.body = body(prepared.body)
        try:
            try:
                response = self._sent(prepared, client)
            except requests.ConnectionError as error:
                if body is not None or not _is_dropped(error):
                    raise
                # Servers close connections that they have kept, and this request may have been on its way then.
                response = self._sent(prepared, client)
        except ValueError as error:
            # requests looks at a redirect even if it does not follow it.
            raise requests.RequestException(f"the answer is a redirect to no URL: {error}") from error
        with response:
            content, cut = self._content(response)
        text = content.decode("utf-8", "replace")
        accepted = response.status_code in self._success and judge(text, cut=cut).acceptance is not Acceptance.REFUSED
        if 300 <= response.status_code < 400 and "Location" in response.headers:
            text = f"to {redact_url(response.headers['Location'])}"
        return Answer(asked, response.status_code, text, accepted), self._pause(response)

    def _sent(self, prepared: requests.PreparedRequest, client: requests.Session) -> requests.Response:
        settings: dict[str, Any] = {**self._settings, "stream": True}
        return client.send(prepared, timeout=self._timeout, allow_redirects=False, **settings)

    def _pause(self, response: requests.Response) -> float | None:
        if response.status_code not in _BUSY or response.status_code in self.permanent_errors:
            return None
        said = parse_retry_after(response.headers.get("Retry-After", ""), time.time())
        pause = _PAUSE if said is None else said
        return pause if pause <= _LONGEST_PAUSE else None

    def _content(self, response: requests.Response) -> tuple[bytes, bool]:
        """Return the body of the answer, and whether it was cut. Raises requests.ReadTimeout if it does not end."""
        deadline = time.monotonic() + (self._timeout[1] or math.inf)
        content = bytearray()
        # A larger piece would be waited for, however slowly it comes.
        for byte in response.iter_content(1):
            if len(content) == _MOST:
                return bytes(content), True
            if time.monotonic() > deadline:
                raise requests.ReadTimeout("the answer does not end")
            content += byte
        return bytes(content), False

    def succeeded(self, answer: Answer) -> bool:
        """Return whether a browser takes the answer for success, which looks at the status alone."""
        return answer.status in self._success


def _client() -> requests.Session:
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, FinalAnswers())
    return session


def _is_dropped(error: requests.ConnectionError) -> bool:
    """Return whether the connection ended without any answer."""
    cause = error.args[0] if error.args else None
    return isinstance(cause, ProtocolError) and isinstance(cause.args[-1], ConnectionError)


def _with_query(url: str, pairs: Pairs) -> str:
    query = urlencode(list(pairs), quote_via=quote)
    url, hash_sign, fragment = url.partition("#")
    return f"{url}{('&' if '?' in url else '?') if query else ''}{query}{hash_sign}{fragment}"
