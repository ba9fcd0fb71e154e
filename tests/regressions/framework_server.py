"""Views of Django and Flask that refuse uploads as theirs do, on a port that is printed."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import flask
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from werkzeug.debug import DebuggedApplication


@csrf_exempt
def parameters(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.POST["flowChunkNumber"])


def protected(request: HttpRequest) -> HttpResponse:
    return HttpResponse("stored")


urlpatterns = [path("django/parameters", parameters), path("django/protected", protected)]

flask_app = flask.Flask(__name__)


@flask_app.post("/flask/debugger")
def debugger() -> str:
    return str(flask.request.form["flowChunkNumber"])


@flask_app.post("/flask/raises")
def raises() -> str:
    raise RuntimeError("the disk of the chunks is not mounted")


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        return


def main() -> None:
    settings.configure(
        DEBUG=True,
        ALLOWED_HOSTS=["*"],
        SECRET_KEY="of no use",
        ROOT_URLCONF=__name__,
        LOGGING_CONFIG=None,
        MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
    )
    django_app = get_wsgi_application()
    flask_app.debug = True
    debugged = DebuggedApplication(flask_app)

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        app: Any = django_app if environ["PATH_INFO"].startswith("/django") else debugged
        answer: Iterable[bytes] = app(environ, start_response)
        return answer

    with make_server("127.0.0.1", 0, application, handler_class=_Quiet) as server:
        print(server.server_port, flush=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    main()
