"""Presets change the words on the wire, and not how an upload is kept safe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import PATIENCE, Request, ScriptedServer, Store

from resumable import Resumable, dialects, identifiers
from resumable.cli.params.flags import DIALECTS
from resumable.options import OPTIONS, Options

Make = Callable[..., Path]

PRESETS = [pytest.param(dialects.RESUMABLEJS, id="resumablejs"), pytest.param(dialects.FLOWJS, id="flowjs")]
CARE = (
    "chunk_order",
    "prioritize_first_and_last_chunk",
    "test_chunks",
    "trust_tests",
    "test_errors_are_permanent",
    "max_chunk_retries",
    "chunk_retry_interval",
    "retry_for",
    "permanent_errors",
    "min_file_size",
    "timeout",
    "final_chunk_timeout",
    "auto_upload",
)
"""What keeps an upload safe, and when it begins."""


def fields(request: Request) -> dict[str, str]:
    """The parameters of the request by resumable.js's names, whichever the preset has."""
    return {name.replace("flow", "resumable"): value for name, value in request.fields.items()}


def translated(behave: Callable[[Request], Any]) -> Callable[[Request], Any]:
    """The behaviour, for requests with the names of either library."""

    def behaved(request: Request) -> Any:
        request.fields = fields(request)
        return behave(request)

    return behaved


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", CARE)
def test_a_preset_leaves_alone_what_keeps_an_upload_safe(preset: Mapping[str, Any], name: str) -> None:
    assert getattr(Options.checked(target="http://h/", **preset), name) == OPTIONS[name].default


def test_the_command_has_the_safe_presets() -> None:
    assert DIALECTS == {"resumablejs": dialects.RESUMABLEJS, "flowjs": dialects.FLOWJS}


@pytest.mark.parametrize("preset", PRESETS)
def test_the_first_and_the_last_chunk_are_alone(wire: ScriptedServer, make: Make, preset: Mapping[str, Any]) -> None:
    """A server that begins a file at its first chunk, or joins it at its last, must not be hurried."""
    wire.behave = translated(lambda request: (204,) if request.chunk is None else None)
    with Resumable(wire.url, chunk_size=10, **{**preset, "simultaneous_uploads": 4}) as session:
        session.add_file(make("a.bin", 60))
        rounds = []
        for count in (1, 4, 1):
            wire.wait_held(count)
            assert len(wire.uploads) == sum(map(len, rounds)) + count
            rounds.append(sorted(request.number for request in wire.held))
            wire.release()
    assert rounds == [[1], [2, 3, 4, 5], [6]]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_chunk_that_fails_once_is_sent_again_after_a_wait(
    wire: ScriptedServer, make: Make, preset: Mapping[str, Any]
) -> None:
    answers = iter([(502,), (200,)])
    wire.behave = lambda request: (204,) if request.chunk is None else next(answers)
    asked: list[int] = []

    def interval(attempt: int) -> float:
        asked.append(attempt)
        return 0.0

    with Resumable(wire.url, **{**preset, "chunk_retry_interval": interval}) as session:
        file = session.add_file(make("a.bin"))
    assert file.is_complete()
    assert asked == [1]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_server_that_says_present_of_everything_is_not_believed(
    wire: ScriptedServer, make: Make, preset: Mapping[str, Any]
) -> None:
    wire.behave = lambda request: (200,)
    with Resumable(wire.url, chunk_size=10, **preset) as session:
        file = session.add_file(make("a.bin", 40))
    assert file.is_complete()
    assert file.bytes_skipped == 0
    assert len(wire.uploads) == 4


@pytest.mark.parametrize("preset", PRESETS)
def test_a_test_that_is_refused_does_not_fail_the_file(
    wire: ScriptedServer, make: Make, preset: Mapping[str, Any]
) -> None:
    """The upload will tell."""
    wire.behave = lambda request: (404,) if request.chunk is None else (200,)
    with Resumable(wire.url, **preset) as session:
        file = session.add_file(make("a.bin"))
    assert file.is_complete()


@pytest.mark.parametrize("preset", PRESETS)
def test_an_empty_file_is_uploaded(wire: ScriptedServer, make: Make, preset: Mapping[str, Any]) -> None:
    wire.behave = lambda request: (404,) if request.chunk is None else (200,)
    with Resumable(wire.url, **preset) as session:
        file = session.add_file(make("a.bin", 0))
    assert file.is_complete()
    assert len(wire.uploads) == 1


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("by_content", [False, True])
def test_an_edited_file_of_equal_size_is_no_mixture_if_its_content_is_its_identifier(
    wire: ScriptedServer, make: Make, preset: Mapping[str, Any], by_content: bool
) -> None:
    """With the identifiers of the libraries it is one, which the documentation says."""
    memory: dict[tuple[str, int], bytes] = {}
    store = Store(memory, missing=204)
    wire.behave = translated(lambda request: (413,) if request.chunk and request.number > 2 else store(request))
    chosen = {"generate_unique_identifier": identifiers.content} if by_content else {}
    options: dict[str, Any] = {**preset, **chosen, "simultaneous_uploads": 1}
    path = make("a.bin", 40)
    older = path.read_bytes()
    with Resumable(wire.url, chunk_size=10, **options) as session:
        session.add_file(path)
        session.join(PATIENCE, raise_errors=False)
    assert len(memory) == 2
    wire.behave = translated(store)
    newer = bytes(reversed(older))
    path.write_bytes(newer)
    with Resumable(wire.url, chunk_size=10, **options) as session:
        file = session.add_file(path)
    whole = b"".join(memory[file.unique_identifier, number] for number in range(1, 5))
    assert whole == (newer if by_content else older[:20] + newer[20:])
