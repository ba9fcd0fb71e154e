"""The example of a plugin as a package is built and installed into a fresh environment, and found there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from resumable.receiver import Receiver, Server

pytestmark = [pytest.mark.once, pytest.mark.slow]

ROOT = Path(__file__).parent.parent
Resumable = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def resumable(tmp_path_factory: pytest.TempPathFactory) -> Resumable:
    """``resumable(*arguments)`` runs the command in an environment with the package installed, in an empty folder."""
    folder = tmp_path_factory.mktemp("plugin")
    venv.create(folder / "env", with_pip=False, symlinks=True)
    python = folder / "env" / "bin" / "python"
    (site,) = (folder / "env" / "lib").glob("*/site-packages")
    # What this environment has is taken from where it is.
    (site / "shared.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT}\n")
    shutil.copytree(ROOT / "examples" / "plugin_package", folder / "package")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "--no-index", "--no-build-isolation", str(folder / "package")], check=True)

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [str(python), "-m", "resumable", *arguments]
        env = {**os.environ, **environment}
        return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)

    return run


def test_an_installed_package_is_listed_and_used_and_left_out(resumable: Resumable, tmp_path: Path) -> None:
    listed = [json.loads(line) for line in resumable("plugins", "--json").stdout.splitlines()]
    assert [(each["name"], each["package"], each["hooks"], each["error"]) for each in listed] == [
        ("sums", "resumable-sums 1.0", ["query"], None)
    ]
    data = os.urandom(3000)
    (tmp_path / "a.bin").write_bytes(data)
    (tmp_path / "b.bin").write_bytes(data + b"b")
    sums = tmp_path / "SHA256SUMS"
    with Server(Receiver(tmp_path / "received")) as server:
        for name, flag in (("a.bin", "--plugin=sums"), ("b.bin", "--no-plugin=sums")):
            ran = resumable("upload", "--file-checksum", flag, str(tmp_path / name), server.url, SHA256SUMS=str(sums))
            assert ran.returncode == 0, ran.stderr
        uploads = {upload.name: upload.record.metadata for upload in server.receiver.uploads()}
    assert sums.read_text() == f"{hashlib.sha256(data).hexdigest()}  a.bin\n"
    assert list(uploads["a.bin"]) == ["uploader"]
    assert uploads["b.bin"] == {}
