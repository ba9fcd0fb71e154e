"""The view of django-resumable on Django's own server."""

import os
import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

os.mkdir("done")
settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    FILE_UPLOAD_TEMP_DIR=os.path.abspath("done"),
    ROOT_URLCONF=__name__,
)

from resumable.views import ResumableUploadView  # noqa: E402 - it wants the settings

urlpatterns = [path("upload/", csrf_exempt(ResumableUploadView.as_view()))]

if __name__ == "__main__":
    execute_from_command_line(["manage.py", "runserver", "--noreload", f"127.0.0.1:{sys.argv[1]}"])
