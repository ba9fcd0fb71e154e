"""The numbers of a receiver for Prometheus. No label names a tenant, a file or a path."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

try:
    import prometheus_client
    from prometheus_client import multiprocess
except ImportError as error:
    raise ImportError(
        "the metrics of the receiver need the package 'prometheus-client'; install it with: "
        "pip install 'resumable[metrics]'",
        name="prometheus_client",
    ) from error

from .messages import Response
from .signals import ReceiverSignals
from .store.base import Store
from .store.record import UploadRecord

__all__ = ["ReceiverMetrics"]

_COUNT_EVERY = 60.0
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS = (0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0)
_REASONS = {
    400: "malformed",
    401: "token",
    403: "forbidden",
    405: "forbidden",
    408: "slow",
    409: "conflict",
    411: "malformed",
    413: "limit",
    415: "forbidden",
    422: "forbidden",
    429: "quota",
    460: "hash",
    500: "error",
    501: "error",
    503: "busy",
    507: "full",
}


class ReceiverMetrics:
    """What a receiver counts, in the ``registry`` of prometheus_client that it makes.

    With ``private=True`` the receiver does not show it at ``/metrics``: a :class:`~resumable.receiver.Server` does at
    its ``metrics_port``, and :meth:`response` returns it.

    One belongs to one receiver. If several processes serve it, ``PROMETHEUS_MULTIPROC_DIR`` has to name an empty
    directory before the program starts.
    """

    def __init__(self, *, private: bool = False) -> None:
        self.private = private
        self.registry = prometheus_client.CollectorRegistry()
        given: dict[str, Any] = {"registry": self.registry}
        self._requests = prometheus_client.Counter(
            "resumable_requests", "Requests that were answered.", ["method", "status"], **given
        )
        self._bytes = prometheus_client.Counter("resumable_stored_bytes", "Bytes of chunks that were stored.", **given)
        self._files = prometheus_client.Counter("resumable_files", "Files that were received.", **given)
        self._refused = prometheus_client.Counter(
            "resumable_refused_uploads", "Requests to upload that were refused.", ["reason"], **given
        )
        self._seconds = prometheus_client.Histogram(
            "resumable_finishing_seconds",
            "Seconds that publishing a file and the hook of the application took.",
            ["step"],
            buckets=_BUCKETS,
            **given,
        )
        self._open = prometheus_client.Gauge(
            "resumable_open_uploads",
            "Uploads that are not finished, counted once a minute at most.",
            multiprocess_mode="max",
            **given,
        )
        self._store: Store | None = None
        self._counted = -_COUNT_EVERY

    def follow(self, store: Store, signals: ReceiverSignals) -> None:
        """From now on, count what happens in the store and what the signals report."""
        self._store = store
        signals.chunk_received.connect(self._chunk_received, weak=False)
        signals.file_received.connect(self._file_received, weak=False)
        signals.upload_refused.connect(self._upload_refused, weak=False)

    def answered(self, method: str, status: int) -> None:
        """Count an answer."""
        self._requests.labels(method if method in _METHODS else "other", str(status)).inc()

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Measure how long the block takes: ``publish`` or ``hook``."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._seconds.labels(step).observe(time.monotonic() - began)

    def response(self) -> Response:
        """Return all numbers in the text format of Prometheus."""
        self._count_open()
        registry = self.registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = prometheus_client.CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        body = prometheus_client.generate_latest(registry)
        return Response(200, body, (("Content-Type", prometheus_client.CONTENT_TYPE_LATEST),))

    def _count_open(self) -> None:
        now = time.monotonic()
        if self._store is not None and now - self._counted >= _COUNT_EVERY:
            self._counted = now
            self._open.set(sum(status.state == "open" for status in self._store.uploads()))

    def _chunk_received(self, sender: object, record: UploadRecord, number: int) -> None:
        self._bytes.inc(record.plan.length(number - 1, number))

    def _file_received(self, sender: object, record: UploadRecord) -> None:
        self._files.inc()

    def _upload_refused(self, sender: object, status: int, **_: Any) -> None:
        self._refused.labels(_REASONS.get(status, "other")).inc()
