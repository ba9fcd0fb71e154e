"""Programs that were written for resumable.py 0.1.1 run unchanged, against the receiver."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resumable import Resumable

Make = Callable[..., Path]

WITH_BLOCK = """
from resumable import Resumable

with Resumable('https://example.com/upload') as session:
    session.add_file('my_file.dat')
"""

JOIN = """
from resumable import Resumable

session = Resumable('https://example.com/upload')
session.add_file('my_file.dat')
do_something_else()
session.join()
"""

CALLBACKS = """
from resumable import Resumable

seen = []
MiB = 1024 * 1024
errors = (400, 404, 415, 500, 501)
with Resumable('https://example.com/upload', MiB, 3, {'X-Token': 'abc'}, True, 100, errors) as session:
    session.file_added.register(lambda file: seen.append(('added', file)))
    session.file_completed.register(lambda file: seen.append(('completed', file)))
    session.chunk_completed.register(lambda file, chunk: seen.append(('chunk', file, chunk)))
    file = session.add_file('my_file.dat')
    file.completed.register(lambda: seen.append(('this one',)))
    file.chunk_completed.register(lambda chunk: seen.append(('of this one', chunk)))
"""


@pytest.fixture
def run(
    receiver_url: str, received: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    """A function that runs a program, with the address of the receiver for that in the program."""
    path = make("my_file.dat", 5 * 1024 * 1024 // 2)
    monkeypatch.chdir(path.parent)

    def run(program: str, **names: Any) -> dict[str, Any]:
        scope: dict[str, Any] = {"do_something_else": lambda: None, **names}
        exec(program.replace("https://example.com/upload", receiver_url), scope)
        assert (received / "my_file.dat").read_bytes() == path.read_bytes()
        return scope

    return run


@pytest.mark.parametrize("program", [WITH_BLOCK, JOIN])
def test_the_programs_of_its_readme_upload_their_file(run: Callable[..., dict[str, Any]], program: str) -> None:
    scope = run(program)
    scope["session"].close()
    assert [file.is_completed for file in scope["session"].files] == [True]


def test_its_callbacks_are_called(run: Callable[..., dict[str, Any]]) -> None:
    scope = run(CALLBACKS)
    file, seen = scope["file"], scope["seen"]
    assert seen[0] == ("added", file)
    assert sorted(each[0] for each in seen) == [
        "added", "chunk", "chunk", "completed", "of this one", "of this one", "this one",
    ]  # fmt: skip
    assert {each[2].index for each in seen if each[0] == "chunk"} == {0, 1}
    assert all(each[1] is file for each in seen if each[0] == "chunk")


def test_its_constructor_takes_the_same_arguments_in_the_same_order() -> None:
    session = Resumable("http://127.0.0.1/", 100, 5, {"header": "foo"}, False, 7, [500])
    options = session.options
    assert (options.target, options.chunk_size, options.simultaneous_uploads) == ("http://127.0.0.1/", 100, 5)
    assert (dict(options.headers), options.test_chunks, options.max_chunk_retries) == ({"header": "foo"}, False, 7)
    assert options.permanent_errors == (500,)
    assert Resumable(target="http://127.0.0.1/", chunk_size=1, max_chunk_retries=1).options.max_chunk_retries == 1


def test_its_files_and_chunks_have_what_they_had(receiver_url: str, make: Make) -> None:
    path = make("a.txt", 233)
    session = Resumable(receiver_url, 100, auto_upload=False)
    file = session.add_file(str(path))
    assert (file.path, file.size, file.chunk_size) == (str(path), 233, 100)
    assert (file.is_completed, file.fraction_completed) == (False, 0)
    assert str(file.unique_identifier)
    # The last chunk has what is left, as in resumable.js; in 0.1.1 that was a chunk of its own.
    assert [(chunk.index, chunk.size) for chunk in file.chunks] == [(0, 100), (1, 133)]
    assert b"".join(chunk.read() for chunk in file.chunks) == path.read_bytes()
    session.join()
    assert (file.is_completed, file.fraction_completed) == (True, 1)
    assert session.files == [file]
    file.close()
    session.close()


def test_a_callback_registered_late_on_a_file_is_called(receiver_url: str, make: Make) -> None:
    seen: list[Any] = []
    with Resumable(receiver_url) as session:
        file = session.add_file(make())
        file.wait()
        file.completed.register(lambda: seen.append("completed"))
        file.chunk_completed.register(lambda chunk: seen.append(chunk.index))
    assert seen == ["completed", 0]
