"""Run a server of others that has few workers, at the far end of a long link: ``python pools.py NAME HOST PORT``.

``gunicorn`` has one process with four threads, ``php-fpm`` five processes behind nginx. Both read what is sent, answer
404 to a test and 200 to a chunk, and keep nothing. The port is printed once there is an answer; the end of standard
input ends the server.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

__all__ = ["WORKERS", "application", "missing"]

WORKERS = {"gunicorn": 4, "php-fpm": 5}

HERE = Path(__file__).resolve().parent
PLACES = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
PATIENCE = 20

SCRIPT = "<?php http_response_code($_SERVER['REQUEST_METHOD'] === 'GET' ? 404 : 200);"
FPM = """
[global]
daemonize = no
error_log = {directory}/fpm.log
[www]
user = root
group = root
listen = {directory}/fpm.sock
pm = static
pm.max_children = 5
"""
NGINX = """
daemon off;
user root;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_max_body_size 8m;
    client_body_temp_path {directory}/bodies;
    fastcgi_temp_path {directory}/fastcgi;
    proxy_temp_path {directory}/proxy;
    scgi_temp_path {directory}/scgi;
    uwsgi_temp_path {directory}/uwsgi;
    server {{
        listen {host}:{port};
        location / {{
            fastcgi_pass unix:{directory}/fpm.sock;
            fastcgi_param SCRIPT_FILENAME {directory}/up.php;
            fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param QUERY_STRING $query_string;
            fastcgi_param CONTENT_TYPE $content_type;
            fastcgi_param CONTENT_LENGTH $content_length;
        }}
    }}
}}
"""


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Read the request as a WSGI application, and forget it."""
    left = int(environ.get("CONTENT_LENGTH") or 0)
    while left > 0 and (piece := environ["wsgi.input"].read(min(left, 65536))):
        left -= len(piece)
    status = "404 Not Found" if environ["REQUEST_METHOD"] == "GET" else "200 OK"
    start_response(status, [("Content-Length", "0")])
    return [b""]


def missing(name: str) -> str:
    """What has to be installed for this server; nothing if all is there. gunicorn is looked after by the caller."""
    if name == "php-fpm" and not (_php_fpm() and shutil.which("nginx", path=PLACES)):
        return "php-fpm and nginx"
    return ""


def _php_fpm() -> str | None:
    """Debian gives it the name of its version."""
    found = sorted(Path("/usr/sbin").glob("php-fpm*"))
    return str(found[-1]) if found else shutil.which("php-fpm", path=PLACES)


def _commands(name: str, host: str, port: int, directory: Path) -> list[list[str]]:
    if name == "gunicorn":
        words = [sys.executable, "-m", "gunicorn", "--chdir", str(HERE), "--bind", f"{host}:{port}"]
        return [[*words, "--log-level", "error", "--worker-class", "gthread", "--threads", "4", "pools:application"]]
    facts = {"directory": directory, "host": host, "port": port}
    for file, text in (("up.php", SCRIPT), ("fpm.conf", FPM.format(**facts)), ("nginx.conf", NGINX.format(**facts))):
        (directory / file).write_text(text)
    fpm = [str(_php_fpm()), "--fpm-config", str(directory / "fpm.conf"), "--allow-to-run-as-root"]
    nginx = str(shutil.which("nginx", path=PLACES))
    return [fpm, [nginx, "-c", str(directory / "nginx.conf"), "-e", str(directory / "nginx.log")]]


def _answers(host: str, port: int) -> bool:
    """Whether a test gets the answer that it should."""
    try:
        with socket.create_connection((host, port), 1) as connection:
            connection.sendall(b"GET /up HTTP/1.1\r\nHost: up\r\nConnection: close\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.1 404")
    except OSError:
        return False


def main() -> int:
    """Serve until standard input ends."""
    name, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with tempfile.TemporaryDirectory() as below:
        os.chmod(below, 0o755)
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        processes = [subprocess.Popen(words, **quiet) for words in _commands(name, host, port, Path(below))]
        try:
            until = time.monotonic() + PATIENCE
            while not _answers(host, port):
                if time.monotonic() > until:
                    print(f"{name} does not answer", file=sys.stderr)
                    return 1
                time.sleep(0.1)
            print(port, flush=True)
            while os.read(0, 1):
                pass
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
