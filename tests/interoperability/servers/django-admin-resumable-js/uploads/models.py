"""A document is a file."""

from admin_resumable.fields import ModelAdminResumableFileField
from django.contrib import admin
from django.db import models


class Document(models.Model):
    file = ModelAdminResumableFileField()


admin.site.register(Document)
