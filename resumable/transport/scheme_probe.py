"""Find out whether a port speaks the other one of http:// and https://, after a connection failed and nobody said why.

Some servers close a connection of the other kind without a word, and some wait in silence for a line that never ends.
Without asking, that looks like a network that breaks, and would be tried again and again.
"""

from __future__ import annotations

import socket
import ssl
from urllib.parse import urlsplit

__all__ = ["speaks_other_scheme"]

_PATIENCE = 2.0
"""Seconds for each step, so that whoever closes the session meanwhile need not wait long."""

_PORTS = {"http": 80, "https": 443}


def speaks_other_scheme(url: str) -> bool:
    """Return whether the server at this URL speaks plain HTTP on an https:// port, or TLS on an http:// port.

    It is asked on a connection of its own, with nothing of the request. False also means that it cannot be said.
    """
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        return False
    try:
        with socket.create_connection((parts.hostname, parts.port or _PORTS[parts.scheme]), _PATIENCE) as connection:
            if parts.scheme == "https":
                return _answers_plain_text(connection, parts.hostname)
            return _answers_tls(connection)
    except OSError:
        return False


def _answers_plain_text(connection: socket.socket, host: str) -> bool:
    name = host.encode("idna") if not host.isascii() else host.encode()
    connection.sendall(b"HEAD / HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % name)
    first = connection.recv(64)
    # A TLS port may answer 400 in plain text: "The plain HTTP request was sent to HTTPS port".
    return first.startswith(b"HTTP/1.") and first[8:13] != b" 400 "


def _answers_tls(connection: socket.socket) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with context.wrap_socket(connection):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
