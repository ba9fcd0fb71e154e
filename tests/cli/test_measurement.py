"""``resumable doctor --measure``: how fast uploads are and what limits them, with nothing left at the server."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.advice import findings
from support.command import Run, tree
from support.scripted_server import ScriptedServer, lacking

from resumable.cli.doctor.measurement import Facts, conclusion
from resumable.receiver import FileStore, Receiver, Server

MIB = 1024 * 1024
FACTS = Facts(10.0, 10e6, 95, MIB, 6, 0.2, 0.05, 0.0, 0.95, 0.0, "cubic")


@pytest.mark.once
def test_a_receiver_is_measured_and_keeps_nothing(run: Run, server: Server, received: Path) -> None:
    """Not even a part of a file, whatever was under way at the end."""
    ran = run("doctor", "--measure", "1s", "--chunk-size", "64K", server.url)
    found = findings(ran.err)
    assert ran.code == 0
    assert found["measured"].startswith("ok: ")
    assert "chunks of 64.0 KiB" in found["measured"]
    assert ("round trip" in found["measured"]) == (sys.platform == "linux")
    assert tree(received) == {}
    assert [path for path in (received / ".resumable").iterdir() if path.is_dir()] == []


def test_another_server_would_keep_it(run: Run) -> None:
    """So nothing is sent."""
    with ScriptedServer(behave=lacking) as server:
        ran = run("doctor", "--measure", "1s", server.url)
    assert ran.code == 4
    assert "another server" in findings(ran.err)["measured"]
    assert server.uploads == []


def test_a_receiver_that_takes_no_hashes_gets_one_small_file(run: Run, tmp_path: Path) -> None:
    """Which is named."""
    root = tmp_path / "in"
    with Server(Receiver(FileStore(root), file_sha256_parameter_name=None)) as server:
        ran = run("doctor", "--measure", "1s", server.url)
    assert ran.code == 4
    ((name, content),) = tree(root).items()
    assert len(content) <= 1000
    assert f"delete {name} there" in findings(ran.err)["measured"]


@pytest.mark.parametrize(
    ("facts", "limit", "advice"),
    [
        (FACTS, "line", ""),
        (FACTS._replace(chunks=0, rate=0.0), "No chunk", "longer"),
        (FACTS._replace(processor=0.95), "processor", "--chunk-size"),
        (FACTS._replace(round_trip=None), "does not tell", "--simultaneous-uploads"),
        (FACTS._replace(window_full=0.7), "server limits it: it reads", ""),
        (
            FACTS._replace(resent=0.005),
            "lost",
            'modprobe tcp_bbr; sysctl -w net.ipv4.tcp_allowed_congestion_control="reno',
        ),
        (FACTS._replace(resent=0.005, control="bbr"), "line", ""),
        (FACTS._replace(busy=0.5, chunks=1000), "wait for answers", "--simultaneous-uploads"),
        (FACTS._replace(busy=0.5), "to answer a chunk", "--chunk-size"),
    ],
)
def test_one_sentence_says_what_limits_an_upload(facts: Facts, limit: str, advice: str) -> None:
    """And one what would help, if anything would."""
    found = conclusion(facts, ["reno", "cubic"], ["reno", "cubic"])
    assert limit in found.text
    assert advice in found.advice
    assert bool(advice) == bool(found.advice)


@pytest.mark.parametrize(
    ("available", "allowed", "advice"),
    [
        (["cubic", "bbr"], ["cubic"], 'as root: sysctl -w net.ipv4.tcp_allowed_congestion_control="cubic bbr"'),
        (["cubic", "bbr"], ["cubic", "bbr"], "--congestion-control auto"),
    ],
)
def test_the_line_of_sysctl_is_the_one_that_is_needed(available: list[str], allowed: list[str], advice: str) -> None:
    assert conclusion(FACTS._replace(resent=0.01), available, allowed).advice.startswith(advice)
