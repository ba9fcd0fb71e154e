"""The receiver as URL patterns of Django."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from django.core.exceptions import SuspiciousFileOperation  # type: ignore[import-untyped, unused-ignore]
from django.core.files.storage import default_storage  # type: ignore[import-untyped, unused-ignore]
from django.db import connections, transaction  # type: ignore[import-untyped, unused-ignore]
from django.http import HttpRequest, HttpResponse  # type: ignore[import-untyped, unused-ignore]
from django.urls import URLPattern, re_path  # type: ignore[import-untyped, unused-ignore]
from django.views.decorators.csrf import csrf_exempt  # type: ignore[import-untyped, unused-ignore]

from ..app import Receiver
from ..gateway import MAX_BODY, SWEEP_EVERY, Gateway, complete_headers
from ..messages import Refusal, Request, call_hook
from ..store.record import UploadRecord
from ..sweeper import ProcessSweeper

__all__ = ["current_user", "field_name", "urls"]

_REQUEST = "django.request"


def urls(receiver: Receiver, *, max_body: int = MAX_BODY, sweep_every: float | None = SWEEP_EVERY) -> list[URLPattern]:
    """Return patterns that take uploads: ``path("upload/", include(urls(receiver)))``.

    ``request.environ["django.request"]`` of the receiver's requests is Django's own. The hooks of the receiver run
    outside transactions, even with ``ATOMIC_REQUESTS``: what they save is committed before the client gets its answer.

    The patterns are exempt from the CSRF check, which would read the whole body; the receiver itself refuses uploads
    from pages of other sites. ``max_body`` is the largest body that a request may have, in bytes, form included. The
    store is swept every ``sweep_every`` seconds from the first request on, in each process; None leaves that to others.
    """
    gateway = Gateway(receiver, max_body)
    sweeper = ProcessSweeper(receiver.sweep, sweep_every)

    def upload(request: HttpRequest, rest: str) -> HttpResponse:
        sweeper.start()
        answer = gateway.respond(
            request.method,
            f"/{rest}",
            _query(request),
            {name.lower(): value for name, value in request.headers.items()},
            length=request.META.get("CONTENT_LENGTH"),
            # As the server sends it, unless something in front has asked for it already.
            read=request.read,
            mount=request.path.removesuffix(rest).rstrip("/"),
            environ={**request.META, _REQUEST: request},
            address=request.META.get("REMOTE_ADDR", ""),
            call=partial(_call, threading.get_ident()),
        )
        response = HttpResponse(answer.body, status=answer.status)
        for name, value in complete_headers(answer):
            response[name] = value
        return response

    return [re_path(r"^(?P<rest>.*)\Z", csrf_exempt(transaction.non_atomic_requests(upload)), name="resumable")]


def current_user(request: Request) -> str:
    """Return the primary key of the user who is logged in, for ``tenant``. Raises Refusal (401) if nobody is."""
    user = request.environ[_REQUEST].user
    if not user.is_authenticated:
        raise Refusal(401, "Log in first.")
    return str(user.pk)


def field_name(record: UploadRecord, storage: Any = None) -> str:
    """Return the name of a published file in a storage, which is what a ``FileField`` is set to.

    ``storage`` is a ``FileSystemStorage``, by default that of ``MEDIA_ROOT``. The file is neither copied nor moved.
    Raises SuspiciousFileOperation if the file is not in there.
    """
    location = os.path.abspath((default_storage if storage is None else storage).location)
    path = os.path.abspath(record.path or "")
    if os.path.commonpath((location, path)) != location or path == location:
        raise SuspiciousFileOperation(f"{path!r} is not in {location!r}: receive uploads into a folder of the storage")
    return os.path.relpath(path, location).replace(os.sep, "/")


def _query(request: HttpRequest) -> str:
    query = str(request.META.get("QUERY_STRING", ""))
    # WSGI has bytes in a str, and Django has already decoded that of ASGI.
    return query if hasattr(request, "scope") else query.encode("latin-1").decode("utf-8", "replace")


def _call(thread: int, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a hook. On a thread of its own, close what it opened: Django keeps a connection for each thread."""
    if threading.get_ident() == thread:
        return call_hook(function, *arguments)
    try:
        return call_hook(function, *arguments)
    finally:
        connections.close_all()
