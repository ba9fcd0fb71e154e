"""Takes uploads inside a Flask application: python examples/flask_receiver.py DIRECTORY

The view runs like any other of the application, with its session, its hooks and its decorators, so that it knows who is
there. Here that is whose token it is; UPLOAD_TOKENS in the environment has them: "ada=token1 grace=token2".
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from flask import Flask, request
from werkzeug.serving import make_server
from werkzeug.wrappers import Response

from resumable.receiver import (
    Application,
    Receiver,
    Refusal,
    Request,
    UploadRecord,
)

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "OPTIONS"]


def users(tokens: str) -> dict[str, str]:
    """Who has which token."""
    pairs = [pair.partition("=") for pair in tokens.split()]
    if not all(user and token for user, _, token in pairs):
        sys.exit('UPLOAD_TOKENS has to be like "ada=token1 grace=token2"')
    return {token: user for user, _, token in pairs}


def make_app(directory: str, users: Mapping[str, str]) -> Flask:
    app = Flask(__name__)

    def tenant(asked: Request) -> str:
        known = request.authorization
        user = users.get(known.token or "") if known is not None else None
        if user is None:
            raise Refusal(401, "Log in first.", ("WWW-Authenticate", "Bearer"))
        return user

    def received(record: UploadRecord) -> None:
        # What has to be done before the client hears that all is well: a row in a database, say.
        print(f"{record.tenant} sent {record.published!r}, {record.total_size} bytes", flush=True)

    # In production, allowed_hosts has the name of the server.
    receiver = Receiver(directory, tenant=tenant, on_file_received=received, min_chunk_size=1024)
    application = Application(receiver)
    # A thread removes what nobody finishes. A server that forks calls this in its children.
    receiver.sweep_every(3600)

    @app.route("/upload/", defaults={"path": ""}, methods=METHODS, provide_automatic_options=False)
    @app.route("/upload/<path:path>", methods=METHODS, provide_automatic_options=False)
    def upload(path: str) -> Response:
        mount = {"SCRIPT_NAME": f"{request.script_root}/upload", "PATH_INFO": f"/{path}"}
        return Response.from_app(application, {**request.environ, **mount})

    @app.route("/")
    def home() -> str:
        return '<a href="upload/">upload something</a>'

    return app


def main(directory: str) -> None:
    app = make_app(directory, users(os.environ.get("UPLOAD_TOKENS", "")))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    print(f"http://127.0.0.1:{server.server_port}/upload/", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
