"""A file that was uploaded once is uploaded again: what counts is whether it is still there."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.sample import Sample

import resumable
from resumable.receiver import (
    FileStore,
    Receiver,
    Response,
    Server,
    UploadRecord,
)
from resumable.receiver.messages import Refusal

FILE = Sample(bytes(range(30)), 10, relative_path="v.bin", file_name="v.bin")
OTHER = replace(FILE, data=bytes(range(100, 130)))
SESSION, ANOTHER = "0123456789abcdef" * 2, "f" * 32
YEAR = 365 * 86400


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "inc"


@pytest.fixture
def plain(root: Path) -> Receiver:
    return Receiver(FileStore(root, fsync="never"))


def in_session(session: str, sample: Sample = FILE) -> Sample:
    return replace(sample, headers={"resumable-session": session})


def uploaded(receiver: Receiver, sample: Sample = FILE) -> None:
    assert sample.send(receiver)[-1] == 201


def said(answer: Response) -> tuple[int, str | None]:
    return answer.status, dict(answer.headers).get("Resumable-File")


WHOLE, MISSING = (200, "whole"), (204, "partial;stored=0;total=3")


def is_present(receiver: Receiver, sample: Sample = FILE) -> bool:
    """What all tests say, which have to agree."""
    answers = {said(sample.test(receiver, number)) for number in (1, 2, 3)}
    assert answers in ({WHOLE}, {MISSING})
    return answers == {WHOLE}


def published(root: Path) -> dict[str, bytes]:
    """The files in the directory, by name."""
    files = (path for path in root.rglob("*") if path.is_file() and ".resumable" not in path.parts)
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def delete(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    os.truncate(path, 10)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def append(path: Path) -> None:
    path.write_bytes(FILE.data + b"more")


def overwrite(path: Path) -> None:
    with open(path, "r+b") as file:
        file.write(OTHER.data)


def change_one_byte(path: Path) -> None:
    with open(path, "r+b") as file:
        file.seek(29)
        file.write(b"!")


def replace_by_another_file(path: Path) -> None:
    path.with_name("new").write_bytes(OTHER.data)
    os.replace(path.with_name("new"), path)


def replace_by_another_file_of_the_same_inode(path: Path) -> None:
    """As near as one comes to it: ext4 gives the number to the next file."""
    path.unlink()
    path.write_bytes(OTHER.data)


def rename(path: Path) -> None:
    path.rename(path.with_name("other name"))


def move_to_another_directory(path: Path) -> None:
    path.with_name("done").mkdir()
    path.rename(path.parent / "done" / path.name)


def replace_by_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_a_link(path: Path) -> None:
    path.rename(path.with_name("target"))
    path.symlink_to("target")


def replace_by_a_broken_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def replace_by_a_link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def replace_by_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


GONE = [
    delete,
    truncate,
    empty,
    append,
    overwrite,
    change_one_byte,
    replace_by_another_file,
    replace_by_another_file_of_the_same_inode,
    rename,
    move_to_another_directory,
    replace_by_a_directory,
    replace_by_a_link,
    replace_by_a_broken_link,
    replace_by_a_link_to_itself,
    replace_by_a_pipe,
]


@pytest.mark.parametrize("happens", GONE)
def test_a_file_that_is_gone_or_another_is_missing_and_is_uploaded_anew(
    root: Path, plain: Receiver, happens: Callable[[Path], object]
) -> None:
    uploaded(plain)
    happens(root / "v.bin")
    before = published(root)
    assert not is_present(plain)
    assert FILE.send(plain) == [200, 200, 201]
    new = "v (1).bin" if os.path.lexists(root / "v.bin") and "v (1).bin" in os.listdir(root) else "v.bin"
    assert published(root) == {**before, new: FILE.data}
    assert is_present(plain)


@pytest.mark.parametrize("happens", GONE)
def test_a_client_that_does_not_ask_first_uploads_it_anew_too(
    root: Path, plain: Receiver, happens: Callable[[Path], object]
) -> None:
    uploaded(plain)
    happens(root / "v.bin")
    before = published(root)
    assert [said(plain.handle(FILE.octet(number))) for number in (1, 2, 3)] == [
        (200, "partial;stored=1;total=3"),
        (200, "partial;stored=2;total=3"),
        (201, "whole"),
    ]
    assert {name: data for name, data in published(root).items() if name not in before or before[name] != data} in (
        {"v.bin": FILE.data},
        {"v (1).bin": FILE.data},
    )
    assert before.items() <= published(root).items()


def touch(path: Path) -> None:
    os.utime(path, times=(1, 1))


def touch_to_the_future(path: Path) -> None:
    os.utime(path, times=(time.time() + YEAR,) * 2)


def chmod_000(path: Path) -> None:
    path.chmod(0)


def copy_over_itself(path: Path) -> None:
    """Another inode with equal bytes, as an editor or rsync leaves it."""
    path.with_name("new").write_bytes(FILE.data)
    os.replace(path.with_name("new"), path)


def restore_from_a_backup(path: Path) -> None:
    """Another inode with equal bytes and times."""
    shutil.copy2(path, path.with_name("new"))
    os.replace(path.with_name("new"), path)


def write_the_same_again(path: Path) -> None:
    path.write_bytes(FILE.data)


def link_twice(path: Path) -> None:
    os.link(path, path.with_name("second"))


def nothing(path: Path) -> None:
    pass


THERE = [
    touch,
    touch_to_the_future,
    chmod_000,
    copy_over_itself,
    restore_from_a_backup,
    write_the_same_again,
    link_twice,
    nothing,
]


@pytest.mark.parametrize("happens", THERE)
def test_a_file_with_its_bytes_is_there_whatever_else_changed(
    root: Path, plain: Receiver, happens: Callable[[Path], object]
) -> None:
    uploaded(plain)
    happens(root / "v.bin")
    names = sorted(os.listdir(root))
    assert is_present(plain)
    assert [said(plain.handle(FILE.octet(number))) for number in (1, 2, 3)] == [WHOLE] * 3
    assert sorted(os.listdir(root)) == names


@pytest.mark.parametrize("happens", [touch, overwrite])
def test_a_file_with_another_time_is_read_once(
    root: Path, plain: Receiver, monkeypatch: pytest.MonkeyPatch, happens: Callable[[Path], object]
) -> None:
    uploaded(plain)
    happens(root / "v.bin")
    first = is_present(plain)
    opened: list[object] = []
    real = os.open

    def note(path: Any, *arguments: Any, **more: Any) -> int:
        opened.append(path)
        return real(path, *arguments, **more)

    monkeypatch.setattr(os, "open", note)
    assert is_present(plain) == first == (happens is touch)
    assert "v.bin" not in opened


def test_a_file_in_directories_is_looked_for_through_no_link(root: Path, plain: Receiver) -> None:
    sample = replace(FILE, relative_path="a/b/v.bin")
    uploaded(plain, sample)
    assert is_present(plain, sample)
    (root / "a").rename(root / "c")
    assert not is_present(plain, sample)
    (root / "a").symlink_to("c")
    assert not is_present(plain, sample)
    (root / "a").unlink()
    (root / "a").write_text("a file")
    assert not is_present(plain, sample)
    (root / "a").unlink()
    (root / "c").rename(root / "a")
    assert is_present(plain, sample)


def test_a_file_that_came_back_is_there(root: Path, plain: Receiver) -> None:
    """Asking changes nothing that is known of it."""
    uploaded(plain)
    (root / "v.bin").rename(root / "away")
    assert not is_present(plain)
    (root / "away").rename(root / "v.bin")
    assert is_present(plain)


def test_a_change_right_after_the_end_is_seen(root: Path, plain: Receiver) -> None:
    """The clock of a file system has steps of milliseconds, within which all of this may happen."""
    for number in range(20):
        name = f"{number}.bin"
        sample = replace(FILE, identifier=name, relative_path=name)
        uploaded(plain, sample)
        overwrite(root / name)
        assert not is_present(plain, sample)


def test_an_empty_file_that_was_deleted_is_uploaded_anew(root: Path, plain: Receiver) -> None:
    nothing_in_it = Sample(b"", 10, relative_path="v.bin")
    uploaded(plain, nothing_in_it)
    assert nothing_in_it.test(plain, 1).status == 200
    touch(root / "v.bin")
    assert nothing_in_it.test(plain, 1).status == 200
    delete(root / "v.bin")
    assert nothing_in_it.test(plain, 1).status == 204
    uploaded(plain, nothing_in_it)
    assert published(root) == {"v.bin": b""}


def test_the_whole_way_with_a_server_and_a_client(root: Path, tmp_path: Path) -> None:
    source = tmp_path / "v.bin"
    source.write_bytes(os.urandom(3 << 20))
    with Server(Receiver(FileStore(root, fsync="never"))) as server:
        for test_chunks in (True, False):
            for happens in (nothing, delete, truncate, touch):
                assert resumable.upload(source, server.url, test_chunks=test_chunks)
                happens(root / "v.bin")
                assert resumable.upload(source, server.url, test_chunks=test_chunks)
                assert source.read_bytes() in published(root).values()
                shutil.rmtree(root)


@pytest.mark.parametrize("test_chunks", [True, False])
@pytest.mark.parametrize("happens", [delete, truncate])
def test_a_file_that_is_added_to_a_session_again_is_no_repeat(
    root: Path, tmp_path: Path, happens: Callable[[Path], None], test_chunks: bool
) -> None:
    """A program that runs for long sends the same file again when it is gone, and has heard every answer."""
    source = tmp_path / "v.bin"
    source.write_bytes(os.urandom(2000))
    with (
        Server(Receiver(FileStore(root, fsync="never"))) as server,
        resumable.Resumable(server.url, chunk_size=500, test_chunks=test_chunks) as session,
    ):
        file = session.add_file(source)
        assert session.join()
        happens(root / "v.bin")
        session.remove_file(file)
        session.add_file(source)
        assert session.join()
        assert source.read_bytes() in published(root).values()


# Files that belong to others.


def owned_by_a_hook(root: Path) -> Receiver:
    return Receiver(FileStore(root, fsync="never"), on_file_received=lambda record: None)


def owned_by_a_listener(root: Path) -> Receiver:
    receiver = Receiver(FileStore(root, fsync="never"))
    receiver.signals.file_received.connect(lambda sender, record: None, weak=False)
    return receiver


def collected(root: Path) -> Receiver:
    return Receiver(FileStore(root, fsync="never", collected=True))


OWNED = [owned_by_a_hook, owned_by_a_listener, collected]


@pytest.mark.parametrize("receiving", OWNED)
@pytest.mark.parametrize("happens", [delete, truncate, overwrite, rename, replace_by_a_directory, nothing])
def test_a_file_that_others_take_away_counts_as_stored(
    root: Path, receiving: Callable[[Path], Receiver], happens: Callable[[Path], object]
) -> None:
    receiver = receiving(root)
    uploaded(receiver)
    happens(root / "v.bin")
    before = published(root)
    assert is_present(receiver)
    assert [said(receiver.handle(FILE.octet(number))) for number in (1, 2, 3)] == [WHOLE] * 3
    assert published(root) == before


@pytest.mark.parametrize("receiving", OWNED)
def test_other_bytes_than_those_that_others_took_away_begin_a_new_upload(
    root: Path, receiving: Callable[[Path], Receiver]
) -> None:
    receiver = receiving(root)
    uploaded(receiver)
    delete(root / "v.bin")
    assert OTHER.send(receiver) == [200, 200, 201]
    assert published(root) == {"v.bin": OTHER.data}


@pytest.mark.parametrize("receiving", OWNED)
def test_a_file_that_others_took_away_can_be_forgotten(root: Path, receiving: Callable[[Path], Receiver]) -> None:
    receiver = receiving(root)
    uploaded(receiver)
    delete(root / "v.bin")
    (status,) = receiver.store.uploads()
    assert receiver.forget(status.record)
    assert not receiver.forget(status.record)
    assert not is_present(receiver)
    uploaded(receiver)
    assert published(root) == {"v.bin": FILE.data}
    assert is_present(receiver)


def test_a_file_that_was_taken_away_is_forgotten_after_its_time(root: Path) -> None:
    receiver = Receiver(FileStore(root, fsync="never", collected=True, forget_after=1000))
    uploaded(receiver)
    delete(root / "v.bin")
    (record,) = root.glob(".resumable/*/record")
    os.utime(record, times=(time.time() - 900,) * 2)
    assert is_present(receiver)
    os.utime(record, times=(time.time() - 1100,) * 2)
    assert not is_present(receiver)
    assert receiver.sweep() == 1
    assert not is_present(receiver)


@pytest.mark.parametrize("collected", [False, None])
def test_what_a_store_is_told_of_its_files_counts_before_what_it_could_guess(
    root: Path, collected: bool | None
) -> None:
    receiver = Receiver(FileStore(root, fsync="never", collected=collected), on_file_received=lambda record: None)
    uploaded(receiver)
    delete(root / "v.bin")
    assert is_present(receiver) == (collected is None)


def test_a_file_that_an_application_took_over_stays_its_own(root: Path, plain: Receiver) -> None:
    uploaded(owned_by_a_hook(root))
    delete(root / "v.bin")
    assert is_present(plain)


def test_a_file_from_before_there_was_an_application_is_looked_for(root: Path, plain: Receiver) -> None:
    uploaded(plain)
    assert is_present(owned_by_a_hook(root))
    delete(root / "v.bin")
    assert not is_present(owned_by_a_hook(root))


@pytest.mark.parametrize("where", ["hook", "listener", "later"])
def test_a_file_may_be_forgotten_where_one_hears_of_it(root: Path, where: str) -> None:
    heard: list[UploadRecord] = []

    def take(record: UploadRecord) -> None:
        (root / "v.bin").unlink()
        heard.append(record)
        if where == "hook":
            assert receiver.forget(record)

    receiver = Receiver(FileStore(root, fsync="never"), on_file_received=take)

    @receiver.signals.file_received.connect
    def listen(sender: Receiver, record: UploadRecord) -> None:
        if where == "listener":
            assert receiver.forget(record)

    uploaded(receiver)
    if where == "later":
        assert receiver.forget(heard[0])
    assert not is_present(receiver)
    uploaded(receiver)
    assert len(heard) == 2


def test_a_hook_that_forgets_and_fails_is_called_again(root: Path) -> None:
    calls: list[str | None] = []

    def fail_once(record: UploadRecord) -> None:
        calls.append(record.published)
        receiver.forget(record)
        if len(calls) == 1:
            raise LookupError

    receiver = Receiver(FileStore(root, fsync="never"), on_file_received=fail_once)
    assert FILE.send(receiver) == [200, 200, 500]
    assert FILE.send(receiver, 3) == [201]
    assert calls == ["v.bin"] * 2
    assert not is_present(receiver)


def test_what_is_open_or_unknown_or_was_begun_since_is_not_forgotten(root: Path, plain: Receiver) -> None:
    uploaded(plain)
    (status,) = plain.store.uploads()
    assert not plain.forget(replace(status.record, identifier="unknown"))
    assert not plain.forget(replace(status.record, published="another"))
    delete(root / "v.bin")
    assert FILE.send(plain, 1) == [200]
    assert not plain.forget(status.record)
    assert FILE.send(plain, 2, 3) == [200, 201]


# A session that repeats itself.


@pytest.mark.parametrize("happens", [*GONE, nothing, touch])
def test_a_session_that_repeats_itself_is_told_what_it_was_told(
    root: Path, plain: Receiver, happens: Callable[[Path], object]
) -> None:
    uploaded(plain, in_session(SESSION))
    happens(root / "v.bin")
    before = published(root)
    assert is_present(plain, in_session(SESSION))
    answers = [said(plain.handle(in_session(SESSION).octet(number))) for number in (1, 2, 3)]
    assert answers == [WHOLE] * 3
    assert published(root) == before
    if happens in GONE:
        assert not is_present(plain, in_session(ANOTHER))
        assert not is_present(plain)


def test_whoever_began_an_upload_and_whoever_finished_it_repeat_themselves(root: Path, plain: Receiver) -> None:
    assert in_session(SESSION).send(plain, 1) == [200]
    assert FILE.send(plain, 2) == [200]
    assert in_session(ANOTHER).send(plain, 3) == [201]
    delete(root / "v.bin")
    assert is_present(plain, in_session(SESSION))
    assert is_present(plain, in_session(ANOTHER))
    assert not is_present(plain)


def test_other_bytes_are_no_repeat(root: Path, plain: Receiver) -> None:
    uploaded(plain, in_session(SESSION))
    assert in_session(SESSION, OTHER).send(plain) == [200, 200, 201]
    assert published(root) == {"v.bin": FILE.data, "v (1).bin": OTHER.data}


def test_a_session_is_not_taken_for_a_repeat_for_ever(root: Path, plain: Receiver) -> None:
    """A program that runs for months has one session, and sends a file of that name every day."""
    uploaded(plain, in_session(SESSION))
    delete(root / "v.bin")
    (record,) = root.glob(".resumable/*/record")
    os.utime(record, times=(time.time() - 3000,) * 2)
    assert is_present(plain, in_session(SESSION))
    os.utime(record, times=(time.time() - 4000,) * 2)
    assert not is_present(plain, in_session(SESSION))


@pytest.mark.parametrize("session", ["", "short", "0123456789ABCDEF" * 2, "0" * 33, "é" * 32])
def test_what_is_no_session_is_nobody(root: Path, plain: Receiver, session: str) -> None:
    uploaded(plain, in_session(session))
    delete(root / "v.bin")
    assert not is_present(plain, in_session(session))


def test_a_late_repeat_does_not_get_into_the_upload_that_took_the_place(root: Path, plain: Receiver) -> None:
    uploaded(plain, in_session(SESSION))
    delete(root / "v.bin")
    assert in_session(ANOTHER, OTHER).send(plain, 1) == [200]
    # The answer to its second chunk was lost.
    assert said(plain.handle(in_session(SESSION).octet(2))) == WHOLE
    assert is_present(plain, in_session(SESSION))
    assert OTHER.test(plain, 2).status == 204
    assert in_session(ANOTHER, OTHER).send(plain, 2, 3) == [200, 201]
    assert said(plain.handle(in_session(SESSION).octet(3))) == WHOLE
    assert published(root) == {"v.bin": OTHER.data}


def test_what_was_remembered_of_the_one_before_is_swept(root: Path, plain: Receiver) -> None:
    uploaded(plain, in_session(SESSION))
    delete(root / "v.bin")
    uploaded(plain)
    (past,) = root.glob(".resumable/past-*")
    assert plain.sweep() == 0
    assert past.exists()
    os.utime(past, times=(time.time() - 4000,) * 2)
    assert plain.sweep() == 0
    assert not past.exists()
    assert is_present(plain)


# What cannot be looked at.


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.EACCES, errno.ENOTCONN, errno.ETIMEDOUT])
def test_a_file_that_cannot_be_looked_at_is_neither_there_nor_missing(
    root: Path, plain: Receiver, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    uploaded(plain)
    real = os.stat

    def fail(path: Any, *arguments: Any, **more: Any) -> os.stat_result:
        if path == "v.bin":
            raise OSError(code, os.strerror(code))
        return real(path, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", fail)
        for answer in (FILE.test(plain, 1), plain.handle(FILE.octet(1))):
            assert answer.status == 503
            assert int(dict(answer.headers)["Retry-After"]) > 0
    assert is_present(plain)
    assert published(root) == {"v.bin": FILE.data}


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.EACCES, errno.ENOTCONN, errno.EHOSTDOWN])
@pytest.mark.parametrize("unreachable", ["inc", ".resumable"])
def test_a_directory_that_was_there_and_is_out_of_reach_is_waited_for(
    root: Path, plain: Receiver, monkeypatch: pytest.MonkeyPatch, code: int, unreachable: str
) -> None:
    """As that of a mount over the network is, or of a program, whose other end does not answer."""
    uploaded(plain)
    fresh = Receiver(FileStore(root, fsync="never"))
    real = os.open

    def fail(path: Any, *arguments: Any, **more: Any) -> int:
        if os.path.basename(path) == unreachable:
            raise OSError(code, os.strerror(code))
        return real(path, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fail)
        for answer in (FILE.test(plain, 1), plain.handle(FILE.octet(1)), plain.handle(OTHER.octet(1))):
            assert answer.status == 503
            assert int(dict(answer.headers)["Retry-After"]) > 0
        # A directory that nobody has seen is a wrong one, as likely.
        assert FILE.test(fresh, 1).status == 500
    assert is_present(plain)
    assert published(root) == {"v.bin": FILE.data}


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE])
def test_a_file_that_cannot_be_read_is_neither_there_nor_missing(
    root: Path, plain: Receiver, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    uploaded(plain)
    real = os.pread

    def fail(file: int, size: int, offset: int) -> bytes:
        if os.readlink(f"/proc/self/fd/{file}").endswith("v.bin"):
            raise OSError(code, os.strerror(code))
        return real(file, size, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", fail)
        assert plain.handle(FILE.octet(1)).status == 503
        touch(root / "v.bin")
        assert FILE.test(plain, 1).status == 503
    assert is_present(plain)


def test_a_file_that_is_written_while_it_is_compared_is_asked_for_again(
    root: Path, plain: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploaded(plain)
    touch(root / "v.bin")
    real = os.pread

    def write(file: int, size: int, offset: int) -> bytes:
        if os.readlink(f"/proc/self/fd/{file}").endswith("v.bin"):
            overwrite(root / "v.bin")
        return real(file, size, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", write)
        assert FILE.test(plain, 1).status == 503
    assert not is_present(plain)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Any:
    """A directory on another device."""
    directory = Path("/dev/shm") / f"resumable-{os.getpid()}-{time.monotonic_ns()}"
    try:
        directory.mkdir()
    except OSError:
        pytest.skip("there is no other device here")
    try:
        if directory.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("there is no other device here")
        yield directory
    finally:
        shutil.rmtree(directory)


@pytest.mark.parametrize("left", [[], ["inc"], ["inc", "inc/.resumable"]])
def test_a_disk_that_is_away_is_waited_for(tmp_path: Path, elsewhere: Path, left: list[str]) -> None:
    """A link stands for the place where the disk is mounted, in which there may be something below the disk, too."""
    place, below = tmp_path / "mounted", tmp_path / "below"
    below.mkdir()
    for name in left:
        (below / name).mkdir(mode=0o700)
    place.symlink_to(elsewhere)
    receiver = Receiver(FileStore(place / "inc", fsync="never"))
    uploaded(receiver)
    before = sorted(below.rglob("*"))
    place.unlink()
    place.symlink_to(below)
    for answer in (FILE.test(receiver, 1), receiver.handle(FILE.octet(1)), receiver.handle(OTHER.octet(1))):
        assert answer.status == 503
    assert receiver.sweep() == 0
    assert sorted(below.rglob("*")) == before
    place.unlink()
    place.symlink_to(elsewhere)
    assert is_present(receiver)


def test_a_store_that_was_deleted_begins_anew(root: Path, plain: Receiver) -> None:
    uploaded(plain)
    shutil.rmtree(root)
    assert not is_present(plain)
    uploaded(plain)
    shutil.rmtree(root / ".resumable")
    assert not is_present(plain)


# Stores of the version before.


def forget_what_is_new(root: Path) -> None:
    """The record as the version before wrote it: one line, without its end, and nothing behind it."""
    import json

    for path in root.glob(".resumable/*/record"):
        written = path.stat()
        said = json.loads(path.read_bytes().split(b"\n")[0])
        for field in ("collected", "forgotten", "sessions", "modified", "differing"):
            said.pop(field, None)
        path.write_text(json.dumps(said))
        os.utime(path, ns=(written.st_atime_ns, written.st_mtime_ns))
        # It left the time of the file to the system, of which the steps are so long that the record is never older.
        file = root / str(said.get("published"))
        if file.is_file() and file.stat().st_mtime_ns > written.st_mtime_ns:
            os.utime(file, ns=(written.st_mtime_ns, written.st_mtime_ns))


@pytest.mark.parametrize("happens", GONE)
def test_a_file_from_the_version_before_that_is_gone_is_missing(
    root: Path, plain: Receiver, happens: Callable[[Path], object]
) -> None:
    uploaded(plain)
    forget_what_is_new(root)
    assert is_present(plain)
    assert FILE.send(plain) == [200] * 3
    assert published(root) == {"v.bin": FILE.data}
    # The version before noted no time, so that only a change after the end can be seen.
    os.utime(root / "v.bin", times=(1, 1))
    assert is_present(plain)
    happens(root / "v.bin")
    before = published(root)
    assert not is_present(plain)
    assert FILE.send(plain) == [200, 200, 201]
    assert before.items() <= published(root).items()
    assert FILE.data in published(root).values()


def test_a_file_from_the_version_before_that_others_took_away_counts_as_stored(root: Path) -> None:
    receiver = owned_by_a_hook(root)
    uploaded(receiver)
    forget_what_is_new(root)
    delete(root / "v.bin")
    assert is_present(receiver)
    # Its bytes are not known any more: what comes is kept.
    assert FILE.send(receiver) == [200, 200, 201]


def test_an_upload_that_the_version_before_began_has_its_digests_at_the_end(root: Path) -> None:
    receiver = collected(root)
    assert FILE.send(receiver, 1, 2) == [200, 200]
    forget_what_is_new(root)
    (marks,) = root.glob(".resumable/*/chunks")
    os.truncate(marks, 32 + 3)
    assert FILE.send(receiver, 3) == [201]
    delete(root / "v.bin")
    assert FILE.send(receiver) == [200] * 3
    assert published(root) == {}
    assert OTHER.send(receiver) == [200, 200, 201]


def test_a_process_that_died_before_it_told_of_a_file_that_is_gone_begins_anew(root: Path, plain: Receiver) -> None:
    def die(record: UploadRecord) -> None:
        raise Refusal(500, "died")

    store = FileStore(root, fsync="never", collected=False)
    assert FILE.send(Receiver(store, on_file_received=die)) == [200, 200, 500]
    assert FILE.test(plain, 3).status == 204
    delete(root / "v.bin")
    assert FILE.send(plain) == [200, 200, 201]
    assert published(root) == {"v.bin": FILE.data}
