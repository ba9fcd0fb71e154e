"""Small files that are uploaded to a server, interrupted and resumed, to find out how it behaves."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

from ... import Resumable
from ...options import OPTIONS
from ...protocol.headers import from_receiver
from ...transport.base import NetworkFailure, Reply, Request
from ...transport.control import RequestControl
from ...transport.http import RequestsTransport

__all__ = ["Prober", "Run", "Trial"]

_SMALL = 64 * 1024
_TURNS = 5
_WORDS = b"This was sent by 'resumable doctor', to see whether uploads work here. It can be deleted.\n"


class Run(NamedTuple):
    """What came back in one session.

    ``test`` and ``upload`` are the first answer about the first chunk and the last answer to a chunk that was sent.
    ``skipped`` bytes were not sent, because the server has them. ``error`` is why the file failed, ``failure`` why the
    last request got no answer; ``interrupted`` if the upload was stopped on purpose.
    """

    test: Reply | None
    upload: Reply | None
    skipped: int
    error: Exception | None
    failure: NetworkFailure | None
    interrupted: bool

    @property
    def timed_out(self) -> bool:
        """Whether the last request was not answered in time."""
        return _timed_out(self.failure)

    @property
    def complete(self) -> bool:
        """Whether every chunk was accepted."""
        return self.error is None and not self.interrupted


class Trial(NamedTuple):
    """What came of one file: the session that sent its first chunk, those that only asked for it, and the one that sent
    the rest. ``lost``: chunks were accepted, and are not there."""

    name: str
    size: int
    first: Run
    asked: tuple[Run, ...] = ()
    rest: Run | None = None
    lost: bool = False

    @property
    def last(self) -> Run:
        """The last session that sent something."""
        return self.rest or self.first

    @property
    def progress(self) -> int:
        """How far it came: 0 if the first chunk was refused, 1 if a later one was or was lost, 2 if all is well."""
        if self.last.complete and not self.lost:
            return 2
        return 0 if self.first.error is not None else 1

    @property
    def found(self) -> int:
        """How often the server was asked for a chunk that it has, and had it, unless it has each chunk of anything."""
        always = self.first.test is not None and self.first.test.status in (200, 201)
        return 0 if always else sum(run.skipped > 0 for run in self.asked)

    @property
    def resumes(self) -> bool:
        """Whether the server had the first chunk whenever it was asked."""
        return 0 < self.found == len(self.asked)


class Prober:
    """Uploads files to one server. ``options`` are those of the sessions.

    ``ours`` is set once a receiver of this package has answered, and ``tells`` once a server had a chunk that it was
    asked for. ``trials`` are all uploads so far; ``under_way`` is the name of the one that has not ended.
    """

    def __init__(self, target: str, options: Mapping[str, Any]) -> None:
        self._target = target
        self._options = {"timeout": (10, 30), **options, "trust_tests": False, "plugins": ()}
        # No probe takes long to assemble, so --timeout also limits the wait after the last chunk.
        patience = self._options["timeout"]
        self._options["final_chunk_timeout"] = patience[-1] if isinstance(patience, tuple) else patience
        self.chunk_size: int = options.get("chunk_size", OPTIONS["chunk_size"].default)
        self.small = min(_SMALL, self.chunk_size)
        self.ours = False
        self.tells = False
        self.under_way = ""
        self.trials: list[Trial] = []

    def ask(self) -> Run:
        """Ask for a chunk that was never sent. Nothing is uploaded."""
        return self._run(_name(), self.small, 0, {"chunk_size": self.small, "test_chunks": True})

    def upload(self, size: int, **options: Any) -> Trial:
        """Upload a new file of ``size`` bytes: send the first chunk, stop, ask for it, and resume."""
        self.under_way = name = _name()
        trial = Trial(name, size, self._run(name, size, 1, options))
        if trial.first.interrupted and options.get("test_chunks", self._options.get("test_chunks", True)):
            # Several servers behind one address mostly take turns: each is asked if a session is a single request.
            only = {**options, "trust_tests": True}
            asked = tuple(self._run(name, size, 0, only, tests=1) for _ in range(_TURNS))
            trial = trial._replace(asked=asked)
            trial = trial._replace(lost=self.tells and not trial.resumes)
            self.tells = self.tells or trial.resumes
        if trial.first.interrupted and not trial.lost:
            trial = trial._replace(rest=self._run(name, size, None, options))
            if trial.resumes and trial.last.complete and not self.ours:
                # A server that has put the file together may have forgotten all chunks. If it has only some of them, it
                # has lost the others.
                again = self._run(name, size, 0, options)
                trial = trial._replace(lost=again.skipped > 0 and again.interrupted)
        self.trials.append(trial)
        self.under_way = ""
        return trial

    def _run(
        self, name: str, size: int, uploads: int | None, options: Mapping[str, Any], tests: int | None = None
    ) -> Run:
        """Run a session for this file in which only the first chunks are sent, and asked for, unless None says all."""
        transport = _ProbeTransport(uploads, tests)
        fixed = {
            "max_chunk_retries": 0,
            "auto_upload": False,
            "chunk_order": "sequential",
            "preprocess": lambda chunk: transport.begin(chunk.index),
        }
        with (
            closing(transport),
            _source(size) as source,
            Resumable(self._target, **{**self._options, **options, **fixed}, transport=transport) as session,
        ):
            file = session.add_file(
                source, relative_path=name, mime_type="text/plain", unique_identifier=f"{size}-{name}"
            )
            session.join(raise_errors=False)
        self.ours = self.ours or transport.ours
        interrupted = isinstance(getattr(file.error, "__cause__", None), _Interruption)
        error = None if interrupted else file.error
        return Run(transport.test, transport.upload, file.bytes_skipped, error, transport.failure, interrupted)


class _ProbeTransport(RequestsTransport):
    """A connection that breaks before anything is sent about a chunk that nothing is to be sent about. It keeps what
    came back until then."""

    def __init__(self, uploads: int | None, tests: int | None) -> None:
        super().__init__()
        self._uploads = uploads
        self._tests = tests
        self._index = 0
        self.test: Reply | None = None
        self.upload: Reply | None = None
        self.failure: NetworkFailure | None = None
        self.ours = False

    def begin(self, index: int) -> None:
        """Note that all requests from now on are about this chunk."""
        self._index = index

    def send(self, request: Request, control: RequestControl) -> Reply:
        """Send the request. Raises NetworkFailure, also if the connection is to break here."""
        most = self._tests if request.body is None else self._uploads
        if most is not None and self._index >= most:
            raise _Interruption("interrupted on purpose", permanent=True)
        self.failure = None
        try:
            reply = self._send(request, control)
        except NetworkFailure as failure:
            self.failure = failure
            raise
        self.ours = self.ours or from_receiver(reply.headers)
        if request.body is not None:
            self.upload = reply
        elif self._index == 0 and (self.test is None or self.test.status in (307, 308)):
            self.test = reply
        return reply

    def _send(self, request: Request, control: RequestControl) -> Reply:
        """Send the request, once more if the connection breaks: lines break, and a server that always does so is meant
        to be found."""
        try:
            return super().send(request, control)
        except NetworkFailure as failure:
            if failure.permanent or _timed_out(failure):
                raise
        return super().send(request, control)


def _timed_out(failure: NetworkFailure | None) -> bool:
    return "in time" in str(failure)


class _Interruption(NetworkFailure):
    """The connection broke because it was to."""


@contextmanager
def _source(size: int) -> Iterator[Any]:
    """Yield so many bytes to send: words if they are few, or else a file that takes no room."""
    if size <= 4 * _SMALL:
        yield (_WORDS * (size // len(_WORDS) + 1))[:size]
        return
    with tempfile.TemporaryDirectory(prefix="resumable-doctor-") as folder:
        path = os.path.join(folder, "probe")
        with open(path, "wb") as file:
            file.truncate(size)
        yield path


def _name() -> str:
    return f"resumable-doctor-{os.urandom(6).hex()}.txt"
