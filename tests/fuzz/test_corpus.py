from __future__ import annotations

from pathlib import Path

import pytest

from .target import Misbehaviour, Target, check_answer

CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_the_receiver_copes_with_what_was_found(path: Path, tmp_path: Path) -> None:
    assert Target(tmp_path).run(path.read_bytes())


def test_the_corpus_gets_every_answer_that_the_receiver_has(tmp_path: Path) -> None:
    target = Target(tmp_path)
    seen = {status for path in CORPUS for status in target.run(path.read_bytes())}
    # The rest is for servers that time out, have a token, a mount, or no room on the disk.
    assert seen >= {200, 201, 204, 400, 403, 404, 405, 409, 411, 413, 429, 460}


def test_a_file_beside_the_root_is_misbehaviour(tmp_path: Path) -> None:
    (tmp_path / "escaped").touch()
    with pytest.raises(Misbehaviour, match="escaped"):
        Target(tmp_path).run(b"GET / HTTP/1.1\r\n\r\n")


@pytest.mark.parametrize(
    ("status", "headers", "says"),
    [
        ("500 Internal Server Error", {"Content-Length": "1"}, "500 Internal"),
        ("200 OK", {"Content-Length": "1", "A": "b\r\nC: d"}, "ends too early"),
        ("200 OK", {"Content-Length": "1", "content-length": "1"}, "there twice"),
        ("200 OK", {"Content-Length": "2"}, "another length"),
        ("200 OK", {}, "another length"),
        ("204 No Content", {"Content-Length": "0"}, "another length"),
    ],
)
def test_an_answer_that_is_none_is_misbehaviour(status: str, headers: dict[str, str], says: str) -> None:
    with pytest.raises(Misbehaviour, match=says):
        check_answer(status, list(headers.items()), b"x", head=False)
    assert check_answer("200 OK", [("Content-Length", "1")], b"x", head=False) == 200
