"""Takes uploads inside a FastAPI application, into a folder for each user:

    export UPLOADS=incoming UPLOAD_TOKENS="ada=token1 grace=token2"
    uvicorn --app-dir examples fastapi_receiver:app

UPLOAD_TOKENS says who has which token. The same works with Starlette, Litestar and other frameworks of ASGI.
"""

from __future__ import annotations

import os

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from resumable.receiver import Receiver, Refusal, Request, UploadRecord
from resumable.receiver.frameworks.asgi import ASGIApplication

USERS = {token: user for user, token in (pair.split("=") for pair in os.environ["UPLOAD_TOKENS"].split())}


async def user(asked: Request) -> str:
    # This, too, may be asked of a database: the event loop goes on meanwhile.
    token = asked.headers.get("authorization", "").removeprefix("Bearer ")
    if not token or token not in USERS:
        raise Refusal(401, "Log in first.", ("WWW-Authenticate", "Bearer"))
    return USERS[token]


async def received(record: UploadRecord) -> dict[str, str]:
    # What has to be done before the client hears that all is well: a row in a database, say.
    print(f"{record.tenant} sent {record.published!r}, {record.total_size} bytes", flush=True)
    return {"url": f"/files/{record.published}"}


# In production, allowed_hosts has the name of the server.
receiver = Receiver(os.environ["UPLOADS"], tenant=user, tenant_folders=True, on_file_received=received)
uploads = ASGIApplication(receiver)
app = FastAPI(lifespan=uploads.lifespan)
app.mount("/upload", uploads)


@app.get("/", response_class=HTMLResponse)
async def home() -> str:
    return '<a href="upload/">upload something</a>'
