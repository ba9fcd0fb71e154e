"""Every size around the edges of a chunk, and every odd name, there and back by hash."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest
from support.client import content, upload
from support.scripted_server import ScriptedServer, answer

from resumable import Resumable
from resumable.receiver import FileStore, Receiver, Server

CHUNK = 1000
SIZES = (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 2 * CHUNK + 1, 7 * CHUNK - 1)


@pytest.fixture(scope="module")
def received(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("received")


@pytest.fixture(scope="module")
def url(received: Path) -> Iterator[str]:
    with Server(Receiver(FileStore(received, fsync="never"))) as server:
        yield server.url


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("form", [{}, {"method": "octet"}, {"chunk_format": "base64"}], ids=str)
def test_every_size_arrives(force: bool, form: dict[str, Any], way: dict[str, Any], url: str, received: Path) -> None:
    folder = f"{force}-{'-'.join(form.values())}-{len(way)}"
    sources = [(content(size, seed=size), f"{folder}/{size}.bin") for size in SIZES]
    run = upload(url, *sources, chunk_size=CHUNK, force_chunk_size=force, simultaneous_uploads=3, **form, **way)
    assert run.count("file_success") == len(SIZES)
    for size, file in zip(SIZES, run.files, strict=True):
        count = max(-(-size // CHUNK) if force else size // CHUNK, 1)
        assert len(file.chunks) == count
        assert sum(event[0] == "chunk_success" and event[1].file is file for event in run.events) == count
        assert file.progress() == 1
        assert digest((received / folder / f"{size}.bin").read_bytes()) == digest(content(size, seed=size))


def test_a_large_chunk_in_base64_is_one_base64(way: dict[str, Any]) -> None:
    data = content((2 << 20) + 1)
    with ScriptedServer(answer()) as server:
        upload(server.url, data, chunk_size=2 << 20, chunk_format="base64", test_chunks=False, **way)
    (request,) = server.requests
    _, _, encoded = request.body.partition(b"data:application/octet-stream;base64,")
    assert base64.b64decode(encoded.partition(b"\r\n")[0], validate=True) == data


NAMES = {
    "plain.txt": "plain.txt",
    "größe 中文 🎈.txt": "größe 中文 🎈.txt",
    "e\u0301 and \u00e9.txt": "e\u0301 and \u00e9.txt",
    "quo\"ted's; name=x.txt": "quo_ted's; name=x.txt",
    "new\nline\r\nand tab\t.txt": "new_line_and tab_.txt",
    "per%41cent+plus&and=or#hash?.txt": "per%41cent+plus&and=or#hash_.txt",
    "\ud800 lone \udcff.txt": "\ufffd lone \ufffd.txt",
    "right \u202eto left.txt": "right _to left.txt",
    " leading and trailing. ": " leading and trailing",
    "CON": "_CON",
    ".hidden": ".hidden",
    "..two dots": "..two dots",
    "--boundary\r\nContent-Disposition: form-data": "--boundary_Content-Disposition_ form-data",
    "long " + "x" * 240 + ".txt": "long " + "x" * 240 + ".txt",
}


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_every_name_arrives(name: str, way: dict[str, Any], url: str, received: Path) -> None:
    data = content(2 * CHUNK, seed=len(name))
    run = upload(url, (data, f"names {len(way)}/{name}"), chunk_size=CHUNK, **way)
    assert run.count("file_success") == 1
    assert run.files[0].file_name == name
    assert digest((received / f"names {len(way)}" / NAMES[name]).read_bytes()) == digest(data)


def test_a_name_of_bytes_that_are_no_utf8_is_uploaded_from_disk(tmp_path: Path, url: str, received: Path) -> None:
    path = os.path.join(os.fsencode(tmp_path), b"caf\xe9.txt")
    with open(path, "wb") as file:
        file.write(content(CHUNK))
    run = upload(url, os.fsdecode(path), chunk_size=CHUNK)
    assert run.count("file_success") == 1
    assert digest((received / "caf\ufffd.txt").read_bytes()) == digest(content(CHUNK))
    assert "caf" in repr(run.files[0])


@pytest.mark.parametrize(
    ("given", "arrives"),
    [
        ("win\\dows\\a.txt", "win/dows/a.txt"),
        (PureWindowsPath("C:\\win2\\dows\\a.txt"), "win2/dows/a.txt"),
        ("C:\\win3\\a.txt", "win3/a.txt"),
        (PureWindowsPath("C:/win4/a.txt"), "win4/a.txt"),
        ("/absolute/a.txt", "absolute/a.txt"),
        ("./dot/./a.txt", "dot/a.txt"),
        ("double//slash///a.txt", "double/slash/a.txt"),
        ("deep/" * 20 + "a.txt", "deep/" * 20 + "a.txt"),
    ],
)
def test_every_way_to_write_a_relative_path_is_one(given: Any, arrives: str, url: str, received: Path) -> None:
    data = content(CHUNK, seed=len(arrives))
    run = upload(url, (data, given), chunk_size=CHUNK)
    assert run.count("file_success") == 1
    assert run.files[0].relative_path == arrives
    assert run.files[0].file_name == "a.txt"
    assert digest((received / arrives).read_bytes()) == digest(data)


def test_a_tree_of_directories_arrives_as_it_is(tmp_path: Path, url: str, received: Path) -> None:
    paths = ["tree/a.txt", "tree/b/a.txt", "tree/b/c/a.txt", "tree/b/ab.txt", "tree/empty.bin", "tree/dä/ß.txt"]
    for position, name in enumerate(paths):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"" if "empty" in name else content(CHUNK + position, seed=position))
    with Resumable(url, chunk_size=CHUNK, auto_upload=False) as session:
        files = session.add_directory(tmp_path / "tree")
        result = session.join(60)
    assert sorted(file.relative_path for file in files) == sorted(paths)
    assert len(result.succeeded) == len(paths)
    for name in paths:
        assert (received / name).read_bytes() == (tmp_path / name).read_bytes()


def test_files_that_differ_only_in_what_identifiers_leave_out_are_two(url: str, received: Path) -> None:
    names = ["x/y.txt", "xy.txt", "中.txt", "文.txt"]
    run = upload(url, *[(content(CHUNK, seed=n), f"two/{name}") for n, name in enumerate(names)], chunk_size=CHUNK)
    assert len({file.unique_identifier for file in run.files}) == len(names)
    for n, name in enumerate(names):
        assert (received / "two" / name).read_bytes() == content(CHUNK, seed=n)


def test_files_whose_names_differ_only_in_bytes_that_are_no_utf8_are_two(tmp_path: Path, url: str) -> None:
    names = [b"caf\xe8.txt", b"caf\xe9.txt"]
    for name in names:
        path = os.path.join(os.fsencode(tmp_path), name)
        with open(path, "wb") as file:
            file.write(content(CHUNK))
        os.utime(path, ns=(0, 0))
    run = upload(url, *[os.path.join(str(tmp_path), os.fsdecode(name)) for name in names], chunk_size=CHUNK)
    assert run.count("file_success") == 2
    assert len({file.unique_identifier for file in run.files}) == 2
