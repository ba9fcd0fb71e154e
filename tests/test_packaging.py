"""What is built and installed: the files, the metadata, and an import that costs and starts nothing."""

from __future__ import annotations

import configparser
import email
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from pathlib import Path

import pytest

import resumable

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent


def python(code: str, *arguments: str, cwd: Path) -> str:
    """What a fresh interpreter prints for the code."""
    command = [sys.executable, "-c", code, *arguments]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    return subprocess.run(
        command, cwd=cwd, check=True, stdout=subprocess.PIPE, text=True, timeout=100, env=environment
    ).stdout


def build(tree: Path, out: Path) -> Path:
    """The folder, with the wheel and the source distribution of the tree."""
    for kind in ("build_sdist", "build_wheel"):  # one interpreter each, as an installer does it
        python(f"import sys; from setuptools import build_meta; build_meta.{kind}(sys.argv[1])", str(out), cwd=tree)
    return out


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project to build from, so that the project's own folder stays clean."""
    tree = tmp_path_factory.mktemp("tree") / "resumable"
    ignored = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "build", "dist", "_build")
    return Path(shutil.copytree(ROOT, tree, ignore=ignored))


@pytest.fixture(scope="module")
def built(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source distribution."""
    return build(tree, tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    (path,) = built.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(wheel.read(name))


@pytest.mark.once
def test_the_wheel_has_every_file_of_the_package_and_no_other(wheel: zipfile.ZipFile, tree: Path) -> None:
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == {path.relative_to(tree).as_posix() for path in (tree / "resumable").rglob("*") if path.is_file()}
    assert "resumable/py.typed" in packed


@pytest.mark.once
def test_the_source_distribution_has_what_is_needed_to_test_and_to_read(built: Path, tree: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "CHANGES.rst",
        "CONTRIBUTING.rst",
        "LICENSE",
        "Makefile",
        "README.rst",
        "SECURITY.rst",
        "setup.cfg",
    } <= names
    for folder in ("tests", "docs", "examples", "benchmarks"):
        wanted = {path.relative_to(tree).as_posix() for path in (tree / folder).rglob("*") if path.is_file()}
        assert wanted
        assert wanted <= names


@pytest.mark.once
def test_another_copy_of_the_project_is_built_into_the_same_bytes(built: Path, tree: Path, tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("*.egg-info", "build", "__pycache__")
    other = Path(shutil.copytree(tree, tmp_path / "elsewhere", ignore=ignored, copy_function=shutil.copyfile))
    (other / "README.rst").chmod(0o600)
    again = build(other, tmp_path)
    for path in built.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.once
def test_the_source_distribution_is_built_into_the_same_wheel(
    built: Path, wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    (path,) = built.glob("*.tar.gz")
    shutil.unpack_archive(path, tmp_path)
    (unpacked,) = tmp_path.iterdir()
    out = tmp_path / "out"
    python("import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])", str(out), cwd=unpacked)
    (again,) = out.iterdir()
    assert wheel.filename is not None
    assert again.read_bytes() == Path(wheel.filename).read_bytes()


@pytest.mark.once
def test_the_library_depends_on_requests_and_blinker_only(metadata: Message) -> None:
    required = [row for row in metadata.get_all("Requires-Dist", []) if "extra ==" not in row]
    assert sorted(required) == ["blinker>=1.9", "requests>=2.32.4"]


@pytest.mark.once
def test_the_metadata_says_what_the_package_says(metadata: Message) -> None:
    assert metadata["Name"] == "resumable"
    assert metadata["Version"] == resumable.__version__
    assert metadata["Requires-Python"] == ">=3.10"
    assert "MIT" in (metadata["License-Expression"], metadata["License"])
    assert {"all", "cli", "fsspec", "s3", "server", "tqdm", "truststore"} <= set(metadata.get_all("Provides-Extra", []))
    shown = metadata.get_payload(decode=True)
    assert isinstance(shown, bytes)
    assert shown.decode("utf-8").strip() == (ROOT / "README.rst").read_text(encoding="utf-8").strip()


def test_all_is_every_extra_that_users_may_want() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = set(config["options.extras_require"])
    named = config["options.extras_require"]["all"].strip().removeprefix("resumable[").removesuffix("]").split(",")
    assert set(named) == extras - {"all", "docs", "lint", "pythons", "test", "windows"}


@pytest.mark.once
def test_an_editable_install_is_a_path_that_type_checkers_follow(tree: Path, tmp_path: Path) -> None:
    code = "import sys; from setuptools import build_meta; build_meta.build_editable(sys.argv[1])"
    python(code, str(tmp_path), cwd=tree)
    (path,) = tmp_path.glob("*.whl")
    packed = zipfile.ZipFile(path)
    (pth,) = (name for name in packed.namelist() if name.endswith(".pth"))
    assert Path(packed.read(pth).decode().strip()).resolve() == tree.resolve()
    assert not [name for name in packed.namelist() if name.endswith(".py")], "no finder, of which mypy knows nothing"


def test_the_installed_distribution_is_this_one() -> None:
    assert importlib.metadata.version("resumable") == resumable.__version__


def test_importing_the_library_starts_no_thread_and_loads_no_extra(tmp_path: Path) -> None:
    code = (
        "import sys, threading, resumable;"
        "extras = {'boto3', 'cheroot', 'click', 'fsspec', 'multipart', 'pathspec', 'rich', 'tqdm', 'truststore'};"
        "print(threading.active_count(), sorted(extras & set(sys.modules)))"
    )
    assert python(code, cwd=tmp_path).strip() == "1 []"
