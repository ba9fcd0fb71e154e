"""The log-in of Django's admin, as a person does it and as a program that uploads then needs it."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urljoin

import requests

__all__ = ["log_in", "log_out"]


def log_in(url: str, password: str = "secret") -> dict[str, Any]:
    """The options of an upload to this URL: the session that has logged in, or has tried to; the CSRF token of its
    cookie; and what the form for a document says of its field.
    """
    session = requests.Session()
    login = urljoin(url, "/admin/login/")
    session.get(login).raise_for_status()
    form = {"username": "uploader", "password": password, "next": "/admin/"}
    form["csrfmiddlewaretoken"] = session.cookies["csrftoken"]
    session.post(login, data=form).raise_for_status()
    page = session.get(urljoin(url, "/admin/uploads/document/add/")).text
    query = dict(re.findall(r"(field_name|content_type_id): '(\w+)'", page))
    return {"session": session, "headers": {"X-CSRFToken": session.cookies["csrftoken"]}, "query": query}


def log_out(url: str, options: dict[str, Any]) -> None:
    """The server forgets the log-in, as when it has expired."""
    cookies = options["session"].cookies.get_dict()
    form = {"csrfmiddlewaretoken": cookies["csrftoken"]}
    requests.post(urljoin(url, "/admin/logout/"), data=form, cookies=cookies).raise_for_status()
