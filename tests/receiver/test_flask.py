"""The receiver as a blueprint: what hooks find around them, and where it is mounted. test_mounting.py has a server."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from support.sample import Sample

flask = pytest.importorskip("flask")

from resumable.receiver import Receiver, Refusal  # noqa: E402
from resumable.receiver.frameworks.flask import blueprint  # noqa: E402

pytestmark = pytest.mark.once


def application(receiver: Receiver, **options: Any) -> Any:
    app = flask.Flask("application")
    app.secret_key = os.urandom(32)
    app.register_blueprint(blueprint(receiver, sweep_every=None, **options), url_prefix="/deep/upload")

    @app.route("/login/<name>")
    def login(name: str) -> str:
        flask.session["user"] = name
        return "Welcome."

    return app


def user(request: object) -> str:
    if "user" not in flask.session:
        raise Refusal(401, "Log in first.")
    return str(flask.session["user"])


def send(client: Any, sample: Sample, number: int, **options: Any) -> Any:
    return client.post("/deep/upload/", query_string=sample.query(number), data=sample.chunk(number), **options)


def test_who_is_logged_in_has_a_folder(root: Path) -> None:
    app = application(Receiver(root, tenant=user, tenant_folders=True))
    sample = Sample(data=b"x" * 8)
    ada, grace, nobody = (app.test_client() for _ in range(3))
    for name, client in (("ada", ada), ("grace", grace)):
        client.get(f"/login/{name}")
        assert send(client, sample, 1).status_code == 201
        assert (root / name / "sample.bin").read_bytes() == sample.data
        assert len(client.get("/deep/upload/uploads").json["uploads"]) == 1
    assert send(nobody, sample, 1).status_code == 401


def test_its_page_is_where_it_is_mounted(root: Path) -> None:
    client = application(Receiver(root)).test_client()
    assert client.get("/deep/upload/").mimetype == "text/html"
    assert client.get("/deep/upload/page.js").mimetype == "text/javascript"
    assert client.get("/deep/upload").headers["Location"].endswith("/deep/upload/")
    assert "'/deep/upload/'" in client.get("/deep/upload/nothing").text
    assert client.head("/deep/upload/").data == b""
    assert client.delete("/deep/upload/").status_code == 405
    assert "Content-Type" not in client.get("/deep/upload/", query_string=Sample().query(1)).headers


def test_a_body_that_is_too_long_is_refused(root: Path) -> None:
    client = application(Receiver(root), max_body=10).test_client()
    assert client.post("/deep/upload/", data=bytes(11)).status_code == 413


def test_a_hook_that_goes_on_alone_has_an_application_around_it(root: Path) -> None:
    let_go, found = threading.Event(), []

    def received(record: object) -> None:
        assert let_go.wait(60)
        found.append((flask.current_app.name, flask.has_request_context()))

    receiver = Receiver(root, on_file_received=received, hook_deadline=0.01)
    client = application(receiver).test_client()
    sample = Sample(data=b"x" * 8)
    assert send(client, sample, 1, headers={"Resumable-Session": "0" * 32}).status_code == 503
    let_go.set()
    receiver.wait_for_hooks(60)
    assert found == [("application", False)]
    assert send(client, sample, 1, headers={"Resumable-Session": "0" * 32}).status_code == 200


def test_a_body_that_the_application_has_read_itself_is_missed_with_a_hint_why(root: Path) -> None:
    app = application(Receiver(root))

    @app.before_request
    def read() -> None:
        flask.request.get_data()

    answer = send(app.test_client(), Sample(data=b"x" * 8), 1)
    assert answer.status_code == 400
    assert b"something in front of the receiver reads their bodies" in answer.data
