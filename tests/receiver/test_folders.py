"""Under which name and in which folder files are published, over real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from support.sample import Sample
from support.stored_uploads import aged, entries
from support.texts import texts

from resumable.receiver import FileStore, Receiver, Refusal, Request, Server, UploadRecord
from resumable.receiver.store.names import safe_name, tenant_folder
from resumable.receiver.store.reservation import HELD_FOR

PATIENCE = 60.0
FILE = Sample(bytes(range(100)), 40, file_name="a.bin", relative_path="dir/a.bin")
OTHER = replace(FILE, data=bytes(reversed(FILE.data)), identifier="other")

Serve = Callable[..., Server]


@pytest.fixture
def serve(root: Path) -> Iterator[Serve]:
    """Start a server on the directory; options of the store are given as ``store``."""
    with ExitStack() as running:

        def start(store: dict[str, Any] | None = None, **options: Any) -> Server:
            receiver = Receiver(FileStore(root, fsync="never", **(store or {})), **options)
            return running.enter_context(Server(receiver))

        yield start


def send(server: Server, sample: Sample = FILE, user: str = "", *numbers: int) -> list[int]:
    return [
        requests.post(
            server.url,
            params=sample.pairs(number),
            data=sample.chunk(number),
            headers={"Content-Type": "application/octet-stream", "X-User": user},
            timeout=PATIENCE,
        ).status_code
        for number in numbers or range(1, sample.count + 1)
    ]


def ask(server: Server, sample: Sample = FILE, user: str = "") -> list[int]:
    return [
        requests.get(server.url, params=sample.pairs(number), headers={"X-User": user}, timeout=PATIENCE).status_code
        for number in range(1, sample.count + 1)
    ]


def published(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".resumable" not in path.parts
    }


def user_of(request: Request) -> str:
    return request.headers.get("x-user", "")


# ---- The application names the file ----------------------------------------------------------------------------------


def test_the_application_names_a_file_once_with_what_it_knows_of_the_request(root: Path, serve: Serve) -> None:
    calls: list[tuple[str, str]] = []

    def name(record: UploadRecord, request: Request) -> str:
        calls.append((record.name, user_of(request)))
        return f"{user_of(request)}/{record.total_size}.bin"

    server = serve(publish_as=name)
    assert send(server, FILE, "ada") == [200, 201]
    assert calls == [("dir/a.bin", "ada")]
    assert published(root) == {"ada/100.bin": FILE.data}
    assert ask(server) == [200, 200]
    assert send(server, FILE, "bob") == [200, 200]
    assert len(calls) == 1


@pytest.mark.parametrize(
    "name", ["../a.bin", "a/../../b", "..\\b", "", "/", "x/" * 40 + "y", "/".join(["d" * 200] * 6)]
)
def test_a_name_of_the_application_is_checked_like_that_of_a_client(root: Path, serve: Serve, name: str) -> None:
    assert send(serve(publish_as=lambda record, request: name)) == [400, 400]
    assert not root.exists()


@pytest.mark.parametrize(
    ("name", "path"),
    [("/etc/passwd", "etc/passwd"), (".resumable/x", "_.resumable/x"), ("a\nb", "a_b"), ("con", "_con")],
)
def test_a_name_of_the_application_is_made_safe(root: Path, serve: Serve, name: str, path: str) -> None:
    assert send(serve(publish_as=lambda record, request: name)) == [200, 201]
    assert published(root) == {path: FILE.data}


def test_the_application_may_refuse_an_upload_when_it_is_asked_for_its_name(root: Path, serve: Serve) -> None:
    def name(record: UploadRecord, request: Request) -> str:
        raise Refusal(415, "No films here.")

    server = serve(publish_as=name)
    assert send(server) == [415, 415]
    assert ask(server) == [204, 204]
    assert published(root) == {}


def test_a_name_that_is_no_text_fails_and_the_log_says_why(
    root: Path, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    assert send(serve(publish_as=lambda record, request: Path("a")), FILE, "", 1) == [500]
    assert "publish_as() must return a str" in caplog.text
    assert published(root) == {}


# ---- A folder for each tenant ----------------------------------------------------------------------------------------


def test_tenants_have_folders_of_their_own_and_do_not_see_the_names_of_others(root: Path, serve: Serve) -> None:
    server = serve(tenant=user_of, tenant_folders=True)
    assert send(server, FILE, "ada") == send(server, OTHER, "bob") == [200, 201]
    assert published(root) == {"ada/dir/a.bin": FILE.data, "bob/dir/a.bin": OTHER.data}
    listed = requests.get(f"{server.url}uploads", headers={"X-User": "bob"}, timeout=PATIENCE).json()["uploads"]
    assert [(upload["name"], upload["path"]) for upload in listed] == [("bob/dir/a.bin", "dir/a.bin")]


def test_a_tenant_cannot_get_into_the_folder_of_another(root: Path, serve: Serve) -> None:
    server = serve(tenant=user_of, tenant_folders=True)
    assert send(server, FILE, "ada") == [200, 201]
    for number, (user, path) in enumerate(
        [
            ("", "ada/dir/a.bin"),
            ("bob", "/ada/dir/a.bin"),
            ("ada/dir", "a.bin"),
            ("Ada", "dir/a.bin"),
            (".", "ada/dir/a.bin"),
        ]
    ):
        intruder = replace(OTHER, identifier=str(number), relative_path=path)
        assert send(server, intruder, user) == [200, 201]
    assert send(server, replace(OTHER, identifier="up", relative_path="../ada/dir/a.bin"), "bob") == [400, 400]
    assert [path for path in published(root) if path.startswith("ada/")] == ["ada/dir/a.bin"]


def test_a_folder_and_a_name_of_the_application_go_together(root: Path, serve: Serve) -> None:
    server = serve(tenant=user_of, tenant_folders=True, publish_as=lambda record, request: "inbox/" + record.file_name)
    assert send(server, FILE, "ada") == [200, 201]
    assert published(root) == {"ada/inbox/a.bin": FILE.data}


TENANTS = st.text(st.sampled_from("aA./\\ _:-0é\u202e\ud800\n~"), max_size=8) | texts(max_size=300)


@given(TENANTS, TENANTS)
def test_no_two_tenants_have_the_same_folder(one: str, other: str) -> None:
    folders = [tenant_folder(one), tenant_folder(other)]
    assert (folders[0] == folders[1]) == (one == other)
    for folder in folders:
        assert safe_name(folder) == folder
        assert "/" not in folder
        # Nor may a tenant be called like the folder of another one.
        assert tenant_folder(folder) != folder or folder in (one, other)


# ---- A name that is taken --------------------------------------------------------------------------------------------


def test_a_taken_name_is_refused_at_the_first_chunk_before_its_bytes_are_sent(root: Path, serve: Serve) -> None:
    server = serve({"existing": "refuse"})
    assert send(server) == [200, 201]
    assert send(server) == [200, 200]
    assert ask(server, OTHER) == [204, 204]
    head = f"POST /?{OTHER.query(1)} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(f"{head}Content-Length: 40\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 409 ")
    assert b"'a.bin'" in answer
    assert send(server, replace(OTHER, relative_path="dir/a.bin/b.bin"), "", 1) == [409]
    assert published(root) == {"dir/a.bin": FILE.data}
    (root / "dir" / "a.bin").unlink()
    assert send(server, OTHER) == [200, 201]


def test_a_file_is_replaced_at_once_and_the_older_upload_counts_as_stored(root: Path, serve: Serve) -> None:
    server = serve({"existing": "replace"})
    assert send(server) == [200, 201]
    assert send(server, OTHER, "", 1) == [200]
    assert published(root) == {"dir/a.bin": FILE.data}
    assert send(server, OTHER, "", 2) == [201]
    assert published(root) == {"dir/a.bin": OTHER.data}
    # A client that comes back with the older version must not undo that.
    assert ask(server) == ask(server, OTHER) == [200, 200]
    assert send(server) == [200, 200]
    listed = requests.get(f"{server.url}uploads", timeout=PATIENCE).json()["uploads"]
    assert [upload["name"] for upload in listed] == ["dir/a.bin"]
    third = replace(FILE, data=bytes(100), identifier="third")
    assert send(server, third) == [200, 201]
    assert ask(server, OTHER) == [200, 200]
    assert published(root) == {"dir/a.bin": third.data}
    store = FileStore(root, fsync="never", forget_after=0)
    assert store.sweep() == 3
    assert store.sweep() == 0
    assert entries(root) == []


def test_a_file_of_somebody_else_is_replaced_and_a_link_is_not_followed(
    root: Path, tmp_path: Path, serve: Serve
) -> None:
    server = serve({"existing": "replace"})
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    (root / "dir").mkdir(parents=True)
    (root / "dir" / "a.bin").symlink_to(secret)
    assert send(server) == [200, 201]
    assert secret.read_bytes() == b"secret"
    assert not (root / "dir" / "a.bin").is_symlink()
    assert published(root) == {"dir/a.bin": FILE.data}


def test_a_directory_is_not_replaced(root: Path, serve: Serve) -> None:
    server = serve({"existing": "replace"})
    assert send(server, FILE, "", 1) == [200]
    (root / "dir" / "a.bin").mkdir(parents=True)
    assert send(server, FILE, "", 2) == [409]
    (root / "dir" / "a.bin").rmdir()
    assert send(server, FILE, "", 2) == [201]
    assert published(root) == {"dir/a.bin": FILE.data}


@pytest.mark.slow
@pytest.mark.once
def test_a_reader_of_a_file_that_is_replaced_over_and_over_sees_whole_files_only(root: Path, serve: Serve) -> None:
    server = serve({"existing": "replace"})
    samples = [
        Sample(bytes([number]) * 5000, 1000, identifier=str(number), file_name="a", relative_path="a")
        for number in range(24)
    ]
    assert send(server, samples[0])[-1] == 201
    stopped, torn = threading.Event(), []

    def read() -> None:
        while not stopped.is_set():
            data = (root / "a").read_bytes()
            if len(data) != 5000 or len(set(data)) != 1:
                torn.append(data)

    results: list[int] = []
    threads = [
        threading.Thread(target=lambda part=part: results.extend(send(server, one)[-1] for one in part))  # type: ignore[misc]
        for part in (samples[1::3], samples[2::3], samples[3::3])
    ]
    reader = threading.Thread(target=read)
    reader.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    stopped.set()
    reader.join(PATIENCE)
    assert results == [201] * 23
    assert torn == []
    assert list(published(root)) == ["a"]
    # The last one of them is the file; all others were replaced.
    assert [ask(server, sample) for sample in samples] == [[200] * 5] * 24


def test_a_free_name_belongs_to_the_upload_that_began_first(root: Path) -> None:
    receiver = Receiver(FileStore(root, fsync="never", existing="refuse"))
    first, second = Sample(identifier="first"), Sample(identifier="second")
    assert first.send(receiver, 1) == [200]
    assert second.send(receiver, 1, 2) == [409, 409]
    assert [status.record.identifier for status in receiver.uploads()] == ["first"]
    assert Sample(identifier="other", relative_path="other.bin").send(receiver, 1) == [200]
    assert first.send(receiver, 2) == [201]
    assert second.send(receiver, 1) == [409]


def test_an_upload_that_nobody_continues_keeps_no_name(root: Path) -> None:
    receiver = Receiver(FileStore(root, fsync="never", existing="refuse"))
    first, second, third = (Sample(identifier=name) for name in ("first", "second", "third"))
    assert first.send(receiver, 1) == [200]
    (key,) = (path.name for path in (root / ".resumable").iterdir() if (path / "chunks").exists())
    aged(root, HELD_FOR - 60, key)
    assert second.send(receiver, 1) == [409]
    aged(root, HELD_FOR + 60, key)
    assert second.send(receiver, 1) == [200]
    assert third.send(receiver, 1) == [409]
    (record,) = [status.record for status in receiver.uploads() if status.record.identifier == "second"]
    assert receiver.discard(record)
    assert third.send(receiver, 1) == [200]
    assert first.send(receiver, 2) == [201]
    assert third.send(receiver, 2) == [409]
    receiver.sweep()
