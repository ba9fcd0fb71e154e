"""Real trees of files, links, FIFOs, and directories without rights."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from resumable import upload
from resumable.errors import OptionError, SourceError
from resumable.sources.directory import files

FILES = ["a.txt", "b/deep/er/x.csv", "b/y.txt", "b.txt", "c/.hidden", "c/z.CSV"]

posix = pytest.mark.skipif(os.name != "posix", reason="links and FIFOs")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name in FILES:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    (root / "empty").mkdir()
    return root


def relative(root: Any, *arguments: Any, **options: Any) -> list[str]:
    return [name for _, name in files(root, *arguments, **options)]


def test_every_file_is_named_from_the_root_on_and_in_sorted_order(root: Path) -> None:
    assert relative(root) == [f"root/{name}" for name in FILES]
    for path, name in files(root):
        assert Path(path).read_text() == name.removeprefix("root/")


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("**/*", FILES),
        ("**", FILES),
        ("*", ["a.txt", "b.txt"]),
        ("*.txt", ["a.txt", "b.txt"]),
        ("**/*.txt", ["a.txt", "b/y.txt", "b.txt"]),
        ("b/**/*", ["b/deep/er/x.csv", "b/y.txt"]),
        ("b/**/x.*", ["b/deep/er/x.csv"]),
        ("**/deep/**/*.csv", ["b/deep/er/x.csv"]),
        ("./b//y.txt", ["b/y.txt"]),
        ("*/*", ["b/y.txt", "c/.hidden", "c/z.CSV"]),
        ("b", []),
        ("", []),
        ("**/**/**/y.txt", ["b/y.txt"]),
        ("b/**", ["b/deep/er/x.csv", "b/y.txt"]),
        ("**/none", []),
    ],
)
def test_a_pattern_takes_what_a_glob_below_the_root_takes(root: Path, pattern: str, names: list[str]) -> None:
    assert relative(root, pattern) == [f"root/{name}" for name in names]


@pytest.mark.parametrize(
    ("exclude", "names"),
    [
        (["*.txt"], ["b/deep/er/x.csv", "c/.hidden", "c/z.CSV"]),
        ("*.txt", ["b/deep/er/x.csv", "c/.hidden", "c/z.CSV"]),
        (["deep"], ["a.txt", "b/y.txt", "b.txt", "c/.hidden", "c/z.CSV"]),
        (["b/deep"], ["a.txt", "b/y.txt", "b.txt", "c/.hidden", "c/z.CSV"]),
        (["b/*"], ["a.txt", "b.txt", "c/.hidden", "c/z.CSV"]),
        (["er"], ["a.txt", "b/y.txt", "b.txt", "c/.hidden", "c/z.CSV"]),
        ([".*", "?.txt"], ["b/deep/er/x.csv", "c/z.CSV"]),
        (["root"], FILES),
        ((name for name in ("b", "c")), ["a.txt", "b.txt"]),
    ],
)
def test_an_exclusion_leaves_out_files_and_whole_directories(root: Path, exclude: Any, names: list[str]) -> None:
    assert relative(root, exclude=exclude) == [f"root/{name}" for name in names]


@posix
def test_what_is_excluded_or_cannot_match_is_not_looked_into(root: Path) -> None:
    # A path component longer than a file system allows: whoever looks at it gets an error.
    (root / "c" / "trap").symlink_to("x" * 300)
    assert len(relative(root, exclude=["trap"])) == len(relative(root, exclude=["c/trap"])) == len(FILES)
    assert relative(root, "b/**/*.csv") == ["root/b/deep/er/x.csv"]
    with pytest.raises(SourceError, match="trap"):
        relative(root)


@posix
def test_a_working_directory_that_was_deleted_is_an_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    for add in (files, lambda path: upload(path, "http://127.0.0.1:9/")):
        with pytest.raises(SourceError, match=r"cannot read '\.': No such file or directory"):
            add(".")


def test_the_root_may_be_text_relative_or_the_working_directory_itself(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root.parent)
    assert [(os.fspath(path), name) for path, name in files("root", "*.txt")] == [
        (os.path.join("root", "a.txt"), "root/a.txt"),
        (os.path.join("root", "b.txt"), "root/b.txt"),
    ]
    monkeypatch.chdir(root)
    for itself in (".", "b/..", str(root) + os.sep):
        assert relative(itself, "a.txt") == ["root/a.txt"]
    monkeypatch.chdir(root / "b")
    assert relative("..", "a.txt") == ["root/a.txt"]


@posix
def test_the_root_of_the_file_system_has_no_name_to_begin_with() -> None:
    assert relative("/", "etc/passwd") == ["etc/passwd"]


def test_what_is_missing_or_no_directory_is_refused_at_once(root: Path) -> None:
    with pytest.raises(SourceError, match="No such file") as caught:
        files(root / "none")
    assert caught.value.errno == errno.ENOENT
    with pytest.raises(SourceError, match="it is not a directory; add_file"):
        files(root / "a.txt")
    with pytest.raises(SourceError, match="ValueError"):
        files("nul\0inside")


@posix
def test_linked_files_are_taken_and_links_that_lead_nowhere_are_not(root: Path) -> None:
    (root / "link.txt").symlink_to("b/y.txt")
    (root / "dangling.txt").symlink_to("none")
    (root / "itself.txt").symlink_to("itself.txt")
    assert relative(root, "*.txt") == ["root/a.txt", "root/b.txt", "root/link.txt"]


@posix
def test_loops_of_links_end(root: Path) -> None:
    (root / "c" / "up").symlink_to("..")
    (root / "c" / "again").symlink_to(".")
    (root / "b" / "deep" / "parent").symlink_to(root.parent)
    names = relative(root)
    assert len(set(names)) == len(names)
    assert set(names) >= {f"root/{name}" for name in FILES}
    assert all(name.count("/up/") + name.count("/again/") + name.count("/parent/") <= 1 for name in names)


@posix
def test_a_directory_is_walked_once_through_links_and_always_in_its_own_place(root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "far.txt").touch()
    (root / "first").symlink_to(elsewhere)
    (root / "second").symlink_to(elsewhere)
    (root / "a-link-to-c").symlink_to("c")
    names = relative(root)
    assert [name for name in names if "far" in name] == ["root/first/far.txt"]
    assert "root/a-link-to-c/z.CSV" in names
    assert "root/c/z.CSV" in names


@posix
def test_a_link_may_be_the_root_and_gives_its_name(root: Path) -> None:
    link = root.parent / "link"
    link.symlink_to(root)
    assert relative(link, "a.txt") == ["link/a.txt"]


@posix
def test_fifos_are_left_out_and_not_opened(root: Path) -> None:
    os.mkfifo(root / "fifo.txt")
    assert relative(root, "*.txt") == ["root/a.txt", "root/b.txt"]


@posix
def test_names_that_are_not_utf_8_are_kept(root: Path) -> None:
    with open(os.path.join(os.fsencode(root), b"caf\xe9.bin"), "wb"):
        pass
    assert [os.fsencode(name) for name in relative(root, "*.bin")] == [b"root/caf\xe9.bin"]


def test_a_walk_goes_directory_by_directory_and_not_to_the_end_first(root: Path) -> None:
    found = files(root)
    next(found)
    (root / "b" / "y.txt").unlink()
    assert "root/b/y.txt" not in [name for _, name in found]


@posix
@pytest.mark.parametrize("mode", [0o000, 0o444, 0o111])
def test_a_directory_that_may_not_be_read_is_told_and_not_left_out(mode: int) -> None:
    # As root no mode would refuse anything, so a process without rights walks.
    script = """if True:
        import os, sys
        from resumable.errors import OptionError, SourceError
        from resumable.sources.directory import files
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        try:
            print([name for _, name in files(sys.argv[1])])
        except SourceError as error:
            print(error.errno, error.source)
    """
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        closed = Path(directory, "closed")
        closed.mkdir()
        (closed / "file").touch()
        closed.chmod(mode)
        printed = subprocess.check_output([sys.executable, "-c", script, directory], timeout=60, text=True)
        closed.chmod(0o755)
    assert printed.startswith(f"{errno.EACCES} {closed}")


def test_a_function_selects_files_and_directories(root: Path) -> None:
    asked: list[tuple[str, bool]] = []

    def select(path: str, is_directory: bool) -> bool:
        asked.append((path, is_directory))
        return path != "b" and not path.endswith(".CSV")

    assert relative(root, select=select) == ["root/a.txt", "root/b.txt", "root/c/.hidden"]
    assert ("b", True) in asked
    assert not any(path.startswith("b/") for path, _ in asked)
    assert relative(root, "**/*.txt", select=lambda path, is_directory: is_directory or "y" in path) == ["root/b/y.txt"]


@posix
def test_links_are_left_out_or_refused_if_that_is_asked_for(root: Path) -> None:
    (root / "d").symlink_to(root / "b")
    (root / "e.txt").symlink_to(root / "a.txt")
    plain = [f"root/{name}" for name in FILES]
    assert relative(root, links="skip") == plain
    assert "root/e.txt" in relative(root)
    with pytest.raises(SourceError, match=r"/d.*links='error'"):
        relative(root, links="error")
    assert relative(root, links="error", exclude=["d", "e.txt"]) == plain
    with pytest.raises(OptionError):
        relative(root, links="maybe")


def test_what_can_decide_nothing_is_no_function_that_selects(root: Path) -> None:
    async def select(path: str, is_directory: bool) -> bool:
        return False

    for wrong in (select, "*.txt"):
        with pytest.raises(OptionError, match=r"select must be a callable\(path, is_directory\) that is not async"):
            relative(root, select=wrong)


@posix
def test_links_that_lead_nowhere_are_named(root: Path) -> None:
    (root / "gone").symlink_to(root / "nowhere")
    (root / "loop").symlink_to(root / "loop")
    dead: list[str] = []
    assert relative(root, dead=dead.append) == [f"root/{name}" for name in FILES]
    assert dead == [str(root / "gone"), str(root / "loop")]


def test_a_home_is_found(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(root.parent))
    monkeypatch.setenv("USERPROFILE", str(root.parent))
    assert relative("~/root") == relative(Path("~/root")) == relative(root)


class Universal:
    """A path of somewhere else, as universal paths are."""

    protocol = "memory"

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = path.name

    def iterdir(self) -> list[Universal]:
        return [Universal(path) for path in self._path.iterdir()]

    def is_dir(self) -> bool:
        return self._path.is_dir()

    def stat(self) -> Any:
        return self._path.stat()

    def open(self, mode: str) -> Any:
        return self._path.open(mode)

    def __str__(self) -> str:
        return f"memory://{self._path}"


def test_a_universal_path_is_walked_by_its_own_means(root: Path) -> None:
    assert sorted(relative(Universal(root))) == sorted(relative(root))
    assert relative(Universal(root), "**/*.txt", exclude=["y.txt"]) == ["root/a.txt", "root/b.txt"]
    ((found, _),) = files(Universal(root), "a.txt")
    assert isinstance(found, Universal)
    with pytest.raises(SourceError):
        relative(Universal(root / "a.txt"))
