"""What a server says to the protocol: questions and small chunks, each in one way, and what came back."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

from ... import HookError, Resumable, UploadError
from ...options import OPTIONS
from ...protocol.headers import SERVER_HEADER
from ...transport.base import (
    NetworkFailure,
    Reply,
    Request,
    RequestControl,
)
from ...transport.http import RequestsTransport

__all__ = ["Answer", "Prober"]

_SMALL = 64 * 1024
_WORDS = b"This was sent by 'resumable doctor', to see whether uploads work here. It can be deleted.\n"


class Answer(NamedTuple):
    """What came back: ``status`` and ``text`` of the last answer, ``test`` those of the test before it, ``error`` the
    failure where it is one, ``location`` where the test was sent on to. Where no answer came the status is None, and
    where none came to the test ``silence`` is why."""

    status: int | None = None
    text: str = ""
    test: tuple[int, str] | None = None
    error: Exception | None = None
    location: str = ""
    silence: NetworkFailure | None = None

    @property
    def accepted(self) -> bool:
        """Whether the chunk is at the server."""
        return self.error is None


class Prober:
    """Asks one server. ``options`` are those of the session, ``parts`` and ``wholes`` what the probes were called,
    ``small`` the bytes in a chunk of theirs, ``chunk_size`` those in a chunk of an upload. ``ours``: the server is a
    receiver of this package.

    No file is ever complete but that of :meth:`whole`: of the others one chunk is sent, whatever the test says.
    """

    def __init__(self, target: str, options: Mapping[str, Any]) -> None:
        self._target = target
        self.chunk_size: int = options.get("chunk_size", OPTIONS["chunk_size"].default)
        self.small = min(_SMALL, self.chunk_size)
        self._options = {"timeout": (10, 30), **options}
        # Every probe is a last chunk, and none takes long to assemble: the silence that is borne is that of --timeout.
        patience = self._options["timeout"]
        self._options["final_chunk_timeout"] = patience[-1] if isinstance(patience, tuple) else patience
        self._fixed = {"max_chunk_retries": 0, "auto_upload": False, "chunk_order": "sequential"}
        self.parts: list[str] = []
        self.wholes: list[str] = []
        self.ours = False

    def ask(self, name: str | None = None, **options: Any) -> Answer:
        """The answer to a test of a chunk that cannot be there, or of the chunk of the :meth:`part` of this name.
        Nothing is sent."""

        def never(params: list[str]) -> str:
            raise _OnlyAsked

        where = {"test_target": self._options.get("test_target") or self._target}
        options = {**options, **where, "test_chunks": True}
        chunks = 1 if name is None else 2
        answer = self._run(name or _name(), chunks, 0, options, target=never, present=True)
        only_asked = isinstance(answer.error, HookError) and isinstance(answer.error.__cause__, _OnlyAsked)
        return answer._replace(error=None) if only_asked else answer

    def part(self, chunks: float = 2, index: int = 0, name: str | None = None, **options: Any) -> Answer:
        """What came of one small chunk of a file of so many."""
        if name is None:
            name = _name()
            self.parts.append(name)
        return self._run(name, chunks, index, options)

    def large(self, size: int, **options: Any) -> Answer:
        """What came of one chunk of so many bytes, the first of two."""
        return self.part(**{**options, "chunk_size": size})

    def whole(self, **options: Any) -> Answer:
        """What came of a file of one small chunk, which is complete with it."""
        name = _name()
        self.wholes.append(name)
        return self._run(name, 0, 0, options)

    def _run(
        self,
        name: str,
        chunks: float,
        index: int,
        options: Mapping[str, Any],
        *,
        target: Any = None,
        present: bool = False,
    ) -> Answer:
        tests: list[tuple[int, str]] = []
        locations = [""]
        sends: list[tuple[int, str]] = []

        # A server that says "present" to everything would else be thought to take what was never sent. Whether it has
        # what was sent, it may say.
        def tested(response: Any) -> bool | None:
            tests.append((response.status, response.text))
            locations.append(response.headers.get("location", ""))
            return None if sends else present

        decide = self._options.get("accept_response")

        def sent(response: Any) -> bool | None:
            sends.append((response.status, response.text))
            return decide(response) if decide else None

        chosen = {**self._options, "chunk_size": self.small, **options, **self._fixed}
        chosen |= {"chunk_exists": tested, "accept_response": sent, "trust_tests": present}
        size = int(chunks * chosen["chunk_size"]) or len(_WORDS)
        with (
            closing(_Way()) as way,
            _source(size) as source,
            Resumable(target or self._target, **chosen, transport=way) as session,
        ):
            file = session.add_file(
                source, relative_path=name, mime_type="text/plain", unique_identifier=f"{size}-{name}"
            )
            file.mark_chunks_completed(number for number in range(len(file.chunks)) if number != index)
            session.join(raise_errors=False)
        self.ours = self.ours or way.ours
        test = tests[0] if tests else None
        silence = None if tests else way.failure
        if isinstance(file.error, UploadError):
            return Answer(file.error.status, file.error.body, test, file.error, silence=silence)
        if not sends:
            return Answer(test=test, error=file.error, location=locations[-1], silence=silence)
        return Answer(*sends[-1], test, file.error)


class _Way(RequestsTransport):
    """The way of every session. ``failure`` is why the last request got no answer: of a test nobody else is told.
    ``ours``: answers came from a receiver of this package.

    The session is not told so: it would send the chunks that the file lacks, and no probe may become a whole file.
    """

    failure: NetworkFailure | None = None
    ours = False

    def send(self, request: Request, control: RequestControl) -> Reply:
        """The answer; a failure is kept and raised."""
        try:
            reply = super().send(request, control)
        except NetworkFailure as failure:
            self.failure = failure
            raise
        headers = dict(reply.headers)
        self.ours = headers.pop(SERVER_HEADER.lower(), None) is not None or self.ours
        return reply._replace(headers=headers)


@contextmanager
def _source(size: int) -> Iterator[Any]:
    """So many bytes to send: words where they are few, or else a file that takes no room."""
    if size <= 4 * _SMALL:
        yield (_WORDS * (size // len(_WORDS) + 1))[:size]
        return
    with tempfile.TemporaryDirectory(prefix="resumable-doctor-") as folder:
        path = os.path.join(folder, "probe")
        with open(path, "wb") as file:
            file.truncate(size)
        yield path


class _OnlyAsked(Exception):
    """The test has been answered, or will never be; nothing is to be sent."""


def _name() -> str:
    return f"resumable-doctor-{os.urandom(6).hex()}.txt"
