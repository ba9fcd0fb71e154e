"""django-resumable-async-upload and an admin on Django's own server; "uploader" logs in there with "secret"."""

import os
import sys

import django
from django.conf import settings
from django.contrib import admin
from django.core.management import call_command, execute_from_command_line
from django.urls import include, path

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.path.abspath("database")}},
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.sessions",
        "django.contrib.staticfiles",
        "django_resumable_async_upload",
        "uploads",
    ],
    LOGIN_URL="/admin/login/",
    MEDIA_ROOT=os.path.abspath("media") + "/",
    MEDIA_URL="/media/",
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY=os.urandom(32).hex(),
    STATIC_URL="/static/",
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
)
django.setup()

urlpatterns = [path("admin_resumable/", include("django_resumable_async_upload.urls")), path("admin/", admin.site.urls)]

if __name__ == "__main__":
    call_command("migrate", "--run-syncdb", verbosity=0)
    os.environ["DJANGO_SUPERUSER_PASSWORD"] = "secret"
    call_command("createsuperuser", "--noinput", username="uploader", email="uploader@example.org", verbosity=0)
    execute_from_command_line(["manage.py", "runserver", "--noreload", f"127.0.0.1:{sys.argv[1]}"])
