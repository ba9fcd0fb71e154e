"""Real files, FIFOs, sockets, threads that write, and processes without rights."""

from __future__ import annotations

import errno
import gzip
import io
import os
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import pytest
from support.descriptors import open_below
from support.scripted_server import ScriptedServer, answer

from resumable.errors import SourceChanged, SourceError
from resumable.protocol import identifiers
from resumable.sources import path as module
from resumable.sources.path import Source, make_source

CONTENT = bytes(range(256)) * 40

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX file kinds and rights")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "data.bin"
    file.write_bytes(CONTENT)
    return file


def read(source: Source, start: int = 0, stop: int | None = None) -> bytes:
    buffer = bytearray((source.size if stop is None else stop) - start)
    with source.open() as reader:
        reader.read_into(memoryview(buffer), start)
    return bytes(buffer)


def refusal(source: Any, **options: Any) -> SourceError:
    with pytest.raises(SourceError) as caught:
        make_source(source, **options)
    assert not isinstance(caught.value, SourceChanged)
    return caught.value


class RemotePath:
    """An object with open() and stat() that is no os.PathLike, as universal paths are."""

    def __init__(self, place: Path, handle: Callable[[Any], Any] = lambda file: file, **status: Any) -> None:
        self.name = place.name
        self.place = place
        self.handle = handle
        self.status = status

    def open(self, mode: str) -> Any:
        return self.handle(self.place.open(mode))

    def stat(self) -> Any:
        real = self.place.stat()
        return SimpleNamespace(**{"st_size": real.st_size, "st_mtime": real.st_mtime, **self.status})


class OnlyRead(io.RawIOBase):
    """A stream that cannot seek and gives a few bytes at a time."""

    def __init__(self, content: bytes) -> None:
        self.rest = content

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self.rest[: min(len(buffer), 7)]
        buffer[: len(piece)] = piece
        self.rest = self.rest[len(piece) :]
        return len(piece)


class WithoutReadInto:
    """A seekable file of old: seek, tell and read, which gives a few bytes at a time."""

    def __init__(self, content: bytes) -> None:
        self.file = io.BytesIO(content)
        self.seek, self.tell = self.file.seek, self.file.tell

    def read(self, size: int) -> bytes:
        return self.file.read(min(size, 100))


def sources(path: Path) -> dict[str, Callable[[], Any]]:
    return {
        "text": lambda: str(path),
        "path": lambda: path,
        "pure path": lambda: PurePosixPath(path.as_posix()),
        "directory entry": lambda: list(os.scandir(path.parent))[0],  # noqa: RUF015 (an iterator would stay open)
        "remote path": lambda: RemotePath(path),
        "open file": lambda: path.open("rb"),
        "raw file": lambda: path.open("rb", buffering=0),
        "writable file": lambda: path.open("r+b"),
        "bytes file": lambda: io.BytesIO(CONTENT),
        "old file": lambda: WithoutReadInto(CONTENT),
        "bytes": lambda: CONTENT,
        "bytearray": lambda: bytearray(CONTENT),
        "memoryview": lambda: memoryview(CONTENT),
        "stream": lambda: OnlyRead(CONTENT),
    }


KINDS = sorted(sources(Path("x")))


@pytest.fixture(params=KINDS)
def given(request: pytest.FixtureRequest, path: Path) -> Iterator[Any]:
    value = sources(path)[request.param]()
    yield value
    if hasattr(value, "close"):
        assert not value.closed, "what the caller brought is not closed"
        value.close()


def test_every_kind_of_source_has_its_size_and_its_bytes_at_every_offset(given: Any) -> None:
    source = make_source(given, name="given.bin")
    assert source.name == "given.bin"
    assert source.size == len(CONTENT)
    assert read(source) == CONTENT
    for start, stop in ((0, 0), (0, 1), (1, 300), (9_000, len(CONTENT)), (len(CONTENT), len(CONTENT))):
        assert read(source, start, stop) == CONTENT[start:stop]
    source.close()
    source.close()


def test_identifiers_can_be_made_of_every_kind_of_source(given: Any) -> None:
    source = make_source(given, name="given.bin")
    assert identifiers.resumablejs(source.path, "given.bin") == f"{len(CONTENT)}-givenbin"
    of_bytes = identifiers.content(make_source(CONTENT, name="x").path, "x")
    assert identifiers.content(source.path, "given.bin") == of_bytes
    source.close()


def test_many_threads_read_one_source_at_once(given: Any) -> None:
    source = make_source(given, name="given.bin")
    start = threading.Barrier(4)
    seen: list[bool] = []

    def work(offset: int) -> None:
        start.wait(60)
        buffer = memoryview(bytearray(64))
        with source.open() as reader:
            for at in range(offset, len(CONTENT) - 64, 256):
                reader.read_into(buffer, at)
                seen.append(bytes(buffer) == CONTENT[at : at + 64])

    threads = [threading.Thread(target=work, args=(offset,)) for offset in (0, 64, 128, 192)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(seen) >= 4 * 38
    assert all(seen)
    source.close()


def test_a_path_keeps_its_name_its_time_and_the_callers_own_object(path: Path) -> None:
    os.utime(path, ns=(5, 1_234_567_890_123_456_700))
    source = make_source(path)
    assert (source.name, source.mtime_ns) == ("data.bin", path.stat().st_mtime_ns)
    assert source.path is path
    assert make_source(str(path)).path == path


def test_a_path_that_gives_bytes_is_a_path(path: Path) -> None:
    class BytesPath(os.PathLike[bytes]):
        def __fspath__(self) -> bytes:
            return os.fsencode(path)

    assert read(make_source(BytesPath())) == CONTENT


def test_a_relative_path_is_the_same_file_after_a_change_of_directory(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    source = make_source("data.bin")
    monkeypatch.chdir("/")
    assert read(source) == CONTENT


@pytest.mark.skipif(not hasattr(os, "preadv"), reason="there is nothing to compare with")
@pytest.mark.parametrize("read_at", [module._preadv, module._seek_and_read])
def test_the_portable_way_of_reading_gives_the_same_bytes_as_preadv(path: Path, read_at: Any) -> None:
    source = make_source(path)
    source.read_at = read_at  # type: ignore[attr-defined]
    assert read(source) == CONTENT
    assert read(source, 1_000, 5_001) == CONTENT[1_000:5_001]
    os.truncate(path, 10)
    with pytest.raises(SourceChanged, match="size 10240 → 10 bytes"):
        read(source)


@posix
def test_python_chooses_preadv_where_it_exists_and_the_portable_way_where_not() -> None:
    script = """
        import os
        had = hasattr(os, "preadv")
        from resumable.sources import path
        assert path._PathSource.read_at is (path._preadv if had else path._seek_and_read)
        if had:
            del os.preadv
        import importlib
        importlib.reload(path)
        assert path._PathSource.read_at is path._seek_and_read
        chosen = path.make_source(__import__("sys").executable)
        buffer = memoryview(bytearray(4))
        with chosen.open() as reader:
            reader.read_into(buffer, 0)
        assert bytes(buffer) == open(chosen.path, "rb").read(4)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=60)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="there is no list of open descriptors")
def test_a_reader_holds_a_descriptor_until_it_is_left_and_a_source_holds_none(path: Path) -> None:
    source = make_source(path)
    assert open_below(path) == []
    reader = source.open()
    assert open_below(path) == [str(path)]
    reader.close()
    reader.close()
    assert open_below(path) == []
    with pytest.raises(SourceError, match="the reader is closed"):
        reader.read_into(memoryview(bytearray(1)), 0)


def test_a_descriptor_is_given_back_when_opening_finds_a_change(path: Path) -> None:
    path.write_bytes(b"")
    source = make_source(path)
    path.write_bytes(b"other")
    for _ in range(2_000):  # more than the descriptors that a process usually may have
        with pytest.raises(SourceChanged):
            source.open()


def read_again(source: Source) -> None:
    with source.open() as reader:
        reader.read_into(memoryview(bytearray(1)), 0)


# What changes


def rewrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"different")
    os.utime(path, ns=(1, 1))


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def replace(path: Path) -> None:
    status = path.stat()
    other = path.with_name("other")
    other.write_bytes(CONTENT)
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.replace(other, path)


CHANGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "truncated": (lambda path: os.truncate(path, 5), r"size 10240 → 5 bytes"),
    "grown": (grow, r"size 10240 → 10244 bytes"),
    "rewritten": (rewrite, r"last modified 2[-0-9]+ [:0-9]+ → 19(70|69)-[-0-9]+ [:0-9]+\)"),
}


@pytest.fixture(params=sorted(CHANGES))
def change(request: pytest.FixtureRequest) -> tuple[Callable[[Path], None], str]:
    return CHANGES[request.param]


@pytest.mark.parametrize("kind", ["path", "remote path", "open file", "raw file"])
def test_a_change_is_told_at_the_next_read_and_at_the_next_opening(
    kind: str, path: Path, change: tuple[Callable[[Path], None], str]
) -> None:
    given = sources(path)[kind]()
    source = make_source(given)
    make, message = change
    with source.open() as reader:
        reader.read_into(memoryview(bytearray(100)), 0)
        make(path)
        with pytest.raises(SourceChanged, match=message) as caught:
            reader.read_into(memoryview(bytearray(100)), 200)
        assert "data.bin" in str(caught.value)
    with pytest.raises(SourceChanged, match=message):
        read_again(source)
    if hasattr(given, "close"):
        given.close()


def test_another_file_of_the_same_size_and_time_is_told_at_the_next_opening(path: Path) -> None:
    source = make_source(path)
    with source.open() as reader:
        replace(path)
        buffer = memoryview(bytearray(100))
        reader.read_into(buffer, 0)  # the version that was added is still the one that is open
        assert bytes(buffer) == CONTENT[:100]
    with pytest.raises(SourceChanged, match="replaced by another file"):
        read_again(source)


def test_an_empty_file_that_grows_is_told_although_nothing_is_read(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    source = make_source(empty)
    with source.open() as reader:
        reader.read_into(memoryview(b"").cast("B"), 0)
        empty.write_bytes(b"x")
        with pytest.raises(SourceChanged, match="size 0 → 1 bytes"):
            reader.read_into(memoryview(bytearray()), 0)


def test_reading_behind_the_end_is_told(given: Any) -> None:
    source = make_source(given, name="given.bin")
    with source.open() as reader, pytest.raises(SourceError, match=f"it ends at byte {len(CONTENT)}"):
        reader.read_into(memoryview(bytearray(100)), len(CONTENT) - 50)
    source.close()


@posix
def test_an_open_reader_outlives_the_deletion_and_the_next_opening_says_that_it_is_gone(path: Path) -> None:
    source = make_source(path)
    with source.open() as reader:
        path.unlink()
        buffer = memoryview(bytearray(len(CONTENT)))
        reader.read_into(buffer, 0)
        assert bytes(buffer) == CONTENT
    with pytest.raises(SourceError, match="it was deleted after it had been added") as caught:
        source.open()
    assert caught.value.errno == errno.ENOENT


def test_a_deleted_remote_path_says_that_it_is_gone(path: Path) -> None:
    source = make_source(RemotePath(path))
    reader = source.open()
    path.unlink()
    for attempt in (source.open, lambda: reader.read_into(memoryview(bytearray(1)), 0)):
        with pytest.raises(SourceError, match="it was deleted after it had been added"):
            attempt()
    reader.close()


def test_a_read_that_returns_while_a_thread_writes_has_only_the_version_that_was_added(path: Path) -> None:
    size = 1 << 20
    old = b"o" * size
    buffer = memoryview(bytearray(size))
    for _ in range(10):
        path.write_bytes(old)
        os.utime(path, ns=(1, 1))
        source = make_source(path)
        first_read = threading.Event()

        def write(first_read: threading.Event = first_read) -> None:
            assert first_read.wait(60)
            with path.open("r+b", buffering=0) as file:
                file.write(b"n" * size)

        thread = threading.Thread(target=write)
        thread.start()
        with source.open() as reader:
            reader.read_into(buffer, 0)
            first_read.set()
            try:
                while buffer == old:
                    reader.read_into(buffer, 0)
            except SourceChanged as error:
                assert "last modified 19" in str(error)  # noqa: PT017 (how often it is read before is up to the threads)
            else:
                pytest.fail("bytes of the new version were handed out")
        thread.join(60)


@posix
def test_a_path_that_became_a_fifo_does_not_block_and_is_told(path: Path) -> None:
    source = make_source(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(SourceChanged, match="replaced by another file"):
        read_again(source)


def test_a_path_that_became_a_directory_is_told(path: Path) -> None:
    source = make_source(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(SourceChanged, match="replaced by another file"):
        read_again(source)


# What is refused


def test_what_is_missing_is_refused_with_its_path(tmp_path: Path) -> None:
    error = refusal(tmp_path / "none")
    assert error.errno == errno.ENOENT
    assert error.source == str(tmp_path / "none")
    assert "No such file" in str(error)
    assert refusal(RemotePath(tmp_path / "none")).errno == errno.ENOENT


def test_a_directory_is_refused_and_the_way_to_add_one_is_named(tmp_path: Path) -> None:
    error = refusal(tmp_path)
    assert error.errno == errno.EISDIR
    assert "it is a directory; add_directory() adds" in str(error)
    assert "directory" in str(refusal(RemotePath(tmp_path, st_mode=stat.S_IFDIR)))


@posix
def test_a_fifo_is_refused_without_being_opened(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert "it is a FIFO" in str(refusal(fifo))
    with pytest.raises(OSError, match=r"No such device|Device not configured"):
        os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)  # nobody reads: it was not left open either


@posix
def test_sockets_and_devices_are_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, tempfile.TemporaryDirectory(dir="/tmp") as short:
        listener.bind(short + "/socket")
        assert "it is a socket" in str(refusal(short + "/socket"))
    assert "it is a device" in str(refusal("/dev/null"))
    assert "it is not a regular file" in str(refusal(RemotePath(tmp_path, st_mode=0o130000)))


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="no /proc here")
def test_a_file_that_does_not_know_its_size_is_refused_as_a_path_and_taken_as_a_stream() -> None:
    assert "it says that it has 0 bytes but has more" in str(refusal("/proc/self/status"))
    with open("/proc/self/status", "rb") as stream:
        source = make_source(stream)
        assert b"Name:" in read(source)
        source.close()


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="no /proc here")
def test_an_error_of_the_disk_keeps_its_number() -> None:
    assert refusal("/proc/self/mem").errno == errno.EIO


@pytest.mark.parametrize("name", ["", "nul\0inside", "\ud800"])
def test_a_path_that_cannot_be_is_refused(name: str) -> None:
    assert str(refusal(name))


@pytest.mark.skipif(sys.platform != "linux", reason="a sparse file system for such a size")
def test_a_size_that_servers_cannot_count_is_refused_with_the_reason(tmp_path: Path) -> None:
    assert "2**53 - 1" in str(refusal(RemotePath(tmp_path, st_size=2**53)))
    assert make_source(RemotePath(tmp_path, st_size=2**53 - 1)).size == 2**53 - 1
    if os.path.isdir("/dev/shm"):
        with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
            os.truncate(file.name, 2**53 + 1)
            assert "2**53 - 1" in str(refusal(file.name))
            assert "2**53 - 1" in str(refusal(file))
            os.truncate(file.name, 5 * 2**30)
            assert read(make_source(file.name), 5 * 2**30 - 3) == b"\0\0\0"


def test_a_remote_path_without_a_size_is_refused(tmp_path: Path) -> None:
    for size in (None, -1):
        assert "its size is not known" in str(refusal(RemotePath(tmp_path, st_size=size)))


def test_a_text_file_a_closed_file_and_one_for_writing_are_refused(path: Path) -> None:
    with path.open() as text:
        assert "open it with 'rb'" in str(refusal(text))
    with path.open("rb") as file:
        pass
    assert "the file is closed" in str(refusal(file))
    with path.open("ab") as appending:
        assert "not opened for reading" in str(refusal(appending))
    assert "gives text" in str(refusal(SimpleNamespace(read=lambda size: "text"), name="x"))


def test_what_has_no_name_is_refused_until_it_is_given_one() -> None:
    with tempfile.TemporaryFile() as unnamed, os.fdopen(os.dup(0), "rb", closefd=True) as standard_input:
        for nameless in (b"bytes", bytearray(b"x"), io.BytesIO(b"x"), unnamed, standard_input):
            error = refusal(nameless)
            assert "it has no name" in str(error)
            assert "relative_path='name.bin'" in str(error)
    assert "no name" in str(refusal(SimpleNamespace(read=lambda size: b"", name="<stdin>")))
    assert make_source(b"bytes", name="x").name == "x"


@pytest.mark.parametrize("nothing", [None, 5, object(), ["a"], {"path": "x"}])
def test_what_is_no_source_at_all_is_refused_by_its_type(nothing: Any) -> None:
    assert f"{type(nothing).__name__!r} is no path" in str(refusal(nothing))


# As root no mode of a file would refuse anything. What is imported is imported first: later it may be out of reach.
WITHOUT_RIGHTS = """
import os, resource, signal, sys
from resumable.errors import SourceError
from resumable.sources.path import make_source

if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
"""


def without_rights(script: str, *arguments: object) -> list[str]:
    """The command of a Python that does this without any rights."""
    return [sys.executable, "-c", WITHOUT_RIGHTS + textwrap.dedent(script), *map(str, arguments)]


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory which every user may enter; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)


@posix
def test_a_file_that_may_not_be_read_is_refused_at_once(shared: Path) -> None:
    secret = shared / "secret"
    secret.write_bytes(b"x")
    secret.chmod(0)
    script = """
        try:
            make_source(sys.argv[1])
        except SourceError as error:
            print(type(error).__name__, error.errno, error)
    """
    printed = subprocess.check_output(without_rights(script, secret), timeout=60, text=True)
    assert printed.startswith(f"SourceError {errno.EACCES} cannot read '{secret}': Permission denied")


@posix
def test_a_file_whose_rights_are_taken_away_is_told_at_the_next_opening(shared: Path) -> None:
    script = """
        source = make_source(sys.argv[1])
        print("made", flush=True)
        sys.stdin.readline()
        try:
            source.open()
        except SourceError as error:
            print(type(error).__name__, error.errno)
    """
    file = shared / "file"
    file.write_bytes(b"x")
    file.chmod(0o644)
    command = without_rights(script, file)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "made\n"
        file.chmod(0)
        assert process.communicate("\n", timeout=60)[0] == f"SourceError {errno.EACCES}\n"


# Names


@posix
@pytest.mark.parametrize("name", [b"caf\xe9", "naïve 文件 😀".encode(), b'a"b\\c\nd', b"CON", b"dot.", b"n" * 255])
def test_every_name_that_a_file_system_has_is_kept(tmp_path: Path, name: bytes) -> None:
    place = os.path.join(os.fsencode(tmp_path), name)
    with open(place, "wb") as file:
        file.write(b"content")
    for given in (os.fsdecode(place), Path(os.fsdecode(place))):
        source = make_source(given)
        assert os.fsencode(source.name) == name
        assert read(source) == b"content"
    with open(place, "rb") as file:
        assert os.fsencode(make_source(file).name) == name


def test_a_name_given_wins_over_the_sources_own(path: Path) -> None:
    with path.open("rb") as file:
        for source in (path, str(path), RemotePath(path), file):
            assert make_source(source, name="given").name == "given"
        assert make_source(file).name == "data.bin"


# Open files and streams


def test_a_file_is_uploaded_from_its_first_byte_wherever_its_position_is(path: Path) -> None:
    with path.open("rb") as file:
        file.seek(5_000)
        assert read(make_source(file)) == CONTENT


def test_what_a_file_object_held_back_is_part_of_it_and_no_change(tmp_path: Path) -> None:
    with (tmp_path / "new").open("w+b") as file:
        file.write(b"not written yet")
        assert read(make_source(file)) == b"not written yet"


def test_a_file_that_decompresses_has_the_size_of_what_it_gives(tmp_path: Path) -> None:
    place = tmp_path / "data.gz"
    place.write_bytes(gzip.compress(CONTENT))
    with gzip.open(place) as file:
        source = make_source(file, name="data")
        assert source.size == len(CONTENT)
        assert read(source, 10, 5_000) == CONTENT[10:5_000]


def test_a_file_closed_by_its_owner_is_told(path: Path) -> None:
    with path.open("rb") as file:
        source = make_source(file)
        reader = source.open()
    with pytest.raises(SourceError, match="closed file"):
        reader.read_into(memoryview(bytearray(1)), 0)
    with pytest.raises(SourceError, match="closed file"):
        source.open()


def test_mutable_bytes_are_copied_and_so_cannot_change() -> None:
    mutable = bytearray(b"before")
    source = make_source(mutable, name="x")
    buffer = io.BytesIO(b"before")
    of_buffer = make_source(buffer, name="x")
    mutable[:] = b"behind"
    buffer.write(b"behind")
    assert read(source) == read(of_buffer) == b"before"


def test_a_pipe_is_read_to_its_end_and_its_copy_is_gone_after_close() -> None:
    reading_end, writing_end = os.pipe()
    big = CONTENT * 300

    def write() -> None:
        with open(writing_end, "wb") as pipe:
            pipe.write(big)

    thread = threading.Thread(target=write)
    thread.start()
    with open(reading_end, "rb") as pipe:
        source = make_source(pipe, name="pipe.bin")
    thread.join(60)
    assert (source.size, source.mtime_ns) == (len(big), 0)
    assert read(source) == big
    source.close()
    source.close()
    with pytest.raises(SourceError):
        read(source)


def test_an_answer_of_a_web_server_is_a_stream() -> None:
    with ScriptedServer(answer(200, CONTENT)) as server, urllib.request.urlopen(server.url, timeout=60) as response:
        source = make_source(response, name="page")
    assert read(source) == CONTENT
    source.close()


def test_a_stream_that_has_nothing_yet_is_refused_and_not_taken_for_its_end() -> None:
    reading_end, writing_end = os.pipe()
    os.set_blocking(reading_end, False)
    with open(reading_end, "rb", buffering=0) as pipe, open(writing_end, "wb"):
        error = refusal(pipe, name="pipe.bin")
    assert error.errno == errno.EAGAIN


def test_an_empty_stream_and_an_empty_file_are_empty_sources(tmp_path: Path) -> None:
    with (tmp_path / "empty").open("w+b") as file:
        for empty in (OnlyRead(b""), file, b"", io.BytesIO(), tmp_path / "empty"):
            source = make_source(empty, name="x")
            assert (source.size, read(source)) == (0, b"")
            source.close()


@posix
def test_a_full_disk_is_told_with_the_place_of_the_copy() -> None:
    script = """
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        class Stream:
            def read(self, size):
                return b"x" * size
        try:
            make_source(Stream(), name="endless")
        except SourceError as error:
            print(error.errno, error)
    """
    printed = subprocess.check_output(without_rights(script), timeout=60, text=True)
    assert printed.startswith(f"{errno.EFBIG} cannot read 'endless': no copy of it in {tempfile.gettempdir()}")


# Objects that are not ours


class Raises:
    """A file of which one method raises an error that is not the system's."""

    def __init__(self, what: str, error: Exception | None = None) -> None:
        self.what = what
        self.error = error or LookupError("no such bucket")
        self.file = io.BytesIO(CONTENT)
        self.closed = False

    def __getattr__(self, name: str) -> Any:
        if name == self.what:
            return self.fail
        if name in ("seek", "tell", "read", "readinto"):
            return getattr(self.file, name)
        raise AttributeError(name)

    def fail(self, *arguments: object) -> None:
        raise self.error

    def close(self) -> None:
        self.closed = True


def test_whatever_an_object_raises_becomes_an_error_of_ours(path: Path) -> None:
    with make_source(Raises("readinto"), name="x").open() as reader:
        with pytest.raises(SourceError, match="LookupError: no such bucket") as caught:
            reader.read_into(memoryview(bytearray(1)), 0)
        assert isinstance(caught.value.__cause__, LookupError)
    remote = RemotePath(path)
    remote.open = Raises("").fail  # type: ignore[method-assign, assignment]
    with pytest.raises(SourceError, match="LookupError: no such bucket"):
        make_source(remote).open()
    wordless = Raises("readinto", error=FileNotFoundError("s3://bucket/key"))
    words = "cannot read 'x': FileNotFoundError: s3://bucket/key"
    with make_source(wordless, name="x").open() as reader, pytest.raises(SourceError, match=words):
        reader.read_into(memoryview(bytearray(1)), 0)
    remote.stat = Raises("").fail  # type: ignore[method-assign]
    assert "no such bucket" in str(refusal(remote))


@pytest.mark.parametrize("count", [-1, 3])
def test_an_object_that_says_it_read_what_cannot_be_is_an_error(count: int) -> None:
    class Miscounts(io.BytesIO):
        def readinto(self, buffer: Any) -> int:
            return count

    file = Miscounts(CONTENT)
    methods = {name: getattr(file, name) for name in ("seek", "tell", "read", "readinto")}
    source = make_source(SimpleNamespace(**methods), name="x")
    with source.open() as reader, pytest.raises(SourceError, match=f"it says that it read {count} bytes of 2"):
        reader.read_into(memoryview(bytearray(2)), 0)


def test_an_object_that_does_not_know_where_it_is_is_read_from_where_it_is() -> None:
    class Seeking:
        def __init__(self) -> None:
            self.seek, self.read = (file := io.BytesIO(CONTENT)).seek, file.read

    source = make_source(Seeking(), name="x")
    assert source.size == len(CONTENT)
    source.close()


def test_an_object_that_cannot_seek_is_taken_as_a_stream_whatever_it_raises() -> None:
    source = make_source(Raises("seek"), name="x")
    assert read(source) == CONTENT
    source.close()


def test_a_read_that_gives_nothing_now_is_an_error_and_not_the_end() -> None:
    file = WithoutReadInto(CONTENT)
    source = make_source(file, name="x")
    file.read = lambda size: None  # type: ignore[method-assign, assignment, return-value]
    with source.open() as reader, pytest.raises(SourceError, match="has no bytes now") as caught:
        reader.read_into(memoryview(bytearray(1)), 0)
    assert caught.value.errno == errno.EAGAIN


def test_the_handle_of_a_remote_path_is_closed_when_the_reader_is_left(path: Path) -> None:
    handles = []

    def keep(file: Any) -> Any:
        handles.append(file)
        return file

    source = make_source(RemotePath(path, keep))
    with source.open() as reader:
        reader.read_into(memoryview(bytearray(10)), 3)
    assert [handle.closed for handle in handles] == [True]


def test_a_universal_path_that_calls_itself_path_like_is_opened_by_its_own_open(path: Path) -> None:
    class Bucket(RemotePath):
        protocol = "s3"

        def __fspath__(self) -> str:
            return "/no/such/local/file"

    assert read(make_source(Bucket(path))) == CONTENT


def test_the_time_of_a_remote_path_is_kept_in_whichever_unit_it_has_it(path: Path) -> None:
    assert make_source(RemotePath(path, st_mtime=2.5)).mtime_ns == 2_500_000_000
    assert make_source(RemotePath(path, st_mtime_ns=7)).mtime_ns == 7
    assert make_source(RemotePath(path, st_mtime=None)).mtime_ns == 0


# What identifiers see of a source that has no path


def test_the_path_of_bytes_can_be_read_like_a_file() -> None:
    path = make_source(CONTENT, name="x.bin").path
    assert path.name == "x.bin"
    assert path.stat().st_size == len(CONTENT)
    with path.open("rb") as file:
        assert file.read(3) == CONTENT[:3]
        assert file.seek(-2, os.SEEK_END) == len(CONTENT) - 2
        assert file.read() == CONTENT[-2:]
        assert file.read() == b""
        file.seek(10)
        file.seek(5, os.SEEK_CUR)
        assert file.read(5) == CONTENT[15:20]
    with pytest.raises(ValueError, match="'rb'"):
        path.open("w")


def test_a_stream_is_copied_whole_though_the_disk_takes_it_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(io.FileIO):
        def write(self, data: Any) -> int:
            return super().write(memoryview(data)[:1000])

    def copy(**_: Any) -> Slow:
        descriptor, path = tempfile.mkstemp()
        os.unlink(path)
        return Slow(descriptor, "r+b")

    monkeypatch.setattr(tempfile, "TemporaryFile", copy)
    source = make_source(io.BufferedReader(OnlyRead(CONTENT)), name="x")
    assert source.size == len(CONTENT)
    source.close()
