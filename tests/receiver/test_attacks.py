"""Attacks on a receiver, each on a server that runs, over sockets.

After each the server has to take an upload as on its first day, and nothing may have changed outside its root.
"""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from support.flood import AttackedServer, told
from support.sample import Sample
from support.sizes import sized
from support.waiting import eventually, until_no_connection_is_served

from resumable.errors import OptionError
from resumable.receiver import (
    FileStore,
    Receiver,
    Server,
    UploadRecord,
)

Attack = Callable[..., AttackedServer]
SECRET = {"authorization": "Bearer s3cret"}
FOREIGN = "https://evil.example"

PATHS = [
    "../../x",
    "..\\..\\x",
    "/etc/x",
    "..%2f..%2fx",
    "%2e%2e/x",
    "C:\\x",
    "\\\\host\\share\\x",
    "//host/share/x",
    "nul\0byte",
    "x/../../../x",
    ".resumable/x",
    "x/.RESUMABLE/y",
]


@pytest.fixture
def attack(tmp_path: Path) -> Iterator[Attack]:
    """A function that starts a server to attack, with options of the receiver; what is checked after every attack."""
    with ExitStack() as stack:

        def begin(
            store: dict[str, Any] | None = None,
            limits: dict[str, Any] | None = None,
            headers: dict[str, str] | None = None,
            **options: Any,
        ) -> AttackedServer:
            attacked = AttackedServer(tmp_path, store=store or {}, limits=limits or {}, **options)
            stack.enter_context(attacked.server)
            stack.callback(attacked.check, headers or {})
            return attacked

        yield begin


@pytest.fixture
def attacked(attack: Attack) -> AttackedServer:
    """A server as it comes."""
    return attack()


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """What the calls return, made by as many threads that begin together."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        barrier.wait(60)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_01_an_identifier_is_never_a_path(attacked: AttackedServer) -> None:
    for number, identifier in enumerate((*PATHS, str(attacked.outside / "x"), ".", "..", "x" * 1024)):
        sample = Sample(identifier=identifier, relative_path=f"{number}.bin")
        assert attacked.test(sample, 1).status == 204
        assert attacked.send(sample) == [200, 201]
    for identifier in ("", "x" * 1025, "x" * 10_000):
        sample = Sample(identifier=identifier)
        assert attacked.test(sample, 1).status == 400
        assert attacked.send(sample, 1) == [400]
    query = Sample().query(1)
    for double in (f"{query}&resumableIdentifier=other", query.replace("Identifier=", "Identifier[]=")):
        assert attacked.ask("GET", double).status == 400
        assert attacked.ask("POST", double, bytes(8)).status == 400
    assert {name: len(data) for name, data in attacked.published().items()} == {
        f"{number}.bin": 20 for number in range(len(PATHS) + 4)
    }


@pytest.mark.once
@pytest.mark.parametrize("field", ["file_name", "relative_path"])
def test_02_a_name_never_leads_out_of_the_root(attacked: AttackedServer, field: str) -> None:
    names = (
        *(
            *PATHS,
            str(attacked.outside / "x"),
            ".",
            "..",
            "a/.",
            "a/..",
            "./",
            "/",
            "dot.",
            "space ",
            "...",
            "CON",
            "nul.txt",
        ),
        *("COM1 .x", "a:b", "a:$DATA", "line\r\nbreak", "\x1b[31mred", "gpj.\u202eexe", "~", "-rf", "$(x)", "a" * 300),
    )
    safe = re.compile(r'[^\x00-\x1f\x7f<>:"|?*\\\u202e]*[^\x00-\x1f\x7f<>:"|?*\\\u202e. ]')
    other = {"relative_path": None} if field == "file_name" else {}
    for number, name in enumerate(names):
        sample = Sample(identifier=str(number), **{field: name}, changes=other)
        assert attacked.send(sample) in ([200, 201], [400, 400]), name
    for path in attacked.published():
        for component in path.split("/"):
            assert safe.fullmatch(component), component
            assert component not in (".", "..")
            assert component.casefold() != ".resumable"
            assert not re.fullmatch("(?i)con|nul|com1", component.partition(".")[0].strip())
            assert len(component.encode()) <= 255
    for name in ("..", "../../x", "x/../../../x", "..\\..\\x"):
        assert attacked.send(Sample(identifier=name, **{field: name}, changes=other), 1) == [400]


def test_03_a_test_says_nothing_about_files_that_are_no_upload(attacked: AttackedServer) -> None:
    (attacked.root / "there.bin").write_bytes(b"not uploaded")
    for there, absent in (("there.bin", "absent.bin"), ("../precious.txt", "../absent.txt"), ("/etc/passwd", "/etc/x")):
        for method in ("GET", "HEAD", "DELETE"):
            answers = [
                attacked.test(Sample(identifier=name, file_name=name, relative_path=name), 1, method)
                for name in (there, absent)
            ]
            seen = []
            for name, answer in zip((there, absent), answers, strict=True):
                # A refusal repeats the name that was sent.
                headers = {key: text for key, text in answer.headers.items() if key not in ("date", "content-length")}
                seen.append((answer.status, headers, answer.body.replace(name.encode(), b"NAME")))
            assert seen[0] == seen[1]
    for identifier in PATHS:
        assert attacked.test(Sample(identifier=identifier), 1).status == 204
    assert attacked.ask("DELETE", Sample().query(1)).status == 405


def test_04_a_link_planted_in_the_root_is_not_followed(
    attacked: AttackedServer, caplog: pytest.LogCaptureFixture
) -> None:
    attacked.send(Sample(identifier="first", relative_path="first"))
    (attacked.root / "link").symlink_to(attacked.outside)
    (attacked.root / "file").symlink_to(attacked.outside / "precious.txt")
    (attacked.root / "dangling").symlink_to(attacked.outside / "absent.txt")
    (attacked.root / "deep").mkdir()
    (attacked.root / "deep" / "link").symlink_to(attacked.outside, target_is_directory=True)
    for path in ("link/x", "deep/link/x", "file/x", "link/some/where/x"):
        assert attacked.send(Sample(identifier=path, relative_path=path)) == [409, 409]
    for path in ("link", "file", "dangling", "deep/link"):
        assert attacked.send(Sample(identifier=path, relative_path=path)) == [200, 201]
        assert (attacked.root / path).is_symlink()
    assert attacked.published() == {
        name: Sample().data for name in ("first", "link (1)", "file (1)", "dangling (1)", "deep/link (1)")
    }
    # And in the place where an upload lies: the part file of an open one is a link to somebody else's.
    sample = Sample(identifier="planted")
    open_before = set(attacked.root.glob(".resumable/*/part"))
    attacked.send(sample, 1)
    (part,) = set(attacked.root.glob(".resumable/*/part")) - open_before
    part.unlink()
    part.symlink_to(attacked.outside / "precious.txt")
    assert attacked.send(sample, 2) == [500]
    assert "failed" in caplog.text


@pytest.mark.once
def test_05_a_directory_that_turns_into_a_link_in_between_is_not_followed(attacked: AttackedServer) -> None:
    folder = attacked.root / "folder"
    stop = threading.Event()

    def swap() -> None:
        for number in count():
            if stop.is_set():
                return
            for change in (
                lambda: os.rename(folder, attacked.root / f"aside-{number}"),  # noqa: B023
                lambda: folder.symlink_to(attacked.outside),
                lambda: folder.unlink(),
            ):
                try:
                    change()
                except OSError:
                    # The receiver made it, or has not yet.
                    pass

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        answers = [
            attacked.send(Sample(identifier=str(number), relative_path=f"folder/{number}"))[-1]
            for number in range(sized(20, 200))
        ]
    finally:
        stop.set()
        swapping.join(60)
    # 409 and 500: what was to be the directory was none at that moment. 200: that was so at the first chunk.
    assert set(answers) <= {200, 201, 409, 500}
    assert all(data == Sample().data for data in attacked.published().values())


@pytest.mark.parametrize("size", ["1" + "0" * 18, "-1", "1e300", "NaN", "9" * 5000, "0x10", " 20", "٢٠", "", "1" * 20])
def test_06_a_total_size_that_makes_no_sense_is_refused(attacked: AttackedServer, size: str) -> None:
    sample = Sample(changes={"total_size": size})
    for answer in (attacked.test(sample, 1), attacked.upload(sample, 1), attacked.form(sample, 1)):
        assert answer.status == (413 if size.startswith("10") else 400)
    assert attacked.uploads == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"total_chunks": "1000000000"},
        {"total_chunks": "0"},
        {"total_chunks": "1"},
        {"chunk_number": "0"},
        {"chunk_number": "-1"},
        {"chunk_number": "3"},
        {"chunk_number": "10000000000000000000000"},
        {"chunk_size": "0"},
        {"chunk_size": "1", "total_chunks": "5000"},
        {"chunk_size": "1023", "total_chunks": "4"},
        {"current_chunk_size": "1"},
    ],
)
def test_07_numbers_that_do_not_fit_together_are_refused(attack: Attack, changes: dict[str, str]) -> None:
    attacked = attack(min_chunk_size=1024)
    sample = Sample(bytes(5000), 2048, changes=changes)
    for answer in (attacked.test(sample, 1), attacked.upload(sample, 1), attacked.form(sample, 1)):
        assert answer.status == 400
    assert attacked.uploads == 0


def test_07_a_million_chunks_are_the_most(attacked: AttackedServer) -> None:
    assert attacked.test(Sample(bytes(1_000_001), 1), 1).status == 413
    assert attacked.upload(Sample(bytes(1_000_000), 1, relative_path="most"), 1).status == 200


def test_08_a_chunk_of_another_length_is_refused_and_dropped(attacked: AttackedServer) -> None:
    sample = Sample()
    for body in (b"", bytes(7), bytes(9), bytes(12), bytes(100_000)):
        assert attacked.upload(sample, 1, body).status == 400
        assert attacked.form(sample, 1, body=body).status == 400
    assert attacked.test(sample, 1).status == 204
    assert attacked.send(sample) == [200, 201]
    assert attacked.published() == {"sample.bin": sample.data}


def test_09_a_chunk_twice_is_stored_once(attacked: AttackedServer) -> None:
    seen: list[int] = []
    attacked.receiver.signals.chunk_received.connect(lambda sender, record, number: seen.append(number), weak=False)
    sample = Sample(os.urandom(200_000), 100_000)
    assert attacked.send(sample, 1, 1) == [200, 200]
    assert sorted(at_once(*[lambda: attacked.upload(sample, 2).status] * 4)) == [200, 200, 200, 201]
    assert seen == [1, 2]
    assert attacked.published() == {"sample.bin": sample.data}


@pytest.mark.once
def test_10_a_chunk_twice_at_once_with_other_bytes_is_never_mixed(attacked: AttackedServer) -> None:
    for number in range(20):
        one, other = (
            Sample(bytes([letter]) * 300_000, 300_000, identifier=str(number), relative_path=str(number))
            for letter in b"ab"
        )
        statuses = at_once(partial(attacked.send, one), partial(attacked.send, other))
        # Whoever comes when the file is finished has another one, which is published beside it.
        assert sorted(statuses) in ([[201], [409]], [[201], [201]])
        kept = [
            path.read_bytes() for path in attacked.root.glob(f"{number}*") if path.name.split(" ")[0] == str(number)
        ]
        taken = [sample.data for sample, status in zip((one, other), statuses, strict=True) if status == [201]]
        assert sorted(kept) == sorted(taken)


@pytest.mark.parametrize(
    "other",
    [
        {"data": bytes(21)},
        {"data": bytes(20), "chunk_size": 10},
        {"force": True},
        {"file_name": "other"},
        {"relative_path": "other"},
    ],
)
def test_11_what_the_first_request_said_cannot_be_changed(attacked: AttackedServer, other: dict[str, Any]) -> None:
    attacked.send(Sample(), 1)
    changed = replace(Sample(), **other)
    assert attacked.test(changed, 1).status == 409
    assert attacked.upload(changed, 1).status == 409
    assert attacked.send(Sample(), 2) == [201]
    assert attacked.published() == {"sample.bin": Sample().data}


@pytest.mark.once
def test_12_the_last_two_chunks_at_once_finish_the_file_once(attacked: AttackedServer) -> None:
    rounds = sized(40, 1000)
    received: list[str] = []
    attacked.receiver.signals.file_received.connect(
        lambda sender, record: received.append(record.identifier), weak=False
    )
    samples = [Sample(identifier=str(number), relative_path=f"{number}.bin") for number in range(rounds)]
    barrier = threading.Barrier(2)

    def send(chunk: int) -> list[int]:
        statuses = []
        with attacked.connected() as connection:
            for sample in samples:
                barrier.wait(60)
                statuses.append(told(connection, "POST", sample.query(chunk), sample.chunk(chunk)).status)
        return statuses

    one, two = at_once(lambda: send(1), lambda: send(2))
    assert {tuple(sorted(pair)) for pair in zip(one, two, strict=True)} == {(200, 201)}
    assert sorted(received) == sorted(sample.identifier for sample in samples)
    assert attacked.published() == {sample.relative_path: sample.data for sample in samples}


def test_13_a_chunk_after_the_end_or_during_it_changes_nothing(attack: Attack) -> None:
    finishing, go_on = threading.Event(), threading.Event()

    def finish(record: UploadRecord) -> None:
        finishing.set()
        assert go_on.wait(60)

    attacked = attack(store={"patience": 0.1}, on_file_received=finish)
    sample = Sample()
    attacked.send(sample, 1)
    answers: list[int] = []
    last = threading.Thread(target=lambda: answers.extend(attacked.send(sample, 2)))
    last.start()
    try:
        assert finishing.wait(60)
        for number in (1, 2):
            again = attacked.upload(sample, number)
            assert (again.status, again.headers["retry-after"]) == (503, "1")
    finally:
        go_on.set()
        last.join(60)
    assert answers == [201]
    assert attacked.send(sample) == [200, 200]
    assert attacked.published() == {"sample.bin": sample.data}
    assert attacked.send(replace(sample, data=bytes(20))) == [200, 201]
    assert attacked.published() == {"sample.bin": sample.data, "sample (1).bin": bytes(20)}


SMUGGLED = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "fields",
    [
        ["X: y"],
        ["Content-Length: -5"],
        ["Content-Length: +5"],
        ["Content-Length: 5x"],
        ["Content-Length: 0x5"],
        ["Content-Length: "],
        ["Content-Length: 5", "Content-Length: 8"],
        ["Content-Length: 5, 8"],
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 5"],
        ["Transfer-Encoding: chunked"],
        ["Transfer-Encoding: x, chunked"],
        ["Transfer-Encoding : chunked"],
        ["Content-Length\t: 5"],
        ["Content-Length: 5", " folded: 1"],
    ],
)
def test_14_a_body_whose_length_is_not_clear_is_refused_and_nothing_behind_it_is_read(
    attacked: AttackedServer, fields: list[str]
) -> None:
    answer = attacked.raw(attacked.head(Sample(), 1, *fields) + SMUGGLED)
    first, *others = re.findall(rb"HTTP/1.1 ([0-9]+) ", answer)
    assert first in (b"400", b"411", b"501")
    assert others == []
    assert b"Connection: close" in answer
    assert attacked.uploads == 0


def test_15_a_body_longer_than_it_said_is_cut_where_it_said(attacked: AttackedServer) -> None:
    sample = Sample()
    answer = attacked.raw(attacked.head(sample, 1, "Content-Length: 8") + sample.chunk(1) + b"and more of it\r\n\r\n")
    first, *others = re.findall(rb"HTTP/1.1 ([0-9]+)", answer)
    assert first == b"200"
    assert others in ([], [b"400"])
    assert attacked.send(sample, 2) == [201]
    assert attacked.published() == {"sample.bin": sample.data}


def test_15_a_body_over_the_limit_is_refused_before_it_is_read(attacked: AttackedServer) -> None:
    # Nothing of the body is sent, and the client does not say that nothing will come.
    answer = attacked.raw(attacked.head(Sample(), 1, f"Content-Length: {1 << 40}"), shut=False)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"Connection: close" in answer
    assert attacked.uploads == 0


def test_16_a_client_that_is_slow_is_cut(attack: Attack) -> None:
    attacked = attack(limits={"header_timeout": 1, "idle_timeout": 1, "min_rate": 1000, "rate_window": 1})
    assert attacked.raw(b"POST / HTTP/1.1\r\nHost: loc", shut=False).startswith(b"HTTP/1.1 408 ")
    sample = Sample(bytes(5000), 5000)
    answer = attacked.raw(attacked.head(sample, 1, "Content-Length: 5000") + bytes(10), shut=False)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"Connection: close" in answer
    idle = f"GET /?{sample.query(1)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    assert attacked.raw(idle, shut=False).startswith(b"HTTP/1.1 204 ")
    assert attacked.raw(shut=False) == b""
    assert attacked.published() == {}


def test_16_a_byte_now_and_then_does_not_keep_a_connection(attack: Attack) -> None:
    attacked = attack(limits={"header_timeout": 1, "min_rate": 1000, "rate_window": 1})
    for begin in (b"GET /?", attacked.head(Sample(bytes(5000), 5000), 1, "Content-Length: 5000")):
        with socket.create_connection(("127.0.0.1", attacked.server.port), timeout=60) as connection:
            connection.sendall(begin)
            connection.settimeout(0.01)
            answer = None
            # A byte every hundredth of a second, until the server has had enough.
            while answer is None:
                try:
                    connection.sendall(b"x")
                    answer = connection.recv(100)
                except TimeoutError:
                    continue
                except ConnectionError:
                    answer = b""
            assert answer == b"" or answer.startswith(b"HTTP/1.1 408 ")


def test_17_more_connections_than_the_cap_are_told_to_come_back(attack: Attack) -> None:
    attacked = attack(limits={"max_connections": 8, "idle_timeout": 300})
    with ExitStack() as stack:
        held = [
            stack.enter_context(closing(socket.create_connection(("127.0.0.1", attacked.server.port), timeout=60)))
            for _ in range(8)
        ]
        # Their requests are under way: silent ones would make room.
        for number, connection in enumerate(held):
            sample = Sample(identifier=str(number), relative_path=str(number))
            head = f"POST /?{sample.query(1)} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n"
            connection.sendall(f"{head}Content-Type: application/octet-stream\r\n\r\n0123".encode())
        eventually(lambda: len(list(attacked.store.uploads())) == 8)
        query = f"GET /?{Sample().query(1)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        for _ in range(100):
            answer = attacked.raw(query)
            assert answer == b"" or (answer.startswith(b"HTTP/1.1 503 ") and b"Retry-After: " in answer)
        for connection in held:
            connection.sendall(b"4567")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    until_no_connection_is_served()
    assert attacked.raw(query).startswith(b"HTTP/1.1 204 ")


def part(name: str, value: bytes, more: str = "") -> bytes:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"


FILE = part("file", b"01234567", '; filename="x"')


@pytest.mark.parametrize(
    "body",
    [
        part("a", b"") * 100_000 + FILE + b"--b--",
        part("a", b"") * 65 + FILE + b"--b--",
        part("a", b"", '; x="' + "y" * 1_000_000 + '"') + FILE + b"--b--",
        b"--b\r\n" + b"X: y\r\n" * 100_000 + b"\r\n" + FILE + b"--b--",
        b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\n\r\n--c--\r\n" + FILE + b"--b--",
        b"x" * 4_000_000,
        b"\r" * 4_000_000,
        b"\r\n" * 2_000_000,
        b"\r\n--" * 1_000_000,
        b"--b" * 1_000_000,
        FILE + b"\r\n--" * 1_000_000,
        b"",
    ],
    ids=lambda body: body[:12].decode(),
)
def test_18_a_form_that_is_no_form_is_refused(attacked: AttackedServer, body: bytes) -> None:
    headers = {"content-type": "multipart/form-data; boundary=b"}
    assert attacked.ask("POST", Sample().query(1), body, headers).status == 400
    assert attacked.test(Sample(), 1).status == 204


@pytest.mark.parametrize(
    "boundary", ["", "; boundary=", "; boundary=" + "b" * 200, '; boundary="b\r"', "; boundary=b; x"]
)
def test_18_a_form_with_a_boundary_that_is_none_is_refused(attacked: AttackedServer, boundary: str) -> None:
    body = FILE + b"--b--" if boundary.endswith("x") else FILE.replace(b"--b", b"--" + b"b" * 200)
    head = attacked.head(Sample(), 1, f"Content-Type: multipart/form-data{boundary}", f"Content-Length: {len(body)}")
    answer = attacked.raw(head + body)
    assert re.match(rb"HTTP/1.1 (400|20[01]) " if boundary.endswith("x") else rb"HTTP/1.1 400 ", answer)


def test_18_a_form_in_a_form_is_a_chunk_like_any_other(attacked: AttackedServer) -> None:
    inner = FILE.replace(b"--b", b"--c") + b"--c--"
    sample = Sample(inner, len(inner))
    assert attacked.form(sample, 1).status == 201
    assert attacked.published() == {"sample.bin": inner}


def test_19_what_is_there_twice_is_refused(attacked: AttackedServer) -> None:
    sample = Sample()
    headers = {"content-type": "multipart/form-data; boundary=b"}
    fields = b"".join(part(name, value.encode()) for name, value in sample.pairs(1))
    for query, body in (
        (sample.query(1), FILE + FILE),
        (sample.query(1), part("resumableIdentifier", b"a") + part("resumableIdentifier", b"b") + FILE),
        (sample.query(2), fields + FILE),
        (replace(sample, identifier="other").query(1), fields + FILE),
        (f"{sample.query(1)}&resumableChunkNumber=2", FILE),
    ):
        assert attacked.ask("POST", query, body + b"--b--", headers).status == 400
    assert attacked.test(sample, 1).status == 204
    assert attacked.test(sample, 2).status == 204


def test_20_the_file_name_of_the_part_is_nobodys_name(attacked: AttackedServer) -> None:
    sample = Sample(bytes(8))
    headers = {"content-type": "multipart/form-data; boundary=b"}
    for number, names in enumerate(
        (
            '; filename="../../x"',
            "; filename*=utf-8''..%2f..%2fx",
            '; filename="a"; filename*=utf-8\'\'..%2f..%2fx; filename="/etc/x"',
        )
    ):
        one = replace(sample, identifier=str(number), relative_path=f"{number}.bin")
        body = part("file", sample.data, names) + b"--b--"
        assert attacked.ask("POST", one.query(1), body, headers).status == 201
    assert attacked.published().keys() == {"0.bin", "1.bin", "2.bin"}


def test_21_uploads_that_nobody_finishes_are_few_and_go_away(attack: Attack) -> None:
    attacked = attack(store={"max_open_uploads": 3})
    samples = [Sample(identifier=str(number), relative_path=str(number)) for number in range(4)]
    assert [attacked.send(sample, 1) for sample in samples] == [[200], [200], [200], [429]]
    assert attacked.send(samples[0], 2) == [201]
    assert attacked.send(samples[3], 1) == [200]
    assert attacked.receiver.sweep() == 0
    # In another store on the same directory: the sweeps of this one may not have begun yet.
    assert Receiver(FileStore(attacked.root, fsync="never", max_open_uploads=3, stale_after=0)).sweep() == 3
    assert attacked.test(samples[1], 1).status == 204


def test_21_a_tenant_has_so_many_bytes_and_no_more(attack: Attack) -> None:
    attacked = attack(store={"max_bytes": 10_000})
    large = Sample(bytes(9000), 3000)
    assert attacked.send(large, 1) == [200]
    assert attacked.send(Sample(bytes(2000), 1000, identifier="other", relative_path="other"), 1) == [507]
    assert attacked.send(large, 2, 3) == [200, 201]


def test_22_chunks_of_a_byte_are_refused_unless_they_are_the_file(attack: Attack) -> None:
    attacked = attack(min_chunk_size=1024)
    answer = attacked.upload(Sample(bytes(100_000), 1), 1)
    assert (answer.status, b"no chunks below 1024" in answer.body) == (400, True)
    assert attacked.uploads == 0
    assert attacked.send(Sample(b"x", 1)) == [201]


def test_23_the_reserve_of_the_disk_is_left_alone(attack: Attack) -> None:
    attacked = attack()
    open_upload = Sample(os.urandom(20), identifier="open", relative_path="open")
    assert attacked.send(open_upload, 1) == [200]
    full = Receiver(FileStore(attacked.root, fsync="never", reserve=1 << 62))
    with Server(full) as server:
        new = Sample(identifier="new", relative_path="new")
        with closing(socket.create_connection(("127.0.0.1", server.port), timeout=60)) as connection:
            head = attacked.head(new, 1, "Content-Length: 8", "Connection: close")
            connection.sendall(head + new.chunk(1))
            assert connection.recv(65536).startswith(b"HTTP/1.1 507 ")
    assert attacked.test(new, 1).status == 204
    assert attacked.test(open_upload, 1).status == 200
    assert attacked.send(open_upload, 2) == [201]
    assert attacked.published() == {"open": open_upload.data}


def test_24_a_path_is_not_deeper_or_longer_than_a_file_system_takes(attacked: AttackedServer) -> None:
    deep = Sample(identifier="deep", relative_path="/".join(["d"] * 31 + ["name"]))
    assert attacked.send(deep) == [200, 201]
    deeper = replace(deep, identifier="deeper", relative_path=f"d/{deep.relative_path}")
    assert attacked.send(deeper) == [400, 400]
    long = Sample(identifier="long", relative_path="é" * 300 + ".txt")
    assert attacked.send(long) == [200, 201]
    longest = replace(long, identifier="longest", relative_path="/".join(["d" * 250] * 5))
    assert attacked.send(longest) == [400, 400]
    assert attacked.published().keys() == {deep.relative_path, "é" * 125 + ".txt"}


def test_25_without_the_token_nothing_is_read_or_told(attack: Attack) -> None:
    attacked = attack(token="s3cret", headers=SECRET)
    for value in (None, "", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3crets", "Basic s3cret", "Bearer S3CRET"):
        fields = [] if value is None else [f"Authorization: {value}"]
        # Nothing of the body is sent, and the client does not say that nothing will come.
        answer = attacked.raw(attacked.head(Sample(), 1, *fields, "Content-Length: 100000000"), shut=False)
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b"WWW-Authenticate: Bearer" in answer
        assert b"Connection: close" in answer
        assert b"s3cret" not in answer
    assert attacked.test(Sample(), 1).status == 401
    assert attacked.ask("GET", path="/uploads").status == 401
    assert attacked.uploads == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.0.2.1"])
def test_25_an_address_that_others_reach_wants_a_token(attacked: AttackedServer, host: str) -> None:
    with pytest.raises(OptionError, match="token"):
        Server(attacked.receiver, host=host)


def test_26_another_tenants_upload_looks_as_if_it_were_not_there(attack: Attack) -> None:
    attacked = attack(tenant=lambda request: request.headers.get("x-user", ""))
    mine, yours = (Sample(bytes([number]) * 20, headers={"x-user": str(number)}) for number in (1, 2))
    assert attacked.send(mine, 1) == [200]
    assert attacked.test(yours, 1).status == 204
    assert attacked.upload(yours, 2).status == 200
    assert attacked.test(mine, 2).status == 204
    listed = [json.loads(attacked.ask("GET", path="/uploads", headers=one.headers).body) for one in (mine, yours)]
    assert [[upload["stored_chunks"] for upload in one["uploads"]] for one in listed] == [[1], [1]]
    assert json.loads(attacked.ask("GET", path="/uploads").body)["uploads"] == []
    assert attacked.send(yours, 1) == [201]
    assert attacked.send(mine, 2) == [201]
    assert sorted(attacked.published().values()) == [mine.data, yours.data]


def test_27_a_page_of_others_cannot_upload_through_a_browser(attacked: AttackedServer) -> None:
    sample = Sample()
    for origin in (FOREIGN, "null", f"http://localhost:{attacked.server.port}", "http://127.0.0.1", "file://"):
        request = sample.multipart(1)
        headers = {**request.headers, "origin": origin, "cookie": "session=stolen"}
        assert attacked.ask("POST", request.query, request.read(1 << 20), headers).status == 403
        plain = {"origin": origin, "content-type": "text/plain"}
        assert attacked.ask("POST", sample.query(1), sample.chunk(1), plain).status == 403
    assert attacked.uploads == 0
    own = {"origin": f"http://127.0.0.1:{attacked.server.port}"}
    assert attacked.ask("POST", sample.query(1), sample.chunk(1), own).status == 200


def test_28_only_the_very_origins_that_are_allowed_are_shared_with(attack: Attack) -> None:
    allowed = "https://files.example.org"
    attacked = attack(allowed_origins=[allowed])
    for origin in (FOREIGN, "null", "*", f"{allowed}.evil.example", "https://evilfiles.example.org", f"{allowed}:8443"):
        preflight = {"origin": origin, "access-control-request-method": "POST"}
        assert attacked.ask("OPTIONS", headers=preflight).status == 405
        assert attacked.ask("POST", Sample().query(1), bytes(8), {"origin": origin}).status == 403
        shared = attacked.ask("GET", Sample().query(1), headers={"origin": origin}).headers
        assert not [name for name in shared if name.startswith("access-control")]
    shared = attacked.ask("GET", Sample().query(1), headers={"origin": allowed}).headers
    assert shared["access-control-allow-origin"] == allowed
    assert shared["vary"] == "Origin"
    assert "access-control-allow-credentials" not in shared
    with pytest.raises(OptionError, match="allowed_origins"):
        Receiver(attacked.store, allowed_origins=["*"])


def test_28_without_the_option_nothing_is_shared(attacked: AttackedServer) -> None:
    for method, status in (("GET", 204), ("OPTIONS", 405)):
        answer = attacked.ask(method, Sample().query(1), headers={"origin": FOREIGN})
        assert answer.status == status
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_29_a_name_that_points_here_is_not_ours(attacked: AttackedServer) -> None:
    for host in (
        "evil.example",
        f"evil.example:{attacked.server.port}",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
    ):
        headers = {"host": host, "origin": f"http://{host}"}
        assert attacked.ask("GET", Sample().query(1), headers=headers).status == 403
        assert attacked.ask("POST", Sample().query(1), Sample().chunk(1), headers).status == 403
        assert attacked.ask("GET", headers=headers).status == 403
        assert attacked.ask("GET", path="/uploads", headers=headers).status == 403
    assert attacked.uploads == 0


def test_30_what_was_uploaded_is_served_to_nobody(attacked: AttackedServer) -> None:
    for name in ("evil.html", "evil.svg", "evil.php", ".htaccess"):
        data = b"<script>alert(1)</script>"
        assert attacked.send(Sample(data, len(data), identifier=name, relative_path=name, file_name=name)) == [201]
        for path in (f"/{name}", f"/uploads/{name}", f"/incoming/{name}", f"/.resumable/{name}"):
            answer = attacked.ask("GET", path=path)
            assert (answer.status, answer.body.startswith(b"There is nothing at ")) == (404, True)
    listing = attacked.ask("GET", path="/uploads")
    assert listing.headers["content-type"].startswith("application/json")
    assert listing.headers["x-content-type-options"] == "nosniff"


def test_31_no_text_of_a_client_makes_a_line_of_its_own_in_the_log(
    attack: Attack, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")

    failures: list[str] = []

    def finish(record: UploadRecord) -> None:
        if failures:
            raise RuntimeError(failures.pop())

    evil = "x\r\n2026-01-01 root logged in\x1b[31m\u202e\u2028"
    attacked = attack(on_file_received=finish, token="s3cret", headers=SECRET)
    sample = Sample(identifier=evil, file_name=evil, relative_path=evil, headers=SECRET)
    assert attacked.send(sample) == [200, 201]
    failures.append("the hook")
    assert attacked.send(replace(sample, identifier="again" + evil)) == [200, 500]
    assert attacked.send(replace(sample, identifier="again" + evil, file_name="other" + evil), 1) == [409]
    assert attacked.send(replace(sample, identifier="other", relative_path=evil + "/../.."), 1) == [400]
    assert attacked.ask("GET", path="/%0d%0a2026 root%1b%5b31m".replace(" ", "%20"), headers=SECRET).status == 404
    assert attacked.raw(b"G\x1bET / HTTP/1.1\r\nHost: localhost\r\n\r\n").startswith(b"HTTP/1.1 4")
    assert attacked.raw(b"GET / HTTP/1.1\r\nHost: \x1b[31m\r\n\r\n").startswith(b"HTTP/1.1 40")
    origin = b"Origin: http://\xc2\x9b31m\r\n" + b"Authorization: Bearer s3cret\r\n"
    assert b" 403 " in attacked.raw(attacked.head(sample, 1, "Content-Length: 0")[:-2] + origin + b"\r\n")
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("resumable")]
    assert len(messages) >= 6
    for message in messages:
        assert not [letter for letter in message if unicodedata.category(letter) in ("Cc", "Cf", "Zl", "Zp")], message


def test_32_a_file_that_is_there_is_not_overwritten(attack: Attack, tmp_path: Path) -> None:
    attacked = attack()
    (attacked.root / "sample.bin").write_bytes(b"here first")
    assert attacked.send(Sample()) == [200, 201]
    assert attacked.published() == {"sample.bin": b"here first", "sample (1).bin": Sample().data}
    strict = attack(store={"existing": "refuse"})
    other = Sample(bytes(20), identifier="other")
    assert strict.send(other) == [409, 409]
    assert attacked.published() == {"sample.bin": b"here first", "sample (1).bin": Sample().data}
    (attacked.root / "sample.bin").unlink()
    assert strict.send(other) == [200, 201]


def test_33_a_hook_that_raises_keeps_the_upload_and_runs_again_with_the_next_chunk(attack: Attack) -> None:
    failures = ["once", "twice"]

    def finish(record: UploadRecord) -> None:
        if failures:
            raise RuntimeError(failures.pop())

    attacked = attack(on_file_received=finish)
    sample = Sample()
    assert attacked.send(sample) == [200, 500]
    assert attacked.test(sample, 1).headers["resumable-stored-chunks"] == "1"
    assert attacked.test(sample, 2).status == 204
    assert attacked.send(sample, 1, 2, 2) == [500, 201, 200]
    assert attacked.published() == {"sample.bin": sample.data}
    assert attacked.test(sample, 2).status == 200


def test_34_names_that_are_one_on_some_file_systems_are_two_files(attacked: AttackedServer) -> None:
    names = ["A.bin", "a.bin", "A.BIN", "\u00e9.bin", "e\u0301.bin"]
    samples = [Sample(os.urandom(20), identifier=str(number), relative_path=name) for number, name in enumerate(names)]
    assert [attacked.send(sample) for sample in samples] == [[200, 201]] * len(names)
    assert sorted(attacked.published().values()) == sorted(sample.data for sample in samples)


def test_35_an_error_says_a_number_and_the_log_the_rest(attack: Attack, caplog: pytest.LogCaptureFixture) -> None:
    failures = ["/secret/path"]

    def finish(record: UploadRecord) -> None:
        if failures:
            raise FileNotFoundError(failures.pop())

    attacked = attack(on_file_received=finish)
    attacked.send(Sample(), 1)
    answer = attacked.upload(Sample(), 2)
    assert answer.status == 500
    number = re.fullmatch(rb"The server failed: see request ([0-9a-f]{8}) in its log\.\n", answer.body)
    assert number, answer.body
    assert f"request {number[1].decode()} " in caplog.text
    assert "FileNotFoundError: /secret/path" in caplog.text
    assert attacked.send(Sample(), 2) == [201]


def test_36_methods_and_paths_are_what_they_are(attacked: AttackedServer) -> None:
    attacked.send(Sample(), 1)
    query = Sample().query(1)
    for method in ("DELETE", "OPTIONS", "TRACE", "PROPFIND", "MOVE"):
        answer = attacked.ask(method, query)
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, POST, PUT, PATCH")
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = attacked.ask(method, path="/uploads")
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    override = {"x-http-method-override": "DELETE", "x-method-override": "PUT", "x-http-method": "DELETE"}
    assert attacked.ask("GET", query, headers=override).status == 200
    assert attacked.ask("GET", f"{query}&_method=DELETE", headers=override).status == 200
    head = attacked.ask("HEAD", query)
    assert (head.status, head.body) == (200, b"")
    for path in (
        "/../",
        "/..",
        "/%2e%2e/",
        "/./",
        "/uploads/",
        "/uploads/../",
        "/.resumable/",
        "/sample.bin",
        "/%00",
    ):
        assert attacked.ask("GET", query, path=path).status == 404, path
        assert attacked.ask("POST", query, bytes(8), path=path).status == 404, path
    for target in ("http://evil.example/", "evil.example:80", "*", ""):
        line = f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        assert re.match(rb"HTTP/1.1 (200|400|403|404|405) ", attacked.raw(line)), target
    assert attacked.send(Sample(), 2) == [201]
