"""Look at the way to a server, step by step: proxy, credentials in files, name, connection, TLS."""

from __future__ import annotations

import netrc
import os
import socket
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import urlsplit

import certifi

from ...errors import redact_url
from ...special_files import refuse_special_file
from ..output.exit_codes import TRUST, ExitCode
from .finding import Finding

__all__ = ["look_at_the_way", "other_scheme"]

_PATIENCE = 10.0
_CHECK_PORT = "check the port in the URL"


def look_at_the_way(target: str, again: Callable[..., str]) -> Iterator[Finding]:
    """Yield what is found on the way to the target, until something on it fails.

    ``again(target=…)`` is the command line for another target.
    """
    parts = urlsplit(target)
    host, port = _address(target)
    proxy = _proxy(parts.scheme, host)
    yield _proxy_finding(proxy, host)
    yield _netrc_finding(host)
    if proxy:
        host, port = _address(proxy if "://" in proxy else f"http://{proxy}")
    resolved, addresses = _resolve(host, port)
    yield resolved
    if not addresses:
        return
    connected, line = _connect(host, port, addresses)
    yield connected
    if line is None:
        return
    with line:
        found = _tls(line, host) if parts.scheme == "https" and not proxy else None
    if found is not None and found.code is ExitCode.TLS and (there := other_scheme(target)):
        text = f"{found.text}: the port speaks http://"
        found = found._replace(text=text, advice=f"type: {again(target=there)}")
    if found is not None:
        yield found


def other_scheme(target: str) -> str:
    """Return the target with http:// in place of https://, or the other way round, if its port speaks that.

    Return the empty text if it does not, or if there is a proxy on the way.
    """
    parts = urlsplit(target)
    host, port = _address(target)
    if _proxy(parts.scheme, host):
        return ""
    try:
        with socket.create_connection((host, port), _PATIENCE) as line:
            if parts.scheme == "http":
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                context.wrap_socket(line, server_hostname=host).close()
            else:
                line.sendall(
                    f"GET / HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\n\r\n".encode("ascii", "replace")
                )
                if not line.recv(5).startswith(b"HTTP/"):
                    return ""
    except OSError:
        return ""
    netloc = parts.netloc if parts.port else f"{parts.netloc}:{port}"
    return parts._replace(scheme="https" if parts.scheme == "http" else "http", netloc=netloc).geturl()


def _address(url: str) -> tuple[str, int]:
    """Return the host and the port of the URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _proxy(scheme: str, host: str) -> str:
    """Return the proxy that the environment names for this host, by the rules of requests; empty if there is none."""
    proxies = urllib.request.getproxies()
    if urllib.request.proxy_bypass(host):
        return ""
    return proxies.get(scheme) or proxies.get("all") or ""


def _proxy_finding(proxy: str, host: str) -> Finding:
    if proxy:
        shown = redact_url(proxy)
        return Finding("proxy", f"through {shown}, from the environment", f"NO_PROXY={host} goes around it")
    named = sorted(name for name in os.environ if name.lower() in ("http_proxy", "https_proxy", "all_proxy"))
    return Finding("proxy", f"none for this host ({', '.join(named)} set for others)" if named else "none")


def _netrc_finding(host: str) -> Finding:
    places = [os.environ["NETRC"]] if "NETRC" in os.environ else ["~/.netrc", "~/_netrc"]
    path = next((path for path in map(os.path.expanduser, places) if os.path.exists(path)), None)
    if path is None:
        return Finding("netrc", "none")
    try:
        refuse_special_file(path)
        entry = netrc.netrc(path).authenticators(host)
    except (OSError, ValueError, netrc.NetrcParseError) as error:
        reason = getattr(error, "msg", None) or getattr(error, "strerror", None) or "it is not well formed"
        return Finding("netrc", f"{path} cannot be used: {reason}", "correct it, or remove it", doubtful=True)
    if entry is None:
        return Finding("netrc", f"{path} has nothing for {host}")
    return Finding("netrc", f"{path} has a user and a password for {host}; a token that you give wins")


def _resolve(host: str, port: int) -> tuple[Finding, list[str]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        text = f"{host} is unknown ({error.strerror})"
        return Finding("name", text, "check the host in the URL", ExitCode.EXHAUSTED), []
    addresses = list(dict.fromkeys(str(row[4][0]) for row in found))
    return Finding("name", f"{host} is {', '.join(addresses[:4])}"), addresses


def _connect(host: str, port: int, addresses: list[str]) -> tuple[Finding, socket.socket | None]:
    """Connect to each address; return what came of it, and the first connection."""
    line = None
    refused = []
    for address in addresses:
        began = time.monotonic()
        try:
            made = socket.create_connection((address, port), _PATIENCE)
        except OSError as error:
            refused.append(f"{address}: {error.strerror or 'no answer in time'}")
            continue
        if line is None:
            line, took = made, time.monotonic() - began
        else:
            made.close()
    if line is None:
        advice = "check the host and the port in the URL, whether the server runs, and the firewalls between"
        text = f"no connection to {host} port {port} ({'; '.join(refused)})"
        return Finding("connection", text, advice, ExitCode.EXHAUSTED), None
    text = f"port {port} answers, in {took * 1000:.0f} ms"
    if refused:
        advice = "clients may try those first, and wait"
        return Finding("connection", f"{text}, but not at {'; '.join(refused)}", advice, doubtful=True), line
    return Finding("connection", text), line


def _tls(line: socket.socket, host: str) -> Finding:
    named = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    bundle = named or certifi.where()
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(*((None, bundle) if Path(bundle).is_dir() else (bundle,)))
        with context.wrap_socket(line, server_hostname=host) as secured:
            certificate = secured.getpeercert() or {}
            version = secured.version()
    except ssl.SSLCertVerificationError as error:
        text = f"the certificate is not trusted: {error.verify_message} (by {bundle})"
        return Finding("TLS", text, TRUST, ExitCode.TLS)
    except ssl.SSLError as error:
        return Finding("TLS", f"the server does not speak TLS here ({error.reason})", _CHECK_PORT, ExitCode.TLS)
    except OSError as error:
        return Finding("TLS", f"the connection broke ({error.strerror or error})", _CHECK_PORT, ExitCode.TLS)
    until = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    ends = datetime.fromtimestamp(until, timezone.utc)
    left = (ends - datetime.now(timezone.utc)).days
    return Finding("TLS", f"{version}, trusted until {ends:%Y-%m-%d} ({left} days)", doubtful=left < 14)
