"""A project of Django whose users log in, and whose model has the files that they upload: what test_django.py runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from resumable.receiver import Receiver, UploadRecord
from resumable.receiver.frameworks.django import current_user, field_name, urls

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["DATABASE"], "ATOMIC_REQUESTS": True}
    },
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MEDIA_ROOT=os.environ["MEDIA"],
    MEDIA_URL="/media/",
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="of a test",
)
application = get_wsgi_application()

from django.contrib.auth import authenticate, login  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, models  # noqa: E402
from django.http import HttpRequest, JsonResponse  # noqa: E402
from django.urls import include, path  # noqa: E402


class Video(models.Model):
    owner = models.ForeignKey(User, on_delete=models.CASCADE)
    file = models.FileField(max_length=1000, unique=True)

    class Meta:
        app_label = "videos"


def received(record: UploadRecord) -> dict[str, Any]:
    assert not connection.in_atomic_block
    video, _ = Video.objects.get_or_create(owner_id=record.tenant, file=field_name(record))
    return {"id": video.pk, "url": video.file.url}


def log_in(request: HttpRequest, name: str) -> JsonResponse:
    login(request, authenticate(request, username=name, password="secret"))
    return JsonResponse({})


def videos(request: HttpRequest) -> JsonResponse:
    return JsonResponse({video.file.name: [video.owner.username, video.file.size] for video in Video.objects.all()})


receiver = Receiver(
    Path(settings.MEDIA_ROOT) / "videos", tenant=current_user, tenant_folders=True, on_file_received=received
)
urlpatterns = [
    path("login/<name>", log_in),
    path("videos", videos),
    path("deep/upload/", include(urls(receiver, max_body=1_000_000))),
]

if not os.path.exists(os.environ["DATABASE"]):
    call_command("migrate", verbosity=0)
    with connection.schema_editor() as editor:
        editor.create_model(Video)
    for name in ("ada", "grace"):
        User.objects.create_user(name, password="secret")
    connection.close()
