"""What plugins and handlers of others raise is said in a line, with what to do, and never as a traceback."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.command import Run, tree

from resumable import Resumable
from resumable.receiver import Server

Make = Callable[..., Path]
Install = Callable[[Any], None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """``install(factory)``: the plugin that this makes is an installed one."""

    def install(factory: Any) -> None:
        point = SimpleNamespace(name="broken", load=lambda: factory)
        monkeypatch.setattr(metadata, "entry_points", lambda group: [point])

    return install


class Broken:
    """A plugin that fails in the way that a test wants."""

    name = "broken"

    def attach(self, session: Resumable) -> None:
        """Do nothing."""


class NotAttached(Broken):
    def attach(self, session: Resumable) -> None:
        raise KeyError("setting")


class NotMade(Broken):
    def __init__(self) -> None:
        raise ModuleNotFoundError("No module named 'missing'", name="missing")


@pytest.mark.parametrize(
    ("kind", "said"), [(NotAttached, "KeyError: 'setting'"), (NotMade, "ModuleNotFoundError: No module named")]
)
def test_a_plugin_that_cannot_be_attached_is_named_and_how_to_go_without(
    kind: type[Broken], said: str, run: Run, make: Make, server: Server, install: Install, received: Path
) -> None:
    make()
    install(kind)
    ran = run("upload", "--json", "a.bin", server.url)
    assert ran.code == 2
    assert f"a plugin failed with {said}" in ran.text
    assert "(test_plugins.py, line " in ran.text
    assert "--no-plugins leaves plugins out" in ran.text
    assert "Traceback" not in ran.err
    assert [event["event"] for event in ran.events] == ["result"]
    assert run("upload", "--no-plugins", "a.bin", server.url).code == 0
    assert list(tree(received)) == ["a.bin"]


class Identifies(Broken):
    def generate_unique_identifier(self, source: object, relative_path: str) -> str:
        raise ValueError("no database")


@pytest.mark.parametrize("flags", [[], ["--dry-run"]])
def test_a_hook_that_raises_fails_its_file(
    flags: list[str], run: Run, make: Make, server: Server, install: Install
) -> None:
    make()
    install(Identifies)
    ran = run("upload", "--json", *flags, "a.bin", server.url)
    assert ran.code == 1
    assert "ValueError: no database" in ran.text
    assert "Traceback" not in ran.err
    result = ran.events[-1]
    assert (result["event"], result["failed"], len(result["errors"])) == ("result", 1, 1)


class Handles(Broken):
    def attach(self, session: Resumable) -> None:
        def handler(file: object) -> None:
            raise ValueError("no room")

        session.on("file_success", handler)


def test_a_handler_that_raises_is_a_note_with_what_it_raised(
    run: Run, make: Make, server: Server, install: Install
) -> None:
    make()
    install(Handles)
    ran = run("upload", "--json", "a.bin", server.url)
    assert ran.code == 0
    assert "note: " in ran.text
    assert "ValueError: no room" in ran.text
    assert "Traceback" not in ran.err
    assert any("ValueError: no room" in event["text"] for event in ran.events if event["event"] == "note")
