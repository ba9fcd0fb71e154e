"""Show the numbers of a receiver at a port of their own, which is kept from the clients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..answers import sentence
from ..app import Receiver
from ..gateway import complete_headers, phrase

if TYPE_CHECKING:
    from ..metrics import ReceiverMetrics

__all__ = ["MetricsApplication"]

_METHODS = ("GET", "HEAD")


class MetricsApplication:
    """The metrics of a receiver as a WSGI application: at ``/metrics``, without a token, and nothing else."""

    def __init__(self, receiver: Receiver, metrics: ReceiverMetrics) -> None:
        self.receiver = receiver
        self._metrics = metrics

    def __call__(
        self, environ: Mapping[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]
    ) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        if environ["PATH_INFO"] != "/metrics":
            response = sentence(404, "There is nothing here but /metrics.")
        elif environ["REQUEST_METHOD"] not in _METHODS:
            response = sentence(405, "Only GET is allowed here.", ("Allow", ", ".join(_METHODS)))
        else:
            response = self._metrics.response()
        start_response(f"{response.status} {phrase(response.status)}", complete_headers(response))
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]
