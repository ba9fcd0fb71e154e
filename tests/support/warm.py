"""Run programs of Python from one warm process that forks for each, so that none waits for Python to start.

``Warm()`` starts it. ``write_programs(folder, name)`` puts a command into a folder that hands its arguments, streams,
directory and environment to the warm process, and ends as the program does. ``program`` starts ``resumable`` this way.
Linux only.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys

if __name__ != "warm":  # the commands, which import it by this name, do without the rest
    import atexit
    import fcntl
    import gc
    import logging
    import runpy
    import select
    import subprocess
    import tempfile
    import termios
    import threading
    import traceback
    from pathlib import Path
    from typing import NoReturn

__all__ = ["Warm", "ask", "begin"]

PRELOADED = (
    "asyncio",
    "cheroot.wsgi",
    "encodings.ascii",
    "more_itertools",
    "netrc",
    "platformdirs",
    "resumable.cli.doctor",
    "resumable.cli.output.display",
    "resumable.cli.params.plugins",
    "resumable.cli.params.responses",
    "resumable.cli.serve",
    "resumable.cli.status",
    "resumable.cli.upload",
    "resumable.cli.watch",
    "resumable.receiver.server.acceptor",
    "resumable.simple",
    "rich.progress",
    "tqdm",
)
"""What most programs import."""

PROGRAM = """\
#!{python} -SE
import sys
sys.path.append({folder!r})
import warm
sys.exit(warm.ask({address!r}, [{name!r}, *sys.argv[1:]]))
"""


class Warm:
    """A warm process, until the end of the ``with`` block, or of this process."""

    def __init__(self) -> None:
        self.address = f"\0resumable-warm-{os.getpid()}-{id(self)}"
        self._process = subprocess.Popen(
            [sys.executable, "-X", "utf8", "-W", "error", __file__, self.address[1:]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")},
        )

    def __enter__(self) -> Warm:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"warm\n"
        return self

    def __exit__(self, *raised: object) -> None:
        self._process.communicate()

    def run(self, program: Path, folder: Path, environment: dict[str, str]) -> tuple[int, str]:
        """Run a program of Python, and return its exit code and what it said."""
        with open(os.devnull, "rb") as nothing, tempfile.TemporaryFile() as output:
            streams = [nothing.fileno(), output.fileno(), output.fileno()]
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
                connection.settimeout(100)
                begin(connection, self.address, ["python3", str(program)], str(folder), environment, streams)
                code = int(connection.recv(100))
            output.seek(0)
            return code, output.read().decode()

    def write_programs(self, folder: Path, *names: str) -> None:
        """Put commands of these names into a folder: ``resumable``, or others that are Python itself."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            text = PROGRAM.format(
                python=sys.executable, folder=os.path.dirname(__file__), address=self.address, name=name
            )
            (folder / name).write_text(text, encoding="utf-8")
            (folder / name).chmod(0o755)


def ask(address: str, arguments: list[str]) -> int:
    """Have the warm process run a program with the streams, directory and environment of this one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        running = begin(connection, address, arguments, os.getcwd(), dict(os.environ), [0, 1, 2])
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, frame: os.kill(running, number))
        return int(connection.recv(100))


def begin(
    connection: socket.socket,
    address: str,
    arguments: list[str],
    folder: str,
    environment: dict[str, str],
    streams: list[int],
    *,
    terminal: bool = False,
) -> int:
    """Have a program begin, and return its process id. Its exit code is the next message.

    With ``terminal``, its standard input is one, which becomes the terminal of the program and of no other.
    """
    connection.connect(address)
    socket.send_fds(connection, [json.dumps([arguments, folder, environment, terminal]).encode()], streams)
    return int(connection.recv(100))


def _serve(address: str) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests with nohup has it ignored
    for name in PRELOADED:
        __import__(name)
    gc.freeze()  # what is not looked at in a fork is not copied there
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(address)
        listener.listen(100)
        print("warm", flush=True)
        running: set[int] = set()
        while sys.stdin.fileno() not in select.select([listener, sys.stdin.fileno()], [], [])[0]:
            connection, _ = listener.accept()
            child = os.fork()
            if child == 0:
                listener.close()
                _answer(connection)
            connection.close()
            running = {child for child in {*running, child} if os.waitpid(child, os.WNOHANG) == (0, 0)}


def _answer(connection: socket.socket) -> NoReturn:
    """Run the program in another fork, and tell how it ended. Neither fork returns."""
    request, streams, _, _ = socket.recv_fds(connection, 1 << 20, 3)
    running = os.fork()
    if running:
        for stream in streams:
            os.close(stream)
        connection.send(str(running).encode())
        connection.send(str(os.waitstatus_to_exitcode(os.waitpid(running, 0)[1])).encode())
        os._exit(0)
    connection.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.argv, folder, environment, terminal = json.loads(request)
    if terminal:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    os._exit(_run())


def _run() -> int:
    """Be the program of ``sys.argv``, and return its exit code. Taking Python to pieces at the end would take long."""
    code: object = 1
    try:
        if sys.argv[0] == "-m":
            del sys.argv[0]
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
            code = 0
        elif sys.argv[0] == "resumable":
            logging.basicConfig()  # handlers that raise are logged and nothing else
            from resumable.__main__ import main

            code = main()
        else:
            logging.basicConfig()
            del sys.argv[0]
            sys.path.insert(0, os.path.dirname(os.path.abspath(sys.argv[0])))
            runpy.run_path(sys.argv[0], run_name="__main__")
            code = 0
    except SystemExit as end:
        code = end.code or 0
        if not isinstance(code, int):
            print(code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else 1


if __name__ == "__main__":
    _serve(f"\0{sys.argv[1]}")
