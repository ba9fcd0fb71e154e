"""Requests over raw sockets to a receiver on the loopback, and what came of them as one line of JSON.

``python load.py PORT chunks CONNECTIONS COUNT SIZE IDENTIFIER`` uploads one file of COUNT chunks of SIZE bytes;
``python load.py PORT tests CONNECTIONS COUNT SIZE IDENTIFIER`` sends COUNT tests of a chunk that is not there. Each
connection is kept and has a thread; bodies are sent from memory by the kernel.
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


def head(method: str, number: int, count: int, size: int, identifier: str, length: int | None = None) -> bytes:
    """The head of a request about chunk `number`, as resumable.js would write it, with a body of `length` bytes."""
    query = (
        f"resumableChunkNumber={number}&resumableChunkSize={size}&resumableCurrentChunkSize={size}"
        f"&resumableTotalSize={count * size}&resumableType=&resumableIdentifier={identifier}"
        f"&resumableFilename={identifier}&resumableRelativePath={identifier}&resumableTotalChunks={count}"
    )
    lines = [f"{method} /?{query} HTTP/1.1", "Host: 127.0.0.1", "Accept: */*", "User-Agent: load"]
    if length is not None:
        lines += ["Content-Type: application/octet-stream", f"Content-Length: {length}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


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
    expected = {200, 201} if kind == "chunks" else {204}
    reconnects = -int(connections)

    def connect() -> socket.socket:
        nonlocal reconnects
        reconnects += 1
        sock = socket.create_connection(("127.0.0.1", int(port)), timeout=PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def send(sock: socket.socket, number: int) -> bool:
        """Whether the connection is kept. Raises OSError where it is not there any more."""
        if kind == "chunks":
            sock.sendall(head("POST", number, int(count), int(size), identifier, int(size)), socket.MSG_MORE)
            with open(body, "rb", closefd=False) as file:
                sock.sendfile(file, 0, int(size))
        else:
            sock.sendall(head("GET", 1, int(count), int(size), identifier))
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
