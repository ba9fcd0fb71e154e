"""Takes uploads inside an ASGI application, such as FastAPI or Starlette: python examples/asgi_receiver.py DIRECTORY

The receiver waits for disks, so it runs on threads beside the event loop; a2wsgi brings it there, and the bodies of
requests to it while they arrive. UPLOAD_TOKEN in the environment is the token that clients have to send.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

import uvicorn
from a2wsgi import WSGIMiddleware
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route

from resumable.receiver import Application, Receiver, UploadRecord


async def home(request: Request) -> Response:
    return HTMLResponse('<a href="upload/">upload something</a>')


def make_app(directory: str, token: str) -> Starlette:
    # In production, allowed_hosts has the name of the server.
    receiver = Receiver(directory, token=token, min_chunk_size=1024)

    @receiver.signals.file_received.connect_via(receiver)
    def received(sender: Receiver, record: UploadRecord) -> None:
        print(f"{record.published!r} is here, {record.total_size} bytes", flush=True)

    # A thread removes what nobody finishes. A server that forks calls this in its children.
    receiver.sweep_every(3600)

    # As many chunks are received at once as there are workers; the others wait.
    threads: Any = WSGIMiddleware(Application(receiver), workers=16)
    return Starlette(routes=[Route("/", home), Mount("/upload", app=threads)])


def main(directory: str) -> None:
    app = make_app(directory, os.environ["UPLOAD_TOKEN"])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(f"http://127.0.0.1:{listening.getsockname()[1]}/upload/", flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run([listening])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
