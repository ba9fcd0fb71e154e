"""An S3-compatible object store in this process, for the tests of storing into one: moto behind a real socket."""

from __future__ import annotations

import io
import os
import re
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import Any

os.environ.setdefault("S3_UPLOAD_PART_MIN_SIZE", "1024")  # before moto is imported: small files have parts, too

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIexample",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""The environment of whoever uses the store."""

_UPLOAD = re.compile("uploadId=")
# All stores of a process have the same buckets.
_numbers = count(1)


@dataclass(frozen=True)
class StoreRequest:
    """One request, as the store saw it. ``date`` is when it was signed, by the clock of whoever sent it."""

    method: str
    path: str
    query: str
    date: str = ""

    @property
    def operation(self) -> str:
        """What it asks for, in the words of S3."""
        if _UPLOAD.search(self.query):
            return {"PUT": "UploadPart", "POST": "Complete", "DELETE": "Abort", "GET": "ListParts"}[self.method]
        if self.method == "POST":
            return "CreateMultipart" if "uploads" in self.query else "DeleteObjects"
        if self.method == "GET" and ("list-type" in self.query or "uploads" in self.query):
            return "List"
        return self.method


@dataclass
class ObjectStore:
    """A running store. ``requests`` are those since the last :meth:`forget`.

    ``before(request)`` is called with each; it may return a status and a code, which is the answer then; with
    the status 0 the connection is cut. ``after(request)`` is called when what it asks for is done; the answer is lost
    if that returns True. ``ignored`` are header fields that the store does not know. ``asked(request, environ)`` may
    change what the store reads, and ``said(request, headers, body)`` what it answers: it returns the body.
    """

    url: str = ""
    requests: list[StoreRequest] = field(default_factory=list)
    before: Callable[[StoreRequest], tuple[int, str] | None] | None = None
    after: Callable[[StoreRequest], bool] | None = None
    ignored: set[str] = field(default_factory=set)
    asked: Callable[[StoreRequest, dict[str, Any]], None] | None = None
    said: Callable[[StoreRequest, dict[str, str], bytes], bytes] | None = None

    @property
    def operations(self) -> Counter[str]:
        """How often what was asked for."""
        return Counter(request.operation for request in self.requests)

    def forget(self) -> None:
        """Forget the requests."""
        self.requests.clear()

    @cached_property
    def client(self) -> Any:
        """A client of boto3."""
        from resumable.receiver.s3.connection import connect

        return connect(self.url)

    def bucket(self) -> str:
        """Create an empty bucket, and return its name."""
        name = f"bucket-{os.getpid()}-{next(_numbers)}"
        self.client.create_bucket(Bucket=name)
        return name

    def objects(self, bucket: str, prefix: str = "") -> dict[str, bytes]:
        """What is in a bucket, without the objects that only the store of the receiver knows."""
        client = self.client
        listed = client.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", ())
        keys = [each["Key"] for each in listed if ".resumable/" not in each["Key"]]
        return {key: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}

    def kept(self, bucket: str, prefix: str = ".resumable/") -> list[str]:
        """The keys of the objects that only the store of the receiver knows."""
        listed = self.client.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", ())
        return [each["Key"] for each in listed]


@contextmanager
def running() -> Iterator[ObjectStore]:
    """A store on a free port."""
    import logging

    import botocore.loaders
    import botocore.session
    from moto.server import create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            sys.settrace(None)  # coverage would follow each step of the store's thread, and count none
            super().setup()

        def log(self, type: str, message: str, *args: Any) -> None:
            pass

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    # Every client reads the description of S3 again, which takes longer than most tests: they share one.
    new_loader, loader = botocore.session.create_loader, botocore.loaders.create_loader()
    botocore.session.create_loader = lambda *paths: loader
    store = ObjectStore()
    application = create_backend_app("s3")
    atomic = threading.Lock()

    def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = StoreRequest(
            environ["REQUEST_METHOD"],
            environ["PATH_INFO"],
            environ["QUERY_STRING"],
            environ.get("HTTP_X_AMZ_DATE", ""),
        )
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        if len(body) < length:
            start_response("400 Bad Request", [("Content-Length", "0"), ("Connection", "close")])
            return [b""]
        store.requests.append(request)
        answer = store.before(request) if store.before is not None else None
        if answer is not None:
            status, code = answer
            if not status:
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
                return []
            text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>said the test</Message></Error>".encode()
            start_response(f"{status} {code}", [("Content-Type", "text/xml"), ("Content-Length", str(len(text)))])
            return [text]
        for name in store.ignored:
            environ.pop(f"HTTP_{name.upper().replace('-', '_')}", None)
        environ["wsgi.input"] = io.BytesIO(body)
        if store.asked is not None:
            store.asked(request, environ)
        start, begun = start_response, []
        if store.said is not None:
            start = lambda *words: begun.append(words)  # noqa: E731
        # A real store checks a condition and writes in one step.
        with atomic:
            answer_body = list(application(environ, start))
        if store.said is not None:
            status, fields = begun[0][:2]
            headers = dict(fields)
            answer_body = [store.said(request, headers, b"".join(answer_body))]
            if request.method != "HEAD":
                headers["Content-Length"] = str(len(answer_body[0]))
            start_response(status, list(headers.items()))
        if store.after is not None and store.after(request):
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        return answer_body

    server = make_server("127.0.0.1", 0, serve, threaded=True, request_handler=Quiet)
    server.daemon_threads = True  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    store.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield store
    finally:
        botocore.session.create_loader = new_loader
        server.shutdown()
        thread.join()
        server.server_close()
