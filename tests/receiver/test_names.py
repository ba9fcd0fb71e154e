from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resumable.receiver.messages import Refusal
from resumable.receiver.store.names import numbered, safe_name


@pytest.mark.parametrize(
    ("given_name", "name"),
    [
        ("a.txt", "a.txt"),
        ("dir/sub/a.txt", "dir/sub/a.txt"),
        ("dir\\sub\\a.txt", "dir/sub/a.txt"),
        ("/etc/passwd", "etc/passwd"),
        ("C:\\Windows\\a.txt", "C_/Windows/a.txt"),
        ("\\\\host\\share\\a", "host/share/a"),
        ("./a//b/.", "a/b"),
        ("a\0b\nc\x1b[0m", "a_b_c_[0m"),
        ('say "hi"?.txt', "say _hi__.txt"),
        ("stream:ads", "stream_ads"),
        ("txt.\u202eexe", "txt._exe"),
        ("lone\udc80byte", "lone_byte"),
        ("trailing. . ", "trailing"),
        ("...", "_"),
        (".. ", "_"),
        ("CON", "_CON"),
        ("nul.tar.gz", "_nul.tar.gz"),
        ("com¹ .txt", "_com¹ .txt"),
        ("console", "console"),
        ("CONIN$", "_CONIN$"),
        ("conout$.txt", "_conout$.txt"),
        ("conin", "conin"),
        ("\u061ctxt\u206aexe", "_txt_exe"),
        (".resumable/record", "_.resumable/record"),
        (".RESUMABLE", "_.RESUMABLE"),
        (".re\u200csum\ufeffable\u200d", "_.re\u200csum\ufeffable\u200d"),
        ("\u200c", "_\u200c"),
        ("می\u200cخواهم.txt", "می\u200cخواهم.txt"),
        (".hidden", ".hidden"),
        ("写真 été.jpg", "写真 été.jpg"),
        ("n" * 300 + ".txt", "n" * 251 + ".txt"),
        ("é" * 200, "é" * 127),
        ("." * 300 + "y" * 60, "_"),
        ("nul." + "n" * 251, "_nul." + "n" * 250),
    ],
)
def test_a_name_is_mapped_to_one_that_is_safe_everywhere(given_name: str, name: str) -> None:
    assert safe_name(given_name) == name


@pytest.mark.parametrize(
    ("given_name", "reason"),
    [
        ("..", "leads out"),
        ("../../x", "leads out"),
        ("a/../../x", "leads out"),
        ("a\\..\\x", "leads out"),
        ("", "no file name"),
        ("///", "no file name"),
        ("a/" * 32 + "b", "more than 32 parts"),
        ("/".join(["d" * 200] * 6), "more than 1024 bytes"),
    ],
)
def test_a_name_that_cannot_be_mapped_is_refused(given_name: str, reason: str) -> None:
    with pytest.raises(Refusal, match=reason) as caught:
        safe_name(given_name)
    assert caught.value.status == 400


PIECES = st.sampled_from(
    [".", "..", "/", "\\", ":", " ", "\0", "\ud800", "\u200c", "con", "nul.", ".resumable", "é", "n" * 90]
)


@given(st.lists(PIECES | st.characters(exclude_categories=()), max_size=40).map("".join))
def test_no_name_leaves_the_directory_and_a_safe_name_is_kept(name: str) -> None:
    try:
        safe = safe_name(name)
    except Refusal:
        return
    path = PurePosixPath(safe)
    assert not path.is_absolute()
    assert ".." not in path.parts
    assert str(path) == safe
    assert all(1 <= len(part.encode()) <= 255 for part in path.parts)
    assert not PureWindowsPath(safe).is_absolute()
    assert not PureWindowsPath(safe).drive
    assert path.parts[0].casefold().replace("\u200c", "") != ".resumable"
    assert safe_name(safe) == safe


@pytest.mark.parametrize(
    ("component", "number", "name"),
    [
        ("a.txt", 1, "a (1).txt"),
        ("a", 2, "a (2)"),
        (".profile", 3, ".profile (3)"),
        ("n" * 255, 10, "n" * 250 + " (10)"),
        ("a.tar.gz", 1, "a.tar (1).gz"),
    ],
)
def test_the_number_stands_in_front_of_the_suffix(component: str, number: int, name: str) -> None:
    assert numbered(component, number) == name


@pytest.mark.once
def test_a_name_that_the_locale_cannot_write_is_refused_at_its_first_chunk(tmp_path: Path) -> None:
    program = (
        "import logging; from resumable.receiver import Receiver; from support.sample import Sample;"
        "logging.basicConfig(); receiver = Receiver('in');"
        "print(*(Sample(relative_path=path, identifier=path).send(receiver, 1) for path in ('\\xfc', '\\xfc/a', 'a')))"
    )
    plain = {**os.environ, "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=plain, capture_output=True, text=True)
    assert ran.stdout == "[501] [501] [200]\n", ran.stderr
    assert ran.stderr.count("no file can be called") == 2
