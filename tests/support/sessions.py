"""Sessions of requests as users have them: each is a context that gives what goes into the option ``session``."""

from __future__ import annotations

import http.client
import io
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cachecontrol
import requests
import vcr
from requests.adapters import BaseAdapter, HTTPAdapter
from requests_toolbelt.adapters.socket_options import TCPKeepAliveAdapter
from requests_unixsocket import UnixAdapter
from urllib3.connection import HTTPConnection
from urllib3.util.retry import Retry

__all__ = ["WAYS", "Way", "WithoutUrllib3", "mounted"]

Way = Callable[[str, Path], AbstractContextManager[Any]]
"""Called with the URL of the server and a directory."""


class WithoutUrllib3(BaseAdapter):
    """An adapter that sends with http.client alone, all of the body at once, and knows no pools."""

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        parts = urlsplit(request.url or "")
        connection = http.client.HTTPConnection(parts.netloc, timeout=timeout[1])
        try:
            body = None if request.body is None else b"".join(request.body)  # type: ignore[arg-type]
            connection.request(request.method or "", request.path_url, body, dict(request.headers))
            answer = connection.getresponse()
            content = answer.read()
        except TimeoutError as error:
            raise requests.ReadTimeout(request=request) from error
        except (OSError, http.client.HTTPException) as error:
            raise requests.ConnectionError(error, request=request) from error
        finally:
            connection.close()
        response = requests.Response()
        response.status_code = answer.status
        response.headers.update(answer.headers)
        response.raw = io.BytesIO(content)
        response.url = request.url or ""
        response.request = request
        response.connection = self  # type: ignore[attr-defined]
        return response

    def close(self) -> None:
        """Nothing is open between requests."""


class _ByAnotherThread(HTTPAdapter):
    """An adapter that has each request made by a thread of its own, as those do that give it a time limit."""

    def send(self, *arguments: Any, **options: Any) -> requests.Response:
        came: list[Any] = []

        def work() -> None:
            try:
                came.append(super(_ByAnotherThread, self).send(*arguments, **options))
            except Exception as error:
                came.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join()
        if isinstance(came[0], Exception):
            raise came[0]
        response: requests.Response = came[0]
        return response


class _WithToken(requests.Session):
    """A session that adds its token in ``request``, and renews it there, as those of OAuth 2 do."""

    token = 0

    def request(self, method: Any, url: Any, data: Any = None, headers: Any = None, **options: Any) -> Any:
        def send() -> requests.Response:
            given = {**(headers or {}), "Authorization": f"Bearer {self.token}"}
            return super(_WithToken, self).request(method, url, data=data, headers=given, **options)

        response = send()
        if response.status_code == 401:
            self.token += 1
            response = send()
        return response


@contextmanager
def with_token(_url: str, _path: Path) -> Iterator[_WithToken]:
    with _WithToken() as session:
        yield session


class _Counting(HTTPConnection):
    """A connection of a plugin, which does something with all that is sent."""

    def send(self, data: Any) -> None:
        super().send(data)


def mounted(make: Callable[[], BaseAdapter]) -> Way:
    """A session with the adapter that ``make`` returns."""

    @contextmanager
    def way(_url: str, _path: Path) -> Iterator[requests.Session]:
        with requests.Session() as session:
            session.mount("http://", make())
            yield session

    return way


@contextmanager
def fresh(_url: str, _path: Path) -> Iterator[requests.Session]:
    """One that nobody has used."""
    with requests.Session() as session:
        yield session


@contextmanager
def used(url: str, _path: Path) -> Iterator[requests.Session]:
    """One that has asked the server for something, and keeps the connection."""
    with requests.Session() as session:
        session.head(url)
        yield session


@contextmanager
def shared(url: str, _path: Path) -> Iterator[requests.Session]:
    """One that another thread goes on using meanwhile."""
    over = threading.Event()
    failures: list[Exception] = []

    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(pool_maxsize=2))
        session.head(url)

        def use() -> None:
            while not over.is_set():
                try:
                    assert session.head(url, timeout=60).ok
                except Exception as error:
                    failures.append(error)
                over.wait(0.005)

        thread = threading.Thread(target=use)
        thread.start()
        try:
            yield session
        finally:
            over.set()
            thread.join()
    assert not failures


@contextmanager
def blocking(url: str, _path: Path) -> Iterator[requests.Session]:
    """One with a single connection, for which every thread has to wait."""
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(pool_maxsize=1, pool_block=True))
        session.head(url)
        yield session


@contextmanager
def factory(url: str, _path: Path) -> Iterator[Callable[[], requests.Session]]:
    """A factory that logs in."""

    def make() -> requests.Session:
        session = requests.Session()
        session.head(url)
        return session

    yield make


@contextmanager
def cached(url: str, _path: Path) -> Iterator[requests.Session]:
    """One that keeps answers."""
    with requests.Session() as session:
        yield cachecontrol.CacheControl(session)


@contextmanager
def recorded(url: str, path: Path) -> Iterator[requests.Session]:
    """One whose requests go through VCR, after one that did not."""
    with requests.Session() as session:
        session.head(url)
        recorder = vcr.VCR(record_mode="new_episodes", match_on=["method", "uri"])
        with recorder.use_cassette(str(path / "cassette.yaml")):
            yield session


@contextmanager
def unix(url: str, path: Path) -> Iterator[requests.Session]:
    """One that can be sent through a socket in the file system."""
    with requests.Session() as session:
        session.mount("http+unix://", UnixAdapter())
        yield session


@contextmanager
def own_connections(url: str, path: Path) -> Iterator[requests.Session]:
    """One whose connections are of a class of somebody else."""
    with requests.Session() as session:
        adapter = HTTPAdapter()
        session.mount("http://", adapter)
        prepared = requests.Request("POST", url).prepare()
        adapter.get_connection_with_tls_context(prepared, True).ConnectionCls = _Counting
        yield session


WAYS: dict[str, Way] = {
    "fresh": fresh,
    "used": used,
    "shared": shared,
    "blocking": blocking,
    "factory": factory,
    "cached": cached,
    "recorded": recorded,
    "own connections": own_connections,
    "toolbelt": mounted(TCPKeepAliveAdapter),
    "retrying": mounted(lambda: HTTPAdapter(max_retries=Retry(2, allowed_methods=None, status_forcelist=[418]))),
    "without urllib3": mounted(WithoutUrllib3),
    "another thread": mounted(_ByAnotherThread),
    "with token": with_token,
}
