"""Takes uploads inside a Django project, which is this file: python examples/django_receiver.py DIRECTORY

Whose token it is says who is there; UPLOAD_TOKENS in the environment has them: "ada=token1 grace=token2". In a project
of your own the view would ask ``request.user``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from django.conf import settings  # type: ignore[import-untyped, unused-ignore]
from django.core.servers.basehttp import (  # type: ignore[import-untyped, unused-ignore]
    ThreadedWSGIServer,
    WSGIRequestHandler,
)
from django.core.wsgi import get_wsgi_application  # type: ignore[import-untyped, unused-ignore]
from django.http import HttpRequest, HttpResponse  # type: ignore[import-untyped, unused-ignore]
from django.urls import path, re_path  # type: ignore[import-untyped, unused-ignore]
from django.views.decorators.csrf import csrf_exempt  # type: ignore[import-untyped, unused-ignore]

from resumable.receiver import (
    Application,
    Receiver,
    Refusal,
    Request,
    UploadRecord,
)


def users(tokens: str) -> dict[str, str]:
    """Who has which token."""
    pairs = [pair.partition("=") for pair in tokens.split()]
    if not all(user and token for user, _, token in pairs):
        sys.exit('UPLOAD_TOKENS has to be like "ada=token1 grace=token2"')
    return {token: user for user, _, token in pairs}


USERS = users(os.environ.get("UPLOAD_TOKENS", ""))


def tenant(asked: Request) -> str:
    user = asked.environ["REMOTE_USER"]
    if not user:
        raise Refusal(401, "Log in first.", ("WWW-Authenticate", "Bearer"))
    return str(user)


def received(record: UploadRecord) -> None:
    # What has to be done before the client hears that all is well: a model that is saved, say.
    print(f"{record.tenant} sent {record.published!r}, {record.total_size} bytes", flush=True)


def make_view(directory: str) -> Callable[..., HttpResponse]:
    # In production, allowed_hosts has the name of the server.
    receiver = Receiver(directory, tenant=tenant, on_file_received=received, min_chunk_size=1024)
    application = Application(receiver)
    # A thread removes what nobody finishes. A server that forks calls this in its children.
    receiver.sweep_every(3600)

    def upload(request: HttpRequest, rest: str) -> HttpResponse:
        user = USERS.get(request.headers.get("Authorization", "").removeprefix("Bearer "), "")
        mount = {"SCRIPT_NAME": f"{request.META['SCRIPT_NAME']}/upload", "PATH_INFO": rest, "REMOTE_USER": user}
        started: list[tuple[str, list[tuple[str, str]]]] = []
        # The body has not been touched yet, and goes straight from the server to the receiver.
        body = application({**request.environ, **mount}, lambda *start: started.append(start))
        ((status, headers),) = started
        return HttpResponse(b"".join(body), status=int(status[:3]), headers=dict(headers))

    return upload


def home(request: HttpRequest) -> HttpResponse:
    return HttpResponse('<a href="upload/">upload something</a>')


urlpatterns = [path("", home)]


def main(directory: str) -> None:
    # The receiver itself refuses uploads that a page of others sends; Django's own check would read the whole body.
    urlpatterns.append(re_path(r"^upload(?P<rest>/.*|)$", csrf_exempt(make_view(directory))))
    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["127.0.0.1", "localhost"], SECRET_KEY=os.urandom(32).hex())
    server = ThreadedWSGIServer(("127.0.0.1", 0), WSGIRequestHandler)
    server.set_app(get_wsgi_application())
    print(f"http://127.0.0.1:{server.server_port}/upload/", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
