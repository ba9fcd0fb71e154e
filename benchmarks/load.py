"""Requests over raw sockets to a receiver on the loopback, and what came of them as one line of JSON.

``python load.py PORT KIND CONNECTIONS COUNT SIZE IDENTIFIER`` sends COUNT requests: ``chunks`` uploads a file of COUNT
chunks of SIZE bytes, ``forms`` the same in forms, as browsers do, and ``slow`` does so with 16 KiB every 50 ms on each
connection. ``files`` uploads COUNT files of SIZE bytes in forms, ``puts`` the same as ``curl -T`` does, and ``tests``
asks for a chunk that is not there. Each connection is kept and has a thread; bodies are sent from memory by the kernel.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time

__all__ = ["head", "read_answer"]

PATIENCE = 60.0
BOUNDARY = "----resumable0123456789abcdef0123456789abcdef"
TAIL = f"\r\n--{BOUNDARY}--\r\n".encode()
FORMS = ("forms", "files", "slow")
SLOWLY, PAUSE = 16 * 1024, 0.05
EXPECTED = {"tests": {204}, "puts": {201}}


def head(method: str, number: int, count: int, size: int, identifier: str, length: int | None = None) -> bytes:
    """The head of a request about chunk `number`, as resumable.js would write it, with a body of `length` bytes."""
    query = "&".join(f"{name}={value}" for name, value in _parameters(number, count, size, identifier).items())
    lines = [f"{method} /?{query} HTTP/1.1", "Host: 127.0.0.1", "Accept: */*", "User-Agent: load"]
    if length is not None:
        lines += ["Content-Type: application/octet-stream", f"Content-Length: {length}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _parameters(number: int, count: int, size: int, identifier: str) -> dict[str, object]:
    return {
        "resumableChunkNumber": number,
        "resumableChunkSize": size,
        "resumableCurrentChunkSize": size,
        "resumableTotalSize": count * size,
        "resumableType": "",
        "resumableIdentifier": identifier,
        "resumableFilename": identifier,
        "resumableRelativePath": identifier,
        "resumableTotalChunks": count,
    }


def form(number: int, count: int, size: int, identifier: str) -> bytes:
    """The head of a request about chunk `number`, and its form up to the bytes of the chunk; `TAIL` is behind them."""
    disposition = f"--{BOUNDARY}\r\nContent-Disposition: form-data; name="
    fields = _parameters(number, count, size, identifier).items()
    text = "".join(f'{disposition}"{name}"\r\n\r\n{value}\r\n' for name, value in fields)
    text += f'{disposition}"file"; filename="{identifier}"\r\nContent-Type: application/octet-stream\r\n\r\n'
    lines = ["POST / HTTP/1.1", "Host: 127.0.0.1", "User-Agent: load"]
    lines += [f"Content-Type: multipart/form-data; boundary={BOUNDARY}"]
    lines += [f"Content-Length: {len(text) + size + len(TAIL)}"]
    return ("\r\n".join(lines) + "\r\n\r\n" + text).encode()


def put(size: int, name: str) -> bytes:
    """The head of a request that stores a file."""
    return f"PUT /{name} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {size}\r\n\r\n".encode()


def request(kind: str, number: int, count: int, size: int, identifier: str) -> bytes:
    """All of a request in front of the bytes of the chunk."""
    if kind == "tests":
        return head("GET", 1, count, size, identifier)
    if kind == "chunks":
        return head("POST", number, count, size, identifier, size)
    if kind == "puts":
        return put(size, f"{identifier}-{number}")
    if kind == "files":
        return form(1, 1, size, f"{identifier}-{number}")
    return form(number, count, size, identifier)


def read_answer(sock: socket.socket) -> tuple[int, bool]:
    """The status of the answer, which is read to its end, and whether the connection is kept."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = sock.recv(65536)
        if not piece:
            raise ConnectionError(f"the server closed the connection after {received!r}")
        received += piece
    lines, _, body = received.partition(b"\r\n\r\n")
    status, *fields = lines.lower().split(b"\r\n")
    named = dict(field.split(b": ", 1) for field in fields)
    left = int(named.get(b"content-length", 0)) - len(body)
    while left > 0:
        left -= len(sock.recv(left))
    return int(status.split()[1]), named.get(b"connection") != b"close"


def main() -> None:
    """Send all requests, and fail unless each is answered as it should be."""
    port, kind, connections, count, size, identifier = sys.argv[1:]
    requests = iter(range(1, int(count) + 1))
    lock = threading.Lock()
    wrong: list[str] = []
    body = os.memfd_create("body")
    os.write(body, os.urandom(int(size)))
    has_body = kind != "tests"
    expected = EXPECTED.get(kind, {200, 201})
    reconnects = -int(connections)

    def connect() -> socket.socket:
        nonlocal reconnects
        reconnects += 1
        sock = socket.create_connection(("127.0.0.1", int(port)), timeout=PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def send(sock: socket.socket, number: int) -> bool:
        """Whether the connection is kept. Raises OSError where it is not there any more."""
        sock.sendall(request(kind, number, int(count), int(size), identifier), socket.MSG_MORE if has_body else 0)
        if kind == "slow":
            for offset in range(0, int(size), SLOWLY):
                sock.sendall(os.pread(body, SLOWLY, offset))
                time.sleep(PAUSE)
        elif has_body:
            with open(body, "rb", closefd=False) as file:
                sock.sendfile(file, 0, int(size))
        if kind in FORMS:
            sock.sendall(TAIL)
        status, kept = read_answer(sock)
        if status not in expected:
            wrong.append(f"status {status}")
        return kept

    def work() -> None:
        sock = connect()
        fresh = True
        try:
            while not wrong:
                with lock:
                    number = next(requests, 0)
                if not number:
                    return
                try:
                    kept = send(sock, number)
                except OSError:
                    # As any client does where the server closed the connection meanwhile.
                    if fresh:
                        raise
                    sock.close()
                    sock = connect()
                    kept = send(sock, number)
                fresh = not kept
                if not kept:
                    sock.close()
                    sock = connect()
        except OSError as error:
            wrong.append(repr(error))
        finally:
            sock.close()

    threads = [threading.Thread(target=work) for _ in range(int(connections))]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    if wrong:
        raise SystemExit(f"not answered as it should be: {wrong[0]}")
    print(json.dumps({"seconds": seconds, "reconnects": max(0, reconnects)}))


if __name__ == "__main__":
    main()
