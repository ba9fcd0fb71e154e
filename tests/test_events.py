"""The rows of the events, and every spelling of their names."""

from __future__ import annotations

import re
from typing import Any

import pytest

from resumable.errors import UnknownEvent
from resumable.events import EVENTS, canonical

# resumable.js: its events and the arguments of their handlers.
JAVASCRIPT = {
    "fileAdded": ("file",),
    "filesAdded": ("files", "skipped"),
    "fileSuccess": ("file", "message"),
    "fileProgress": ("file", "message"),
    "fileRetry": ("file",),
    "fileError": ("file", "message"),
    "uploadStart": (),
    "complete": (),
    "progress": (),
    "error": ("message", "file"),
    "pause": (),
    "beforeCancel": (),
    "cancel": (),
    "beforeAdd": (),
    "chunkingStart": ("file",),
    "chunkingProgress": ("file", "ratio"),
    "chunkingComplete": ("file",),
    "catchAll": ("event", "*arguments"),
}


def test_every_event_of_resumable_js_is_there_with_its_arguments_in_their_order() -> None:
    ours = {row.js_name: row.arguments for row in EVENTS.values() if row.js_name}
    # A handler that takes fewer gets fewer, so more may follow behind those of resumable.js.
    assert ours == {**JAVASCRIPT, "complete": ("result",), "fileRetry": ("file", "error", "attempt", "delay")}


def test_the_name_is_the_word_of_resumable_js_in_snake_case() -> None:
    for row in EVENTS.values():
        if row.js_name:
            assert row.name == re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), row.js_name)


def test_the_events_that_are_ours_alone() -> None:
    ours = {row.name: row.arguments for row in EVENTS.values() if not row.js_name}
    assert ours == {
        "chunk_success": ("chunk", "message"),
        "chunk_retry": ("chunk", "message", "error", "attempt", "delay"),
        "chunk_error": ("chunk", "message"),
        "file_cancelled": ("file", "reason"),
        "handler_error": ("event", "handler", "exception"),
    }


def test_the_subject_is_who_the_event_is_about() -> None:
    for row in EVENTS.values():
        first = row.name.partition("_")[0]
        expected = {"file": "file", "chunking": "file", "chunk": "chunk"}.get(first, "session")
        assert row.subject == expected, row.name
        assert row.subject == "session" or row.subject in row.arguments


def test_only_progress_is_coalesced_and_every_row_says_what_happened() -> None:
    assert {row.name for row in EVENTS.values() if row.coalesced} == {"file_progress", "progress"}
    assert all(row.help.endswith(".") for row in EVENTS.values())


@pytest.mark.parametrize("name", EVENTS)
def test_every_spelling_is_one_name(name: str) -> None:
    camel = EVENTS[name].js_name or re.sub("_(.)", lambda letter: letter[1].upper(), name)
    for spelling in (name, camel, name.replace("_", "-"), name.replace("_", "").upper(), camel.lower(), name.title()):
        assert canonical(spelling) == name


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("fileSucess", "file_success"),
        ("onFileSuccess", "file_success"),
        ("uploadStarted", "upload_start"),
        ("catch", "catch_all"),
    ],
)
def test_an_unknown_name_raises_with_the_nearest(wrong: str, meant: str) -> None:
    with pytest.raises(UnknownEvent, match=f"there is no event '{wrong}'; did you mean '{meant}'") as caught:
        canonical(wrong)
    assert isinstance(caught.value, ValueError)
    assert caught.value.event == wrong


def test_a_name_that_is_near_to_none_names_none() -> None:
    with pytest.raises(UnknownEvent, match=r"^there is no event 'zzzz'$"):
        canonical("zzzz")


@pytest.mark.parametrize("nothing", [None, 5, print, ""])
def test_what_is_no_name_is_an_unknown_event_too(nothing: Any) -> None:
    with pytest.raises(UnknownEvent, match="there is no event"):
        canonical(nothing)
