"""``python -m resumable.receiver DIRECTORY``: serve a directory until interrupted, and say where."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence

from ..errors import OptionError
from .app import Receiver
from .server.server import Server
from .store.files import FileStore

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; 0 after that, 2 where an option is wrong, 1 where the address is taken."""
    parser = argparse.ArgumentParser(
        prog="python -m resumable.receiver", description="Receive resumable uploads into a directory."
    )
    parser.add_argument("directory", help="where finished uploads go; made if it is missing")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: any free one)")
    parser.add_argument("--token-env", metavar="NAME", help="environment variable with the token clients must send")
    parser.add_argument("--insecure", action="store_true", help="listen on any address without a token")
    parser.add_argument("--processes", type=int, default=1, help="how many share the work (default: %(default)s)")
    parser.add_argument("--fsync", choices=("always", "finish", "never"), default="finish", help="default: %(default)s")
    options = parser.parse_args(arguments)
    try:
        token = os.environ.get(options.token_env, "") if options.token_env else None
        receiver = Receiver(FileStore(options.directory, fsync=options.fsync), token=token, min_chunk_size=1024)
        server = Server(
            receiver, host=options.host, port=options.port, insecure=options.insecure, processes=options.processes
        )
    except OptionError as error:
        parser.error(str(error))
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        server.start()
    except OSError as error:
        print(f"cannot listen on {options.host} port {options.port}: {error}", file=sys.stderr)
        return 1
    print(server.url, flush=True)
    try:
        # A signal that comes just before this thread blocks wakes nobody: it is noticed at the next look.
        while not stopped.wait(1):
            pass
    finally:
        server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
