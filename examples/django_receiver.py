"""Takes uploads inside a Django project, which is this file, into a folder for each user:

    export UPLOADS=incoming UPLOAD_TOKENS="ada=token1 grace=token2"
    gunicorn --threads 16 --chdir examples django_receiver:application

UPLOAD_TOKENS says who has which token. A project whose users log in has ``tenant=current_user`` instead, from
``resumable.receiver.frameworks.django``, which asks ``request.user``.
"""

from __future__ import annotations

import os

from django.conf import settings  # type: ignore[import-untyped, unused-ignore]
from django.core.wsgi import get_wsgi_application  # type: ignore[import-untyped, unused-ignore]
from django.http import HttpRequest, HttpResponse  # type: ignore[import-untyped, unused-ignore]
from django.urls import include, path  # type: ignore[import-untyped, unused-ignore]

from resumable.receiver import Receiver, Refusal, Request, UploadRecord
from resumable.receiver.frameworks.django import field_name, urls

USERS = {token: user for user, token in (pair.split("=") for pair in os.environ["UPLOAD_TOKENS"].split())}

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    MEDIA_ROOT=os.environ["UPLOADS"],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY=os.urandom(32).hex(),
)
application = get_wsgi_application()


def user(asked: Request) -> str:
    token = asked.headers.get("authorization", "").removeprefix("Bearer ")
    if not token or token not in USERS:
        raise Refusal(401, "Log in first.", ("WWW-Authenticate", "Bearer"))
    return USERS[token]


def received(record: UploadRecord) -> dict[str, str]:
    # What has to be done before the client hears that all is well. With a model that has a FileField:
    # Video.objects.get_or_create(owner=record.tenant, file=field_name(record))
    print(f"{record.tenant} sent {field_name(record)!r}, {record.total_size} bytes", flush=True)
    return {"url": f"/files/{record.published}"}


def home(request: HttpRequest) -> HttpResponse:
    return HttpResponse('<a href="upload/">upload something</a>')


# In production, allowed_hosts has the name of the server, as ALLOWED_HOSTS has.
receiver = Receiver(settings.MEDIA_ROOT, tenant=user, tenant_folders=True, on_file_received=received)
urlpatterns = [path("", home), path("upload/", include(urls(receiver)))]
