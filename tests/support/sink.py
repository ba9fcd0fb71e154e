"""A server in a process of its own that takes everything, keeps nothing, and says 200: ``python sink.py``.

Prints its port, and serves until its standard input ends.
"""

from __future__ import annotations

import re
import socket
import sys
import threading

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def serve(connection: socket.socket) -> None:
    """Requests on one connection are read and answered until it ends."""
    buffer = memoryview(bytearray(1 << 18))
    kept = b""
    with connection:
        while True:
            while b"\r\n\r\n" not in kept:
                count = connection.recv_into(buffer)
                if not count:
                    return
                kept += bytes(buffer[:count])
            head, _, kept = kept.partition(b"\r\n\r\n")
            found = _LENGTH.search(head)
            left = (int(found[1]) if found else 0) - len(kept)
            kept = b""
            while left > 0:
                count = connection.recv_into(buffer)
                if not count:
                    return
                left -= count
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def main() -> None:
    """Serves until nobody wants it any more."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        print(listening.getsockname()[1], flush=True)

        def accept() -> None:
            while True:
                threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        sys.stdin.read()


if __name__ == "__main__":
    main()
