"""A document is a file."""

from django.contrib import admin
from django.db import models
from django_resumable_async_upload.models import AsyncFileField


class Document(models.Model):
    file = AsyncFileField(upload_to="done")


admin.site.register(Document)
