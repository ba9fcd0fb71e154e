"""Measure what several machines bring, and what an object store behind the receiver costs.

``python benchmarks/cluster.py parts`` sends one file in four parts from four network namespaces, each with a link of
its own, and compares that with one. ``replicas`` sends one file through 1, 2 and 4 servers, each behind a link of its
own, at one object store. ``store`` compares an upload through one server with ``upload_file`` of boto3 straight to the
store: ``--store rclone`` is ``rclone serve s3``, otherwise it is moto. With ``--rate`` the server and ``upload_file``
reach the store over a link of that rate; without, they share this machine's processors with it and with nothing else.

Links need Linux, root and iproute2 with ``tc``; ``replicas`` needs nginx, too. README.rst has the figures.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

MIB = 1 << 20
BUCKET = "bench"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIexample",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
PARTS = 4
RATE = 16
CONNECTIONS = 4
"""For each link: with two, one is idle now and then, and the last chunks end at different times."""

PART = """
import sys, time, resumable
path, url, number, count, name = sys.argv[1:]
resumable.upload(b"warm", url, relative_path=f"warm-{name}-{number}")
print(flush=True)
sys.stdin.readline()
began = time.monotonic()
options = {"part": (int(number), int(count))} if int(count) > 1 else {}
resumable.upload(path, url, relative_path=name, **options)
print(time.monotonic() - began)
"""
SEND = """
import sys, time, resumable
path, url, name, chunk_size, connections = sys.argv[1:]
options = {"chunk_size": int(chunk_size), "simultaneous_uploads": int(connections)}
resumable.upload(b"warm", url, relative_path=f"warm-{name}")
began = time.monotonic()
resumable.upload(path, url, relative_path=name, **options)
print(time.monotonic() - began)
"""
STRAIGHT = """
import sys, time, boto3
path, url, name, bucket = sys.argv[1:]
client = boto3.client("s3", endpoint_url=url)
client.put_object(Bucket=bucket, Key="warm", Body=b"warm")
began = time.monotonic()
client.upload_file(path, bucket, name)
print(time.monotonic() - began)
"""
# Without a checksum that a client asks for, moto joins the parts a second time for one of the whole at the end; a store
# computes it while they arrive. That would be a second and more that has nothing to do with what is measured.
MOTO = """
import sys
from moto.s3.models import MultipartChecksumBuilder as Builder
Builder.addPart = lambda self, part: None
Builder.build = lambda self: None
from moto.server import main
main(sys.argv[1:])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measure", choices=["parts", "replicas", "store"])
    parser.add_argument("--mib", type=int, default=64, help="the size of the file")
    parser.add_argument("--rate", type=int, help="of each link, in Mbit/s; 16, or none for the store")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--store", choices=["moto", "rclone"], default="moto")
    arguments = parser.parse_args()
    os.environ.update(CREDENTIALS)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as directory:
        work = Path(directory)
        (work / "file").write_bytes(os.urandom(arguments.mib * MIB))
        {"parts": parts, "replicas": replicas, "store": store}[arguments.measure](work, arguments)


def parts(work: Path, arguments: argparse.Namespace) -> None:
    """Print the time of one machine over that of four."""
    served = f"""
import sys
from resumable.receiver import Server
with Server({str(work / "in")!r}, host="0.0.0.0", insecure=True) as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""
    with machines(PARTS, arguments.rate or RATE) as links, started("-c", served) as server:
        port = said(server).rpartition(":")[2]
        ratios = []
        for round_ in range(arguments.rounds):
            one, four = (together(work, links[:count], port, f"{count}-{round_}.bin") for count in (1, PARTS))
            assert (work / "in" / f"{PARTS}-{round_}.bin").read_bytes() == (work / "file").read_bytes()
            ratios.append(one / four)
            print(f"one machine {one:.2f} s, {PARTS} machines {four:.2f} s: {one / four:.2f} ×", flush=True)
    print(f"median {statistics.median(ratios):.2f} ×")


def together(work: Path, links: list[tuple[str, str]], port: str, name: str) -> float:
    """Send a file in as many parts as there are machines, and return how long the last one took."""
    with ExitStack() as ending:
        senders = [
            ending.enter_context(
                started(
                    "-c",
                    PART,
                    str(work / "file"),
                    f"http://{ours}:{port}",
                    str(number),
                    str(len(links)),
                    name,
                    space=space,
                )
            )
            for number, (space, ours) in enumerate(links, 1)
        ]
        for sender in senders:
            said(sender)
        for sender in senders:
            sender.stdin.write("\n")
            sender.stdin.flush()
        return max(float(said(sender)) for sender in senders)


def replicas(work: Path, arguments: argparse.Namespace) -> None:
    """Print how fast a file goes through 1, 2 and 4 servers."""
    with ExitStack() as ending:
        endpoint, _ = ending.enter_context(object_store(work, "moto", "0.0.0.0"))
        links = ending.enter_context(machines(4, arguments.rate or RATE))
        port = endpoint.rpartition(":")[2]
        servers = []
        for space, ours in links:
            command = [
                "-m",
                "resumable",
                "serve",
                f"s3://{BUCKET}/in",
                "--endpoint-url",
                f"http://{ours}:{port}",
                "--host",
                "0.0.0.0",
                "--insecure",
                "--port",
                "8080",
                "--allowed-host",
                "127.0.0.1",
            ]
            said(ending.enter_context(started(*command, space=space)))
            servers.append(f"{ours.rpartition('.')[0]}.2:8080")
        rates: dict[int, list[float]] = {1: [], 2: [], 4: []}
        for round_ in range(arguments.rounds):
            for count, found in rates.items():
                with balancer(work, servers[:count]) as url:
                    seconds = send(work / "file", url, f"{count}-{round_}.bin", 5 * MIB, count * CONNECTIONS)
                found.append(arguments.mib / seconds)
        for count, found in rates.items():
            times = statistics.median(found) / statistics.median(rates[1])
            print(f"{count} servers: {statistics.median(found):.2f} MiB/s, {times:.2f} × one")


def store(work: Path, arguments: argparse.Namespace) -> None:
    """Print the time through a server over that of boto3 straight to the store."""
    with ExitStack() as ending:
        space, host = "", "127.0.0.1"
        if arguments.rate:
            ((space, host),) = ending.enter_context(machines(1, arguments.rate))
        endpoint, process = ending.enter_context(object_store(work, arguments.store, host))
        alone = ["--single-replica"] if arguments.store == "rclone" else []
        command = ["-m", "resumable", "serve", f"s3://{BUCKET}/in", "--endpoint-url", endpoint, "--port", "0", *alone]
        server = ending.enter_context(started(*command, space=space))
        url = said(server)
        ratios = []
        for round_ in range(arguments.rounds):
            name = f"{round_}.bin"
            before = processor(process.pid), processor(server.pid)
            through = send(work / "file", url, name, 8 * MIB, 3, space=space)
            between = processor(process.pid)
            straight = measured(STRAIGHT, str(work / "file"), endpoint, f"straight-{name}", BUCKET, space=space)
            ratios.append(through / straight)
            print(f"through a server {through:.2f} s, straight {straight:.2f} s: {ratios[-1]:.2f} ×", flush=True)
            print(
                f"    processor: store {between - before[0]:.2f} s and {processor(process.pid) - between:.2f} s, "
                f"server {processor(server.pid) - before[1]:.2f} s",
                flush=True,
            )
    print(f"median {statistics.median(ratios):.2f} ×")


def processor(pid: int) -> float:
    """Return the seconds of processor time that a process has used."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def send(path: Path, url: str, name: str, chunk_size: int, connections: int, *, space: str = "") -> float:
    return measured(SEND, str(path), url, name, str(chunk_size), str(connections), space=space)


def measured(program: str, *words: str, space: str = "") -> float:
    """Run a program that prints how long what it does took, in a namespace if one is given."""
    command = [*inside(space), sys.executable, "-c", program, *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def inside(space: str) -> list[str]:
    """Return what goes before a command that is to run in a namespace."""
    return ["ip", "netns", "exec", space] if space else []


@contextmanager
def machines(count: int, rate: int) -> Iterator[list[tuple[str, str]]]:
    """Make namespaces whose links carry ``rate`` Mbit/s each way; yield their names and our addresses there."""
    with ExitStack() as ending:
        made = []
        for number in range(count):
            space, near, far = f"cluster{number}", f"cluster{number}h", f"cluster{number}n"
            run("ip", "netns", "add", space)
            ending.callback(run, "ip", "netns", "delete", space)
            run("ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", space)
            run("ip", "address", "add", f"10.77.{number}.1/24", "dev", near)
            run("ip", "link", "set", near, "up")
            run(*inside(space), "ip", "address", "add", f"10.77.{number}.2/24", "dev", far)
            run(*inside(space), "ip", "link", "set", far, "up")
            run(*inside(space), "ip", "link", "set", "lo", "up")
            # Less than what goes over the link in 4 ms would be a limit of its own.
            burst = max(64, rate // 2)
            shape = ["root", "tbf", "rate", f"{rate}mbit", "burst", f"{burst}kb", "latency", "50ms"]
            run("tc", "qdisc", "add", "dev", near, *shape)
            run(*inside(space), "tc", "qdisc", "add", "dev", far, *shape)
            made.append((space, f"10.77.{number}.1"))
        yield made


@contextmanager
def started(*words: str, space: str = "") -> Iterator[Any]:
    """Start this Python with these words, in a namespace if one is given; it is ended at the end."""
    command = [*inside(space), sys.executable, *words]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sys.stderr, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def said(process: Any) -> str:
    """Return the next line that a process prints."""
    return str(process.stdout.readline()).strip()


@contextmanager
def object_store(work: Path, kind: str, host: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run an object store with an empty bucket, and yield its URL and its process."""
    import boto3
    from botocore.exceptions import BotoCoreError

    port = free_port()
    if kind == "moto":
        command = [sys.executable, "-c", MOTO, "-H", host, "-p", str(port)]
    else:
        keys = f"{CREDENTIALS['AWS_ACCESS_KEY_ID']},{CREDENTIALS['AWS_SECRET_ACCESS_KEY']}"
        (work / "rclone").mkdir()
        command = ["rclone", "serve", "s3", "--addr", f"{host}:{port}", "--auth-key", keys, str(work / "rclone")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        near = "127.0.0.1" if host == "0.0.0.0" else host
        client = boto3.client("s3", endpoint_url=f"http://{near}:{port}")
        while True:
            try:
                client.create_bucket(Bucket=BUCKET)
                break
            except BotoCoreError:
                if process.poll() is not None:
                    raise
                time.sleep(0.1)
        yield f"http://{near}:{port}", process
    finally:
        process.terminate()
        process.wait()


@contextmanager
def balancer(work: Path, servers: list[str]) -> Iterator[str]:
    """Run nginx in front of these servers, and yield its URL."""
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    port = free_port()
    upstream = "".join(f"server {server};" for server in servers)
    (work / "nginx.conf").write_text(f"""
        daemon off; pid {work}/nginx.pid; error_log stderr; worker_processes 1; events {{ }}
        http {{
            access_log off; client_body_temp_path {work}/body; proxy_temp_path {work}/proxy;
            fastcgi_temp_path {work}/f; uwsgi_temp_path {work}/u; scgi_temp_path {work}/s;
            upstream servers {{ least_conn; {upstream} }}
            server {{
                listen 127.0.0.1:{port}; client_max_body_size 0; proxy_request_buffering off; proxy_http_version 1.1;
                location / {{ proxy_pass http://servers; proxy_set_header Host $host; proxy_read_timeout 300s; }}
            }}
        }}""")
    process = subprocess.Popen([nginx, "-c", str(work / "nginx.conf"), "-p", str(work)])
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def run(*words: str) -> None:
    subprocess.run(words, check=True)


if __name__ == "__main__":
    main()
