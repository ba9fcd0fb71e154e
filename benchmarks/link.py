"""Run a command at the near end of a long link, with a server at its far end: http://10.99.0.2:8800/up.

``python link.py ROUND_TRIP_MS LOSS_PERCENT RATE_MBIT COMMAND …``; ``--control cubic`` is the congestion control of both
ends, whatever the command wants; without it the command chooses, and otherwise the machine. ``--server`` is the program
that serves, with the words before host and port; it is ``server.py`` by itself.

Both ends are network namespaces of their own, and ``link.c`` carries the packets from one to the other, so nothing of
the machine's network is touched. Linux, a C compiler, iproute2 and ``/dev/net/tun`` are needed, and root or user
namespaces for everybody: :func:`missing` says what is not there.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shlex
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

__all__ = ["URL", "command", "missing", "relay"]

URL = "http://10.99.0.2:8800"

HERE = Path(__file__).resolve().parent
NEAR, FAR = "10.99.0.1", "10.99.0.2"
TUN = "/dev/net/tun"
DEVICE = "link0"
SETIFF = 0x400454CA
NO_HEADER = 0x1001  # IFF_TUN | IFF_NO_PI


def missing() -> str:
    """What a long link needs and this machine does not have; nothing if all is there."""
    absent = [name for name in ("cc", "ip", "unshare") if shutil.which(name) is None]
    if absent:
        return f"the long link needs {', '.join(absent)} (gcc, iproute2, util-linux)"
    if not os.access(TUN, os.R_OK | os.W_OK):
        return f"the long link needs {TUN}"
    if subprocess.run([*_apart(), "true"], capture_output=True, check=False).returncode:
        return "the long link needs root, or user namespaces for everybody"
    return ""


def relay() -> Path:
    """The compiled ``link.c``."""
    built = HERE.parent / "build" / "link"
    source = HERE / "link.c"
    if not built.exists() or built.stat().st_mtime < source.stat().st_mtime:
        built.parent.mkdir(exist_ok=True)
        subprocess.run(["cc", "-O2", "-o", str(built), str(source)], check=True)
    return built


def command(round_trip: float, loss: float, rate: float, control: str, *words: str, server: str = "") -> list[str]:
    """The command that runs these words at the near end of such a link, with this server at the other."""
    link = [sys.executable, str(HERE / "link.py"), "--control", control, "--server", server]
    return [*_apart(), *link, str(round_trip), str(loss), str(rate), *words]


def _apart() -> list[str]:
    root = os.geteuid() == 0
    return ["unshare", "--net"] if root else ["unshare", "--user", "--map-root-user", "--net"]


def _device(address: str, control: str) -> int:
    """Make the only device of this namespace, and return its open descriptor."""
    fd = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, SETIFF, struct.pack("16sH", DEVICE.encode(), NO_HEADER))
    for words in (
        ("link", "set", "dev", "lo", "up"),
        ("address", "add", f"{address}/30", "dev", DEVICE),
        ("link", "set", "dev", DEVICE, "mtu", "1500", "txqueuelen", "20000", "up"),
    ):
        subprocess.run(["ip", *words], check=True)
    # What one run learns of the path is not for the next.
    Path("/proc/sys/net/ipv4/tcp_no_metrics_save").write_text("1")
    if control:
        route = ("10.99.0.0/30", "dev", DEVICE, "src", address, "congctl", control)
        subprocess.run(["ip", "route", "replace", *route], check=True)
    return fd


def _far_end(control: str, server: str) -> None:
    """Pass the device on through standard input, and become the server."""
    with socket.socket(fileno=0) as near:
        socket.send_fds(near, [b"x"], [_device(FAR, control)])
        words = [sys.executable, "-I", str(HERE / "server.py"), "--host", FAR, "--port", "8800"]
        if server:
            words = [*shlex.split(server), FAR, "8800"]
        os.execv(words[0], words)


def main() -> int:
    """Run the command, and return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--control", default="")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--server", default="")
    parser.add_argument("round_trip", type=float)
    parser.add_argument("loss", type=float)
    parser.add_argument("rate", type=float)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    if not arguments.command:
        _far_end(arguments.control, arguments.server)
    built = relay()
    ours, theirs = socket.socketpair()
    chosen = ["--control", arguments.control, "--server", arguments.server]
    far = [sys.executable, str(HERE / "link.py"), *chosen, "0", "0", "0"]
    near_fd = _device(NEAR, arguments.control)
    with subprocess.Popen(["unshare", "--net", *far], stdin=theirs.fileno(), stdout=subprocess.PIPE) as server:
        theirs.close()
        far_fd = socket.recv_fds(ours, 1, 1)[1][0]
        assert server.stdout
        if not server.stdout.readline():  # the port: it listens
            return 1
        numbers = (near_fd, far_fd, arguments.round_trip / 2, arguments.loss, arguments.rate, arguments.seed)
        with subprocess.Popen([str(built), *map(str, numbers)], pass_fds=(near_fd, far_fd)) as carrying:
            try:
                return subprocess.run(arguments.command, check=False).returncode
            finally:
                carrying.terminate()
                ours.close()


if __name__ == "__main__":
    sys.exit(main())
