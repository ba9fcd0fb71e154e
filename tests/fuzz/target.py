"""What is fuzzed: the path of a request through the WSGI application into a store, and what may come of it.

An input is one or more HTTP requests as they would be on the wire, one behind the other, so that the corpus can be read
and the later requests meet what the first ones have left. The server is left out: what it would refuse comes through.
"""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from resumable.receiver import Application, FileStore, Receiver

__all__ = ["EXPECTED", "Misbehaviour", "Target", "check_answer"]

EXPECTED = frozenset({200, 201, 204, 308, 400, 401, 403, 404, 405, 408, 409, 411, 413, 429, 460, 507})
_MOST_REQUESTS = 16
_MOST_BODY = 1 << 16


class Misbehaviour(AssertionError):
    """The receiver did what it must not do."""


class Target:
    """A receiver whose root is ``directory/incoming``; the directory is its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._root = directory / "incoming"

    def run(self, data: bytes) -> list[int]:
        """The statuses of the requests in the data, asked of an empty receiver. Raises what the receiver raised, and
        Misbehaviour: a status that nobody is told of, headers that make no answer, anything outside the root."""
        self._root.mkdir()
        try:
            store = FileStore(self._root, fsync="never", patience=0, max_open_uploads=8, max_bytes=1 << 40)
            receiver = Receiver(
                store, tenant=lambda request: request.headers.get("x-tenant", ""), allowed_origins=["https://a.example"]
            )
            application = Application(receiver, max_body=_MOST_BODY)
            statuses = []
            for _ in range(_MOST_REQUESTS):
                environ, data = _split(data)
                statuses.append(_ask(application, environ))
                if not data:
                    break
            self._check_files()
            return statuses
        finally:
            shutil.rmtree(self._root)

    def _check_files(self) -> None:
        if [path.name for path in self._directory.iterdir()] != [self._root.name]:
            raise Misbehaviour(f"there is more than the root: {sorted(self._directory.iterdir())}")
        for path in self._root.rglob("*"):
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise Misbehaviour(f"neither a file nor a directory: {path}")


def _split(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The environment of the first request in the data, and the rest. Nothing in it has to make sense."""
    head, _, rest = data.partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    method, _, target = line.removesuffix(b" HTTP/1.1").partition(b" ")
    path, _, query = target.partition(b"?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method.decode("latin-1"),
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query.decode("latin-1"),
    }
    for field in fields:
        name, _, value = field.partition(b":")
        key = name.decode("latin-1").upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        environ[key] = value.strip().decode("latin-1")
    length = environ.get("CONTENT_LENGTH", "")
    size = int(length) if length.isascii() and length.isdigit() and len(length) < 10 else 0
    environ["wsgi.input"] = io.BytesIO(rest[:size])
    return environ, rest[size:]


def _ask(application: Application, environ: dict[str, Any]) -> int:
    started: list[tuple[str, list[tuple[str, str]]]] = []
    body = b"".join(application(environ, lambda status, headers: started.append((status, headers))))
    ((status, headers),) = started
    return check_answer(status, headers, body, head=environ["REQUEST_METHOD"] == "HEAD")


def check_answer(status: str, headers: list[tuple[str, str]], body: bytes, *, head: bool) -> int:
    """The status of an answer. Raises Misbehaviour where it is none of the expected, or no answer that makes sense."""
    code = int(status[:3])
    if code not in EXPECTED:
        raise Misbehaviour(f"{status}: {body!r}")
    names = [name.lower() for name, _ in headers]
    if len(set(names)) < len(names):
        raise Misbehaviour(f"a header is there twice: {headers}")
    for name, value in headers:
        (name + value).encode("latin-1")
        if any(letter < " " for letter in name + value):
            raise Misbehaviour(f"a header that ends too early: {headers}")
    lengths = [value for name, value in headers if name == "Content-Length"]
    right = lengths == [] if code == 204 else len(lengths) == 1 if head else lengths == [str(len(body))]
    if not right:
        raise Misbehaviour(f"another length: {headers} for {body!r}")
    return code
