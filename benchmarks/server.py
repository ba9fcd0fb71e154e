"""A server that throws every body away, so that an upload client can be measured and not the server.

``/up``    GET 404 (nothing is there yet), POST 200
``/have``  GET 200 (everything is there), POST 200
``/204``   GET 204, POST 200
``/many``  as ``/up``, and says that one client may send sixteen at once
``/four``  as ``/up``, but 429 to each chunk beside which four are under way
``/six``   as ``/up``, but cuts each chunk off beside which six are under way
``/__stats``  the counters as JSON: connections, get, post, put, body (bytes)

One process, one thread, one epoll. The kernel drops bodies with ``recv(MSG_TRUNC)`` without copying them, which only
Linux does. ``python server.py`` prints the port that it listens on and ends when its standard input is closed.

With ``--tls certificate.pem`` it speaks TLS 1.3, one thread a connection, and bodies have to be read.
"""

from __future__ import annotations

import argparse
import json
import re
import select
import socket
import ssl
import sys
import threading

HEADER_ROOM = 16 * 1024
SPAN = 4 * 1024 * 1024

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_EXPECT = re.compile(rb"\r\nexpect: *100-continue", re.IGNORECASE)

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SIXTEEN = b"\r\nResumable-Max-Uploads: 16\r\n"
TOO_MANY = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"
PRESENT = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
ABSENT = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
NOTHING = b"HTTP/1.1 204 No Content\r\n\r\n"


class Counters:
    """What has been received since the start."""

    def __init__(self) -> None:
        self.connections = self.get = self.post = self.put = self.body = self.under_way = self.refused = 0

    def begin(self, head: bytes) -> bool:
        """Whether a chunk may begin with this head. Raises OSError, which ends the connection, if it is cut off."""
        if head.startswith(b"POST /six") and self.under_way >= 6:
            self.refused += 1
            raise OSError("there are six already")
        if head.startswith(b"POST /four") and self.under_way >= 4:
            self.refused += 1
            return False
        return True

    def answer(self, head: bytes, length: int) -> bytes:
        """The response to the request that begins with `head`, whose body of `length` bytes has been read."""
        said = self._answer(head, length)
        return said.replace(b"\r\n", SIXTEEN, 1) if b" /many" in head[:12] else said

    def _answer(self, head: bytes, length: int) -> bytes:
        self.body += length
        if head.startswith(b"POST"):
            self.post += 1
            return OK
        if head.startswith(b"PUT"):
            self.put += 1
            return OK
        if head.startswith(b"GET /__stats"):
            figures = json.dumps(vars(self)).encode()
            return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(figures), figures)
        self.get += 1
        if head.startswith(b"GET /have"):
            return PRESENT
        return NOTHING if head.startswith(b"GET /204") else ABSENT


def _length(head: bytes) -> int:
    """The bytes of the body. Raises OSError, which ends the connection, where the client does not agree with itself."""
    lengths = _LENGTH.findall(head)
    if len(lengths) > 1:
        raise OSError("more than one Content-Length")
    return int(lengths[0]) if lengths else 0


class Connection:
    """One connection: the bytes of a header that is not complete, or a body of which `left` bytes are to come."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = b""
        self.head = b""
        self.length = 0
        self.left = 0
        self.welcome = True


def _advance(connection: Connection, counters: Counters, span: memoryview) -> bool:
    """Read what has arrived. False when the connection is over."""
    sock = connection.sock
    while True:
        if not connection.head:
            if b"\r\n\r\n" not in connection.buffer:
                try:
                    received = sock.recv(HEADER_ROOM)
                except BlockingIOError:
                    return True
                if not received:
                    return False
                connection.buffer += received
            head, found, rest = connection.buffer.partition(b"\r\n\r\n")
            if not found:
                continue
            connection.welcome = counters.begin(head)
            connection.head = head
            counters.under_way += connection.welcome and head.startswith(b"POST")
            connection.length = _length(head)
            connection.left = connection.length - len(rest)
            connection.buffer = b""
            if connection.left < 0:
                connection.buffer = rest[connection.length :]
                connection.left = 0
            if connection.left and _EXPECT.search(head):
                sock.send(CONTINUE)
        while connection.left:
            try:
                dropped = sock.recv_into(span, min(connection.left, SPAN), socket.MSG_TRUNC)
            except BlockingIOError:
                return True
            if not dropped:
                return False
            connection.left -= dropped
        sock.send(counters.answer(connection.head, connection.length) if connection.welcome else TOO_MANY)
        _end(connection, counters)


def _end(connection: Connection, counters: Counters) -> None:
    """The request is over."""
    counters.under_way -= connection.welcome and connection.head.startswith(b"POST")
    connection.head = b""


def serve(listener: socket.socket, counters: Counters) -> None:
    """Answer until standard input is closed."""
    listener.setblocking(False)
    span = memoryview(bytearray(SPAN))
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    poll.register(sys.stdin, select.EPOLLIN)
    connections: dict[int, Connection] = {}
    while True:
        for number, _ in poll.poll():
            if number == listener.fileno():
                sock = listener.accept()[0]
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                poll.register(sock, select.EPOLLIN)
                connections[sock.fileno()] = Connection(sock)
                counters.connections += 1
            elif number == sys.stdin.fileno():
                return
            else:
                try:
                    alive = _advance(connections[number], counters, span)
                except OSError:
                    alive = False
                if not alive:
                    _end(connections[number], counters)
                    poll.unregister(number)
                    connections.pop(number).sock.close()


def _converse(sock: socket.socket, context: ssl.SSLContext, counters: Counters, lock: threading.Lock) -> None:
    span = memoryview(bytearray(64 * 1024))
    try:
        with context.wrap_socket(sock, server_side=True) as secure:
            buffer = b""
            while True:
                while b"\r\n\r\n" not in buffer:
                    received = secure.recv(HEADER_ROOM)
                    if not received:
                        return
                    buffer += received
                head, _, rest = buffer.partition(b"\r\n\r\n")
                length = _length(head)
                left = length - len(rest)
                buffer = rest[length:]
                if left > 0 and _EXPECT.search(head):
                    secure.sendall(CONTINUE)
                while left > 0:
                    received_into = secure.recv_into(span, min(left, len(span)))
                    if not received_into:
                        return
                    left -= received_into
                with lock:
                    response = counters.answer(head, length)
                secure.sendall(response)
    except OSError:
        return


def serve_tls(listener: socket.socket, counters: Counters, certificate: str) -> None:
    """Answer over TLS 1.3, one thread a connection, until standard input is closed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate)
    lock = threading.Lock()

    def accept() -> None:
        while True:
            sock = listener.accept()[0]
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with lock:
                counters.connections += 1
            threading.Thread(target=_converse, args=(sock, context, counters, lock), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


def main() -> None:
    """Listen, print the port, serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tls", metavar="CERTIFICATE", help="a PEM file with the private key and the chain")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="any free one by default")
    arguments = parser.parse_args()
    counters = Counters()
    with socket.create_server((arguments.host, arguments.port), backlog=128) as listener:
        print(listener.getsockname()[1], flush=True)
        if arguments.tls:
            serve_tls(listener, counters, arguments.tls)
        else:
            serve(listener, counters)


if __name__ == "__main__":
    main()
