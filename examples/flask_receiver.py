"""Takes uploads inside a Flask application, into a folder for each user:

    export UPLOADS=incoming UPLOAD_TOKENS="ada=token1 grace=token2"
    gunicorn --threads 16 --chdir examples flask_receiver:app

UPLOAD_TOKENS says who has which token. An application with Flask-Login asks its current_user instead.
"""

from __future__ import annotations

import os

from flask import Flask, request

from resumable.receiver import Receiver, Refusal, Request, UploadRecord
from resumable.receiver.frameworks.flask import blueprint

USERS = {token: user for user, token in (pair.split("=") for pair in os.environ["UPLOAD_TOKENS"].split())}


def user(asked: Request) -> str:
    given = request.authorization
    if given is None or not given.token or given.token not in USERS:
        raise Refusal(401, "Log in first.", ("WWW-Authenticate", "Bearer"))
    return USERS[given.token]


def received(record: UploadRecord) -> dict[str, str]:
    # What has to be done before the client hears that all is well: a row in a database, say.
    print(f"{record.tenant} sent {record.published!r}, {record.total_size} bytes", flush=True)
    return {"url": f"/files/{record.published}"}


app = Flask(__name__)
# In production, allowed_hosts has the name of the server.
receiver = Receiver(os.environ["UPLOADS"], tenant=user, tenant_folders=True, on_file_received=received)
app.register_blueprint(blueprint(receiver), url_prefix="/upload")


@app.route("/")
def home() -> str:
    return '<a href="upload/">upload something</a>'
