"""Somebody on the same machine puts links where the store expects its own directories and files."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.descriptors import open_below
from support.stored_uploads import DATA, KEY, a_record, begun, directory_of, filled, opened, whole

from resumable.receiver import FileStore
from resumable.receiver.messages import Refusal
from resumable.receiver.store.safe_files import remove_directory


@pytest.fixture
def store(root: Path) -> FileStore:
    return FileStore(root, fsync="never")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    outside = tmp_path / "outside"
    outside.mkdir()
    return outside


def every_use(store: FileStore) -> list[Callable[[], object]]:
    return [lambda: store.create(KEY, a_record()), lambda: store.open(KEY), store.sweep, lambda: list(store.uploads())]


def test_a_root_that_is_a_link_is_refused(store: FileStore, root: Path, outside: Path) -> None:
    root.symlink_to(outside)
    for use in every_use(store):
        with pytest.raises(NotADirectoryError, match="symbolic link, which is not followed"):
            use()
    assert os.listdir(outside) == []


def test_a_state_directory_that_is_a_link_is_refused(store: FileStore, root: Path, outside: Path) -> None:
    root.mkdir()
    (root / ".resumable").symlink_to(outside)
    for use in every_use(store):
        with pytest.raises(NotADirectoryError):
            use()
    assert os.listdir(outside) == []


def write_for_all(state: Path) -> None:
    state.chmod(0o777)


def give_away(state: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory to another user")
    os.chown(state, 12345, -1)


@pytest.mark.parametrize("change", [write_for_all, give_away])
def test_a_state_directory_that_others_can_write_to_is_refused(
    store: FileStore, root: Path, change: Callable[[Path], None]
) -> None:
    begun(store)
    change(root / ".resumable")
    before = open_below(root)
    for use in every_use(store):
        with pytest.raises(PermissionError, match="others may write to it"):
            use()
    assert open_below(root) == before


def test_an_upload_that_is_a_link_is_refused(store: FileStore, root: Path, outside: Path) -> None:
    begun(store)
    with opened(FileStore(outside, fsync="never")):
        pass
    os.rename(directory_of(root), root.parent / "moved")
    directory_of(root).symlink_to(directory_of(outside))
    with pytest.raises(NotADirectoryError):
        store.open(KEY)
    assert list(store.uploads()) == []


@pytest.mark.parametrize("name", ["record", "chunks", "part", "claim-chunk-0"])
def test_a_file_of_an_upload_that_is_a_link_is_refused(store: FileStore, root: Path, outside: Path, name: str) -> None:
    begun(store)
    path = directory_of(root) / name
    if path.exists():
        path.rename(outside / name)
    path.symlink_to(outside / name)
    before = {file: (outside / file).read_bytes() for file in os.listdir(outside)}
    with pytest.raises(OSError, match="Too many levels of symbolic links"), opened(store) as upload:
        upload.receive(0, whole(upload, 0))
    assert {file: (outside / file).read_bytes() for file in os.listdir(outside)} == before


def test_an_account_that_is_a_link_is_refused(root: Path, outside: Path) -> None:
    store = FileStore(root, fsync="never", max_open_uploads=1)
    begun(store)
    (root / ".resumable" / "accounts").unlink()
    (root / ".resumable" / "accounts").symlink_to(outside / "accounts")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        store.create("1" * 40, a_record())
    assert os.listdir(outside) == []


def swapped(name: str, path: Path, outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory of this name becomes a link right after the store made it, or saw that it is there."""
    real = os.mkdir

    def mkdir(made: str, *arguments: Any, **more: Any) -> None:
        try:
            real(made, *arguments, **more)
        finally:
            if made == name:
                path.rename(outside.parent / "moved")
                path.symlink_to(outside)

    monkeypatch.setattr(os, "mkdir", mkdir)


def test_a_directory_of_a_path_that_is_swapped_for_a_link_leads_nowhere(
    store: FileStore, root: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swapped("dir", root / "dir", outside, monkeypatch)
    with filled(store, a_record(name="dir/a.bin")) as upload, pytest.raises(Refusal, match="is a file here"):
        upload.publish()
    assert (root / "dir").is_symlink()
    assert os.listdir(outside) == []


def test_a_state_directory_that_is_swapped_for_a_link_leads_nowhere(
    store: FileStore, root: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swapped(".resumable", root / ".resumable", outside, monkeypatch)
    with pytest.raises(NotADirectoryError):
        store.create(KEY, a_record())
    assert (root / ".resumable").is_symlink()
    assert os.listdir(outside) == []


def test_a_root_that_is_missing_is_made_with_all_that_is_above_it(tmp_path: Path, outside: Path) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(file: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{file}"))
        real(file)

    root = tmp_path / "a" / "b" / "incoming"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(os, "fsync", fsync)
        begun(FileStore(root, fsync="always"))
    assert synced[:4] == [str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b"), str(root)]


def test_nobody_else_can_read_what_is_not_finished(store: FileStore, root: Path) -> None:
    begun(store)
    for path in (root / ".resumable", directory_of(root)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_finished_file_can_be_read_by_whom_the_umask_lets(store: FileStore, root: Path) -> None:
    before = os.umask(0o027)
    try:
        with filled(store, a_record(name="dir/a.bin")) as upload:
            upload.publish()
    finally:
        os.umask(before)
    assert stat.S_IMODE((root / "dir" / "a.bin").stat().st_mode) == 0o640
    assert (root / "dir" / "a.bin").read_bytes() == DATA


def test_what_appears_in_a_directory_while_it_is_removed_is_removed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "old"
    directory.mkdir()
    late = iter(["claim-chunk-0", "claim-chunk-1"])
    real = os.rmdir

    def rmdir(name: str, *, dir_fd: int) -> None:
        for left in late:
            (directory / left).touch()
            break
        real(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "rmdir", rmdir)
    above = os.open(tmp_path, os.O_RDONLY)
    try:
        remove_directory("old", above)
    finally:
        os.close(above)
    assert os.listdir(tmp_path) == []


def test_a_directory_that_cannot_be_removed_raises(tmp_path: Path) -> None:
    (tmp_path / "old" / "below").mkdir(parents=True)
    above = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="below"):
            remove_directory("old", above)
    finally:
        os.close(above)
    assert os.listdir(tmp_path) == ["old"]
