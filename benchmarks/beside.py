"""How others fare on a line while this library uploads over it: one connection that sends, and one that asks.

Runs at the near end of a link, starts ``upload.py`` with the words that follow, and prints as JSON which part of the
bytes a single connection keeps beside it if it was there before (``kept``, of what both sent meanwhile), and which part
one gets that comes later (``share``), and how many times as long as before an answer takes (``delay``, of the median).
"""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.request

from contest import MIB
from link import FAR, URL

SETTLING = 3.0
SECONDS = 6.0
ASK = b"GET /up HTTP/1.1\r\nHost: up\r\n\r\n"
SEND = b"POST /up HTTP/1.1\r\nHost: up\r\nContent-Length: %d\r\n\r\n" % (1 << 40)


class Sender(threading.Thread):
    """A connection that sends as fast as it can inside a ``with`` block."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._ended = False
        self._sent = 0

    def __enter__(self) -> Sender:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self.join()

    def run(self) -> None:
        block = bytes(MIB // 16)
        with _connect() as connection:
            connection.sendall(SEND)
            while not self._ended:
                self._sent += connection.send(block)

    def share(self) -> float:
        """The part that it gets. The first seconds, in which it or the upload finds its speed, do not count."""
        time.sleep(SETTLING)
        sent, received = self._sent, _received()
        time.sleep(SECONDS)
        mine, theirs = self._sent - sent, _received() - received
        return mine / (mine + theirs)


def _connect() -> socket.socket:
    return socket.create_connection((FAR, 8800))


def _answers(seconds: float) -> float:
    """The median of the seconds that an answer takes."""
    taken = []
    until = time.monotonic() + seconds
    with _connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while (began := time.monotonic()) < until:
            connection.sendall(ASK)
            connection.recv(1024)
            taken.append(time.monotonic() - began)
            time.sleep(0.02)
    return statistics.median(taken)


def _received() -> int:
    """The bytes of the bodies that have ended, which the sender's never does."""
    with urllib.request.urlopen(f"{URL}/__stats") as response:
        return int(json.load(response)["body"])


def main() -> int:
    """Measure, and end the upload, which has more to send than it can."""
    before = _answers(1.0)
    with Sender() as sender:
        time.sleep(SETTLING)
        with subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL) as upload:
            kept = sender.share()
            upload.kill()
    time.sleep(1)
    with subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL) as upload:
        time.sleep(SETTLING)
        delay = _answers(SECONDS) / before
        with Sender() as sender:
            share = sender.share()
        if upload.poll() is not None:
            print("the upload was over before the measuring was", file=sys.stderr)
            return 1
        upload.kill()
    print(json.dumps({"kept": kept, "share": share, "delay": delay}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
