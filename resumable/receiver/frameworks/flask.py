"""The receiver as a blueprint of Flask."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Blueprint, Flask, Response, current_app, has_app_context, request

from ..app import Receiver
from ..gateway import MAX_BODY, SWEEP_EVERY, Gateway, complete_headers
from ..messages import call_hook
from ..sweeper import ProcessSweeper

__all__ = ["blueprint"]

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def blueprint(
    receiver: Receiver,
    *,
    name: str = "resumable",
    max_body: int = MAX_BODY,
    sweep_every: float | None = SWEEP_EVERY,
) -> Blueprint:
    """Return a blueprint that takes uploads: ``app.register_blueprint(blueprint(receiver), url_prefix="/upload")``.

    The hooks of the receiver, ``tenant`` among them, run in the context of the request, so they may use ``session``,
    ``current_user`` of Flask-Login and the like. An ``on_file_received`` that takes longer than ``hook_deadline``
    runs in an application context of its own. ``before_request`` functions must not read the body.

    ``max_body`` is the largest body that a request may have, in bytes, form included. The store is swept every
    ``sweep_every`` seconds from the first request on, in each process; None leaves that to others.
    """
    made = Blueprint(name, __name__)
    gateway = Gateway(receiver, max_body)
    sweeper = ProcessSweeper(receiver.sweep, sweep_every)

    def upload(path: str) -> Response:
        sweeper.start()
        answer = gateway.respond(
            request.method,
            f"/{path}",
            request.query_string.decode("utf-8", "replace"),
            {field.lower(): value for field, value in request.headers.items()},
            length=request.environ.get("CONTENT_LENGTH"),
            read=request.environ["wsgi.input"].read,
            mount=f"{request.root_path}{request.path.removesuffix(path)}".rstrip("/"),
            environ=request.environ,
            address=request.remote_addr or "",
            call=partial(_call, current_app._get_current_object()),  # type: ignore[attr-defined, unused-ignore]
        )
        response = Response(answer.body, answer.status)
        response.headers.clear()
        response.headers.extend(complete_headers(answer))
        return response

    rule = partial(made.add_url_rule, view_func=upload, methods=_METHODS, provide_automatic_options=False)
    rule("/", "upload", defaults={"path": ""})
    rule("/<path:path>", "upload")
    return made


def _call(app: Flask, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a hook in an application context, that of the request unless the hook runs on another thread."""
    if has_app_context():
        return call_hook(function, *arguments)
    with app.app_context():
        return call_hook(function, *arguments)
