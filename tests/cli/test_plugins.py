"""What plugins and handlers of others raise is said in a line, with what to do, and never as a traceback."""

from __future__ import annotations

import json
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
    ("kind", "said", "without"),
    [
        (NotAttached, "KeyError: 'setting'", "--no-plugins"),
        (NotMade, "ModuleNotFoundError: No module named", "--no-plugin=broken"),
    ],
)
def test_a_plugin_that_cannot_be_attached_is_named_and_how_to_go_without(
    kind: type[Broken], said: str, without: str, run: Run, make: Make, server: Server, install: Install, received: Path
) -> None:
    make()
    install(kind)
    ran = run("upload", "--json", "a.bin", server.url)
    assert ran.code == 2
    assert "the plugin 'broken' cannot be " in ran.text
    assert said in ran.text
    assert "(test_plugins.py:" in ran.text
    assert "leave the plugin out with --no-plugin broken" in ran.text
    assert "Traceback" not in ran.err
    assert [event["event"] for event in ran.events] == ["result"]
    assert run("upload", without, "a.bin", server.url).code == 0
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
    assert "leave the plugin 'broken' out with --no-plugin broken" in ran.text
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


def test_plugins_are_listed_with_what_they_do_and_what_is_wrong(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Labels(Identifies):
        """Label \x1b[1mwhat is sent.

        More of it.
        """

        def query(self, file: object, chunk: object) -> None: ...

    package = SimpleNamespace(metadata={"Name": "shipped", "Version": "1.0"})
    points = [
        SimpleNamespace(name="labels", load=lambda: Labels, dist=package),
        SimpleNamespace(name="broken", load=lambda: NotMade, dist=package),
    ]
    monkeypatch.setattr(metadata, "entry_points", lambda group: points)
    ran = run("plugins")
    assert ran.code == 1
    assert ran.out.splitlines()[0] == "broken (shipped 1.0)"
    assert ran.out.splitlines()[2:] == [
        "labels (shipped 1.0)",
        "    Label \ufffd[1mwhat is sent.",
        "    hooks: generate_unique_identifier, query",
    ]
    assert "No module named 'missing'" in ran.out
    broken, labels = map(json.loads, run("plugins", "--json").out.splitlines())
    assert (broken["name"], broken["package"], broken["hooks"]) == ("broken", "shipped 1.0", [])
    assert (labels["hooks"], labels["error"]) == (["generate_unique_identifier", "query"], None)
    del points[1]
    assert run("plugins").code == 0
    del points[0]
    assert "No installed package offers a plugin" in run("plugins").out


class Tells(Broken):
    def attach(self, session: Resumable) -> None:
        session.on("file_success", lambda file: print(self.name, file.file_name))


def test_plugins_are_chosen_by_name(run: Run, make: Make, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(*flags: str) -> set[str]:
        ran = run("upload", "-q", *flags, "a.bin", server.url)
        assert ran.code == 0, ran.err
        return {line.split()[0] for line in ran.out.splitlines()}

    make()
    kinds = {name: type(name, (Tells,), {"name": name}) for name in ("one", "two", "three")}
    points = [SimpleNamespace(name=name, load=lambda kind=kind: kind) for name, kind in kinds.items()]
    monkeypatch.setattr(metadata, "entry_points", lambda group: points)
    assert told() == {"one", "two", "three"}
    assert told("--plugin", "one", "--plugin", "two") == {"one", "two"}
    assert told("--no-plugin", "one") == {"two", "three"}
    assert told("--no-plugins", "--plugin", "three") == {"three"}
    for flag in ("--plugin", "--no-plugin"):
        ran = run("upload", flag, "four", "a.bin", server.url)
        assert (ran.code, "installed are one, three, two" in ran.err) == (2, True)
