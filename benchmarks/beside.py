"""How others fare on a line while this library uploads over it: one connection that sends, and one that asks.

Runs at the near end of a link, starts ``upload.py`` with the words that follow, and prints as JSON which part of the
bytes a single connection gets beside it (``share``, of what both sent meanwhile), and how many times as long as before
an answer takes (``delay``, of the median).
"""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import sys
import time
import urllib.request

from contest import MIB
from link import FAR, URL

SETTLING = 3.0
SECONDS = 6.0
ASK = b"GET /up HTTP/1.1\r\nHost: up\r\n\r\n"
SEND = b"POST /up HTTP/1.1\r\nHost: up\r\nContent-Length: %d\r\n\r\n" % (1 << 40)


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
    with urllib.request.urlopen(f"{URL}/__stats") as response:
        return int(json.load(response)["body"])


def _share() -> float:
    """The part that a connection gets which sends as fast as it can; the first seconds, in which it finds its speed, do
    not count."""
    block = bytes(MIB // 16)
    with _connect() as connection:
        connection.sendall(SEND)
        ends = [time.monotonic() + SETTLING, time.monotonic() + SETTLING + SECONDS]
        counts = []
        sent = 0
        for end in ends:
            while time.monotonic() < end:
                sent += connection.send(block)
            counts.append((sent, _received()))
    mine, theirs = (after - before for before, after in zip(*counts, strict=True))
    return mine / (mine + theirs)


def main() -> int:
    """Measure, and end the upload, which has more to send than it can."""
    before = _answers(1.0)
    with subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL) as upload:
        time.sleep(SETTLING)
        delay = _answers(SECONDS) / before
        share = _share()
        if upload.poll() is not None:
            print("the upload was over before the measuring was", file=sys.stderr)
            return 1
        upload.kill()
    print(json.dumps({"share": share, "delay": delay}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
