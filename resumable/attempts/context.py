"""What all attempts of a session share."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Hashable
from typing import Any

from ..dispatch.file_digest import FileDigest
from ..dispatch.registry import FileEntry
from ..hooks import Hooks
from ..options import Options
from ..protocol.verdict import Rules
from ..sources.path import Source, is_source, make_source
from ..transport.base import NetworkFailure, Reply, Request, Transport
from ..transport.control import RequestControl
from . import messages
from .answers import Answers
from .builder import RequestBuilder
from .canary import Canary

__all__ = ["AttemptContext"]

logger = logging.getLogger("resumable")

_MOST_NOTED = 1000


class AttemptContext:
    """``canary`` has the verdicts on the server's tests, ``answers`` what is known of its answers to chunks. Receivers
    of this package are at the ``origins``. A worker that makes headers again, because a token has expired, holds
    ``auth_refresh_lock`` meanwhile.
    """

    def __init__(self, options: Options, hooks: Hooks, transport: Transport) -> None:
        self.options = options
        self.hooks = hooks
        self.transport = transport
        self.requests = RequestBuilder(options, hooks)
        self.canary = Canary()
        self.answers = Answers()
        self.origins: set[str] = set()
        self.rules = Rules(
            frozenset(options.success_statuses), frozenset(options.permanent_errors), options.test_errors_are_permanent
        )
        self.auth_refresh_lock = threading.Lock()
        self._digest_lock = threading.Lock()
        self._session = secrets.token_hex(12)
        self._noted: set[Hashable] = set()

    @property
    def makes_credentials(self) -> bool:
        """Whether hooks make what may hold credentials, each time."""
        return self.hooks.has("headers") or self.hooks.has("query")

    def session_of(self, file: int) -> str:
        """Return the name of this session to receivers of this package, for requests for the file with this key."""
        return f"{self._session}{file & 0xFFFFFFFF:08x}"

    def send(self, request: Request, control: RequestControl) -> Reply:
        """Send the request, log what came of it, and return the answer. Raises what the transport raises."""
        if not logger.isEnabledFor(logging.DEBUG):
            return self.transport.send(request, control)
        began = time.monotonic()
        came: object = "stopped"
        try:
            reply = self.transport.send(request, control)
            came = reply.status
            return reply
        except NetworkFailure as failure:
            came = failure
            raise
        finally:
            seconds = time.monotonic() - began
            logger.debug("%s %s → %s in %.3f s", request.method, messages.redacted(request.url), came, seconds)

    def digest_of(self, entry: FileEntry) -> FileDigest:
        """Return what hashes the whole file, which begins now unless it has begun before."""
        with self._digest_lock:
            digest = entry.digest
            if digest is not None and not digest.failed:
                return digest
            digest = entry.digest = FileDigest(entry.source)
        digest.start()
        return digest

    def replaced(self, hook: str, subject: Any, name: str) -> Source | None:
        """Return the source that this hook gives in place of another, or None if it gives none. Raises HookError, and
        SourceError for one that cannot be read."""
        given, label = self.hooks.decide(hook, subject)
        if given is None:
            return None
        if not is_source(given):
            raise self.hooks.returned(label, type(given).__name__, "bytes, a path or a file")
        return make_source(given, name=name)

    def first_time(self, what: Hashable) -> bool:
        """Return whether this is noted for the first time, which is when it is logged."""
        if what in self._noted or len(self._noted) >= _MOST_NOTED:
            return False
        self._noted.add(what)
        return True
