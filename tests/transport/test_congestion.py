"""Which congestion control connections get, and that nothing ever fails because of it."""

from __future__ import annotations

import logging
import os
import socket
import sys
from pathlib import Path

import pytest
from support.scripted_server import PATIENCE, ScriptedServer, Store

from resumable import Resumable
from resumable.transport.congestion import socket_options

linux = pytest.mark.skipif(sys.platform != "linux", reason="the control can be chosen on Linux")


@pytest.fixture
def allowed(tmp_path: Path) -> Path:
    """The administrator's list: one that every kernel has, one that none has, and bbr."""
    path = tmp_path / "tcp_allowed_congestion_control"
    path.write_text("reno nosuch bbr\n")
    return path


def taken(options: list[tuple[int, int, bytes]]) -> bytes:
    """The control of a socket that got the options."""
    with socket.socket() as probe:
        for option in options:
            probe.setsockopt(*option)
        return probe.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0")


@linux
def test_a_name_in_the_list_is_taken(allowed: Path) -> None:
    """A socket has it then."""
    assert taken(socket_options("reno", allowed)) == b"reno"


@linux
def test_auto_is_bbr_if_it_is_in_the_list_and_the_system_has_it(allowed: Path) -> None:
    """Or else what the system has, without a word."""
    available = "bbr" in Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()
    assert (taken(socket_options("auto", allowed)) == b"bbr") is (available or taken([]) == b"bbr")
    allowed.write_text("reno cubic\n")
    assert socket_options("auto", allowed) == []


@pytest.mark.parametrize("name", ["cubic", "nosuch"])
def test_what_is_not_in_the_list_or_not_there_is_not_taken(
    name: str, allowed: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """That is logged once. A program of root could take it, and does not."""
    with caplog.at_level(logging.WARNING, "resumable"):
        assert socket_options(name, allowed) == []
        assert socket_options(name, allowed) == []
    assert [record.args[0] for record in caplog.records if record.args] == [name]


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"])
def test_no_list_is_an_empty_one(content: bytes | None, tmp_path: Path) -> None:
    """As on other systems, and in containers without /proc."""
    path = tmp_path / "list"
    if content is not None:
        path.write_bytes(content)
    assert socket_options("auto", path) == []
    assert socket_options(None, path) == []


def test_a_python_that_knows_no_choice_chooses_nothing(allowed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows."""
    monkeypatch.delattr(socket, "TCP_CONGESTION", raising=False)
    assert socket_options("auto", allowed) == []


@pytest.mark.parametrize("name", ["auto", "reno", "nosuch", None])
def test_every_choice_uploads(name: str | None) -> None:
    """Also one that nobody knows."""
    data = os.urandom(3000)
    store = Store()
    with ScriptedServer(behave=store) as server:
        with Resumable(server.url, chunk_size=1000, congestion_control=name) as session:
            file = session.add_file(data, relative_path="a.bin")
        file.wait(PATIENCE)
        assert store.content(file.unique_identifier or "") == data
