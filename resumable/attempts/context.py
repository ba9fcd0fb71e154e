"""What all attempts of a session share."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Hashable

from ..hooks import Hooks
from ..options import Options
from ..protocol import form
from ..protocol.parameters import ParameterNames
from ..protocol.verdict import Rules
from ..transport.base import Transport
from ..transport.body import new_buffer
from ..transport.rate_limit import RateLimiter
from .answers import Answers
from .canary import Canary

__all__ = ["AttemptContext"]

_MOST_NOTED = 1000


class AttemptContext:
    """``canary`` has the verdicts on the server's tests, ``answers`` what is known of its answers to chunks.
    Receivers of this package are at the ``origins``. Who makes the headers again, because a token has expired, holds
    the lock ``renewing`` meanwhile.
    """

    def __init__(self, options: Options, hooks: Hooks, transport: Transport) -> None:
        self.hooks = hooks
        self.transport = transport
        self.canary = Canary()
        self.answers = Answers()
        self._session = secrets.token_hex(12)
        self.origins: set[str] = set()
        # A test_target that is callable makes the URLs of tests, whoever makes those of uploads.
        self.test_hooks = Hooks({"target": options.test_target})
        self.names = _names(options)
        self.rules = Rules(
            frozenset(options.success_statuses), frozenset(options.permanent_errors), options.test_errors_are_permanent
        )
        self.auth_refresh_lock = threading.Lock()
        self.rate_limiter = None if options.limit_rate is None else RateLimiter(options.limit_rate)
        self._noted: set[Hashable] = set()
        self._local = threading.local()

    def session_of(self, file: int) -> str:
        """Return the name of this session to receivers of this package, for requests for the file with this key."""
        return f"{self._session}{file & 0xFFFFFFFF:08x}"

    def first_time(self, what: Hashable) -> bool:
        """Return whether this is noted for the first time; people are told of it then."""
        if what in self._noted or len(self._noted) >= _MOST_NOTED:
            return False
        self._noted.add(what)
        return True

    def buffer(self) -> memoryview:
        """The buffer of the calling thread."""
        buffer: memoryview | None = getattr(self._local, "buffer", None)
        if buffer is None:
            buffer = self._local.buffer = new_buffer()
        return buffer

    def boundary(self) -> str:
        """The boundary of the calling thread's forms."""
        boundary: str | None = getattr(self._local, "boundary", None)
        if boundary is None:
            boundary = self._local.boundary = form.boundary()
        return boundary


def _names(options: Options) -> ParameterNames:
    return ParameterNames(
        chunk_number=options.chunk_number_parameter_name,
        chunk_size=options.chunk_size_parameter_name,
        current_chunk_size=options.current_chunk_size_parameter_name,
        total_size=options.total_size_parameter_name,
        type=options.type_parameter_name,
        identifier=options.identifier_parameter_name,
        file_name=options.file_name_parameter_name,
        relative_path=options.relative_path_parameter_name,
        total_chunks=options.total_chunks_parameter_name,
        file=options.file_parameter_name,
        namespace=options.parameter_namespace,
    )
