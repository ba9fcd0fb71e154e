"""Plugins and hooks: every hook, as an option and as a method of a plugin, and what happens when one fails."""

from __future__ import annotations

import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import PATIENCE, Request, ScriptedServer

from resumable import (
    FileState,
    HookError,
    OptionError,
    PluginError,
    Result,
    Resumable,
    ResumableFile,
    RetriesExhausted,
    SourceChanged,
    SourceError,
)
from resumable.hooks import HOOKS
from resumable.plugins import installed_plugins

Make = Callable[..., Path]

CHOICES: dict[str, Callable[..., Any]] = {
    "accept_response": lambda response: response.text == "fine",
    "chunk_exists": lambda response: response.status == 404,
    "find_uploaded": lambda file: [(0, 0)],
    "generate_unique_identifier": lambda path, relative_path: f"hooked-{relative_path}",
    "headers": lambda file, chunk: {"X-Hook": f"{file.file_name}-{chunk.number}"},
    "preprocess": lambda chunk: b"hooked " + chunk.read(),
    "preprocess_file": lambda file: b"hooked file",
    "query": lambda file, chunk: {"hook": f"{file.file_name}-{chunk.number}"},
    "should_retry": lambda error, attempt: attempt < 3,
}
"""A hook of each kind whose work shows on the wire, but for target, which needs the URL. after_file and on_abort decide
nothing: see test_last_hooks."""

DECIDING = [name for name in HOOKS if name not in ("after_file", "on_abort")]


def choice(name: str, url: str) -> Callable[..., Any]:
    return CHOICES.get(name) or (lambda params: url + "/hooked")


def as_plugin(name: str, hook: Callable[..., Any]) -> Any:
    """A plugin with this hook."""

    class One:
        name = "one"

        def attach(self, session: Resumable) -> None:
            pass

    setattr(One, name, staticmethod(hook))
    return One()


def given(way: str, name: str, hook: Callable[..., Any]) -> dict[str, Any]:
    """The options that bring the hook in this way."""
    return {name: hook} if way == "option" else {"plugins": [as_plugin(name, hook)]}


def shows(name: str, wire: ScriptedServer, path: Path, options: dict[str, Any]) -> Any:
    """What is seen on the wire of a file of one chunk that is sent with these options."""

    def behave(request: Request) -> tuple[Any, ...]:
        if name == "should_retry":
            return (400,)
        return (404,) if request.chunk is None else (200, "not so fine")

    wire.behave = behave
    before = len(wire.requests)
    options = {"target": wire.url, "chunk_retry_interval": 0, **options}
    if name == "should_retry":
        options["test_chunks"] = False
    if name == "chunk_exists":
        options["trust_tests"] = True
    with Resumable(**options) as session:
        session.add_file(path)
        result = session.join(PATIENCE, raise_errors=False)
    requests = wire.requests[before:]
    if name == "find_uploaded":
        return len(requests)
    (last,) = requests[-1:]
    return {
        "accept_response": bool(result.succeeded),
        "chunk_exists": any(request.chunk is not None for request in requests),
        "generate_unique_identifier": last.identifier,
        "headers": last.headers.get("x-hook"),
        "preprocess": last.chunk,
        "preprocess_file": last.chunk,
        "query": last.fields.get("hook"),
        "should_retry": len(requests),
        "target": last.path,
    }[name]


EXPECTED = {
    "accept_response": False,
    "chunk_exists": False,
    "find_uploaded": 0,
    "generate_unique_identifier": "hooked-a.bin",
    "headers": "a.bin-1",
    "preprocess": b"hooked " + bytes(range(10)),
    "preprocess_file": b"hooked file",
    "query": "a.bin-1",
    "should_retry": 3,
    "target": "/upload/hooked",
}


@pytest.mark.parametrize("way", ["option", "plugin"])
@pytest.mark.parametrize("name", DECIDING)
def test_a_hook_decides(wire: ScriptedServer, make: Make, name: str, way: str) -> None:
    path = make()
    assert shows(name, wire, path, {}) != EXPECTED[name]
    assert shows(name, wire, path, given(way, name, choice(name, wire.url))) == EXPECTED[name]


@pytest.mark.parametrize("way", ["option", "plugin"])
@pytest.mark.parametrize("name", [*DECIDING, "after_file"])
def test_a_hook_that_raises_fails_its_file_alone(wire: ScriptedServer, make: Make, name: str, way: str) -> None:
    def broken(*arguments: Any) -> Any:
        if name == "generate_unique_identifier":
            bad = arguments[1] == "bad"
        elif name in ("preprocess_file", "find_uploaded", "headers", "query", "after_file"):
            bad = arguments[0].file_name == "bad"
        elif name == "preprocess" or name == "should_retry":
            bad = arguments[0].file.file_name == "bad"
        elif name == "target":
            bad = "resumableFilename=bad" in arguments[0]
        else:
            bad = arguments[0].text == "of bad"
        if bad:
            raise ZeroDivisionError("on purpose")
        return choice(name, wire.url)(*arguments) if name != "accept_response" else None

    def behave(request: Request) -> tuple[Any, ...]:
        said = "of bad" if request.fields.get("resumableFilename") == "bad" else "of good"
        if name == "should_retry":
            return (400, said) if said == "of bad" else (200, said)
        return (404, said) if request.chunk is None else (200, said)

    wire.behave = behave
    label = name if way == "option" else f"one.{name}"
    options = given(way, name, broken)
    with Resumable(**{"target": wire.url, "trust_tests": True, **options}) as session:
        good = session.add_file(make("good"))
        if name == "generate_unique_identifier":
            with pytest.raises(HookError) as caught:
                session.add_file(make("bad"))
            error: Any = caught.value
        else:
            bad = session.add_file(make("bad"))
            result = session.join(PATIENCE, raise_errors=False)
            assert result.failed == (bad,)
            error = bad.error
            assert error.file is bad
            assert error.chunk == (
                None if name in ("preprocess_file", "find_uploaded", "after_file") else bad.chunks[0]
            )
        session.join(PATIENCE, raise_errors=False)
        assert good.state is FileState.SUCCESS
    assert isinstance(error, HookError)
    assert error.hook == label
    line = broken.__code__.co_firstlineno + 12
    advice = "; fix it, or leave the plugin 'one' out" if way == "plugin" else ""
    assert str(error) == f"hook {label} raised ZeroDivisionError: on purpose (test_plugins.py:{line}){advice}"
    assert isinstance(error.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_ends_programs_fails_a_file_if_it_is_raised_on_a_worker(wire: ScriptedServer, error: Any) -> None:
    def broken(*_: Any) -> Any:
        raise error

    said = {"query": "hook query", "session": "the factory given as session"}
    for name in said if error is not KeyboardInterrupt else ["query"]:
        options: dict[str, Any] = {name: broken}
        with Resumable(wire.url, **options) as session:
            file = session.add_file(b"x", relative_path="a")
            session.join(PATIENCE, raise_errors=False)
        assert f"{said[name]} raised {error.__name__}" in str(file.error)


@pytest.mark.parametrize(
    ("interval", "says"),
    [
        (lambda attempt: 1 / 0, "raised ZeroDivisionError"),
        (lambda attempt: None, "returned None, not a number of seconds"),
        (lambda attempt: float("nan"), "returned nan, not a number of seconds"),
        (lambda attempt: float("inf"), "returned inf, not a number of seconds"),
        (lambda attempt: 10**400, "returned inf, not a number of seconds"),
        (lambda attempt: -1, "returned -1, not a number of seconds"),
    ],
)
def test_a_retry_interval_that_is_none_fails_its_file_alone(
    wire: ScriptedServer, make: Make, interval: Any, says: str
) -> None:
    wire.behave = lambda request: (503,) if request.fields["resumableFilename"] == "bad" else (200,)
    with Resumable(wire.url, test_chunks=False, chunk_retry_interval=interval) as session:
        good, bad = session.add_files([make("good"), make("bad")])
        assert session.join(PATIENCE, raise_errors=False) == Result(succeeded=(good,), failed=(bad,))
    assert isinstance(bad.error, HookError)
    assert f"hook chunk_retry_interval {says}" in str(bad.error)


def test_a_retry_interval_may_ask_the_session_and_is_not_asked_after_the_last_attempt(
    wire: ScriptedServer, make: Make
) -> None:
    wire.behave = lambda request: (503,)
    intervals = [0.0, 0.01]

    def interval(attempt: int) -> float:
        assert session.is_uploading()
        return intervals[attempt - 1]

    options: dict[str, Any] = {"chunk_retry_interval": interval, "max_chunk_retries": len(intervals)}
    with Resumable(wire.url, test_chunks=False, **options) as session:
        file = session.add_file(make())
        session.join(PATIENCE, raise_errors=False)
    assert isinstance(file.error, RetriesExhausted)
    assert file.error.attempts == 3


def test_a_file_that_is_cut_anew_while_it_is_preprocessed_is_preprocessed_once(
    wire: ScriptedServer, make: Make
) -> None:
    began, goes = threading.Event(), threading.Event()

    def preprocess_file(file: ResumableFile) -> bytes:
        content = file.chunks[0].read()
        began.set()
        assert goes.wait(PATIENCE)
        return b"<" + content + b">"

    with Resumable(wire.url, test_chunks=False, preprocess_file=preprocess_file) as session:
        file = session.add_file(b"abc", relative_path="a")
        assert began.wait(PATIENCE)
        file.bootstrap()
        goes.set()
        file.wait(PATIENCE)
    assert [request.chunk for request in wire.uploads] == [b"<abc>"]


def test_a_hook_that_finds_its_source_changed_says_that(wire: ScriptedServer, make: Make) -> None:
    with Resumable(wire.url, preprocess=lambda chunk: chunk.read(), auto_upload=False) as session:
        path = make()
        file = session.add_file(path)
        path.write_bytes(b"something else")
        session.join(PATIENCE, raise_errors=False)
    assert isinstance(file.error, SourceChanged)


def test_a_hook_that_calls_what_is_not_possible_there_fails_its_file(wire: ScriptedServer, make: Make) -> None:
    with Resumable(wire.url, preprocess=lambda chunk: chunk.file.resumable_obj.join()) as session:
        file = session.add_file(make())
        session.join(PATIENCE, raise_errors=False)
    assert isinstance(file.error, HookError)
    assert "a hook is running on this thread" in str(file.error)


@pytest.mark.parametrize("name", ["headers", "query"])
def test_a_hook_that_returns_no_mapping_fails_its_file(wire: ScriptedServer, make: Make, name: str) -> None:
    with Resumable(wire.url, **{name: lambda file, chunk: "text"}) as session:
        file = session.add_file(make())
        session.join(PATIENCE, raise_errors=False)
    assert str(file.error) == f"hook {name} returned str, not a mapping"


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_that_does_not_take_what_it_is_called_with_is_refused_at_once(wire: ScriptedServer, name: str) -> None:
    def wrong(one: Any, two: Any, three: Any) -> None: ...

    with pytest.raises(OptionError, match=rf"^{name} must be a callable\({', '.join(HOOKS[name])}\)"):
        Resumable(**{"target": wire.url, name: wrong})
    with pytest.raises(OptionError, match=rf" {name}\({', '.join(HOOKS[name])}\).*'one'"):
        Resumable(wire.url, plugins=[as_plugin(name, wrong)])


def test_a_hook_that_does_not_say_what_it_takes_is_believed(wire: ScriptedServer, make: Make) -> None:
    # A C function without a signature.
    with Resumable(wire.url, headers=dict, plugins=[]) as session:
        file = session.add_file(make())
        session.join(PATIENCE, raise_errors=False)
    assert isinstance(file.error, HookError), "two arguments make no dict"


def test_hooks_of_options_come_first_and_those_of_plugins_in_their_order(wire: ScriptedServer, make: Make) -> None:
    class Both:
        def __init__(self, name: str) -> None:
            self.name = name

        def attach(self, session: Resumable) -> None:
            attached.append(self.name)

        def query(self, file: Any, chunk: Any) -> dict[str, str] | None:
            return {self.name: "1", "last": self.name} if self.name != "none" else None

        def generate_unique_identifier(self, path: Any, relative_path: str) -> str | None:
            return None if self.name == "none" else self.name

    attached: list[str] = []
    plugins = [Both("none"), Both("first"), Both("second")]
    with Resumable(wire.url, plugins=plugins, query={"fixed": "1", "last": "fixed"}) as session:
        file = session.add_file(make())
    assert attached == ["none", "first", "second"]
    assert file.unique_identifier == "first"
    fields = wire.uploads[0].fields
    assert [fields[name] for name in ("fixed", "first", "second", "last")] == ["1", "1", "1", "second"]
    with Resumable(wire.url, plugins=plugins, generate_unique_identifier=lambda path, relative_path: "own") as session:
        assert session.add_file(make()).unique_identifier == "own"


class Nameless:
    def attach(self, session: Any) -> None: ...


class Unattached:
    name = "unattached"


class Whole:
    name = "whole"

    def attach(self, session: Any) -> None: ...


class Wrong(Whole):
    headers = {"X": "1"}  # noqa: RUF012


class Async(Whole):
    async def attach(self, session: Any) -> None: ...


@pytest.mark.parametrize("wrong", [object(), Nameless(), Unattached(), Whole, Wrong(), Async(), "x"])
def test_what_is_no_plugin_is_refused(wire: ScriptedServer, wrong: Any) -> None:
    with pytest.raises(OptionError, match="plugins"):
        Resumable(wire.url, plugins=[wrong])
    with pytest.raises(OptionError, match="plugins"):
        Resumable(wire.url, plugins=wrong)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place where a distribution with two plugins is installed."""
    site = tmp_path / "site"
    info = site / "shipped-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shipped\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[resumable.plugins]\nstamp = shipped:make\naudit = shipped:Audit\n")
    (site / "shipped.py").write_text(
        textwrap.dedent(
            """
            class Audit:
                name = "audit"

                def __init__(self):
                    self.done = []

                def attach(self, session):
                    session.on("file_success", self.done.append)
                    session.audit = self


            class Stamp:
                def __init__(self, name):
                    self.name = name

                def attach(self, session):
                    pass

                def headers(self, file, chunk):
                    return {"X-Stamp": self.name}


            def make():
                return Stamp("stamp")
            """
        )
    )
    monkeypatch.syspath_prepend(str(site))
    yield site
    sys.modules.pop("shipped", None)


@pytest.mark.usefixtures("installed")
def test_installed_plugins_are_attached_when_told_to_and_new_for_each_session(wire: ScriptedServer, make: Make) -> None:
    assert [plugin.name for plugin in installed_plugins()] == ["audit", "stamp"]
    with Resumable(wire.url, plugins="installed") as session:
        file = session.add_file(make())
    assert session.audit.done == [file]  # type: ignore[attr-defined]
    assert wire.uploads[0].headers["x-stamp"] == "stamp"
    with Resumable(wire.url) as other:
        other.add_file(make("b"))
    assert not hasattr(other, "audit")
    assert "x-stamp" not in wire.uploads[1].headers


@pytest.mark.usefixtures("installed")
def test_installed_plugins_are_attached_by_name_beside_others(wire: ScriptedServer, make: Make) -> None:
    with Resumable(wire.url, plugins=["stamp", Whole()]) as session:
        session.add_file(make())
    assert not hasattr(session, "audit")
    assert wire.uploads[0].headers["x-stamp"] == "stamp"
    told: list[Any] = []
    mine = Whole()
    mine.attach = told.append  # type: ignore[method-assign, assignment]
    # Each is attached once, however often it was asked for.
    with Resumable(wire.url, plugins=["installed", mine, "audit", mine]) as session:
        file = session.add_file(make("other"))
    assert session.audit.done == [file]  # type: ignore[attr-defined]
    assert told == [session]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(("name", "said"), [("audti", "did you mean 'audit'?"), ("x", "there are 'audit', 'stamp'")])
def test_a_plugin_that_is_not_installed_is_refused_with_those_that_are(
    wire: ScriptedServer, name: str, said: str
) -> None:
    with pytest.raises(OptionError, match="plugins must be names of installed plugins") as caught:
        Resumable(wire.url, plugins=[name])
    assert said in str(caught.value)


BROKEN = {
    "import": "import does_not_exist\n",
    "name": "",
    "constructor": "class Audit:\n    def __init__(self):\n        raise KeyError('setting')\n",
    "protocol": "class Audit:\n    pass\n",
    "signature": (
        "class Audit:\n    name = 'audit'\n    def attach(self, session):\n        pass\n"
        "    def headers(self):\n        pass\n"
    ),
    "attach": (
        "class Audit:\n    name = 'else'\n    def attach(self, session):\n        raise ValueError('no \\n room')\n"
    ),
    "async": "class Audit:\n    name = 'audit'\n    async def attach(self, session):\n        pass\n",
    "property": "class Audit:\n    @property\n    def name(self):\n        raise ValueError('none')\n",
    "exit in import": "raise SystemExit('no licence')\n",
    "exit in constructor": "import sys\nclass Audit:\n    def __init__(self):\n        sys.exit(3)\n",
    "panic in import": "class Panic(BaseException):\n    pass\nraise Panic('of Rust')\n",
    "exit in attach": (
        "import sys\nclass Audit:\n    name = 'else'\n    def attach(self, session):\n        sys.exit()\n"
    ),
}


@pytest.mark.parametrize("where", BROKEN)
def test_an_installed_plugin_that_fails_is_named_with_its_package_and_what_to_do(
    installed: Path, wire: ScriptedServer, where: str
) -> None:
    (installed / "shipped.py").write_text(BROKEN[where])
    with pytest.raises(PluginError) as caught:
        Resumable(wire.url, plugins=["audit"])
    error = caught.value
    assert (error.plugin, error.package) == ("audit", "shipped 1.0")
    assert str(error).startswith("the plugin 'audit' of shipped 1.0 ")
    assert str(error).endswith("; update shipped 1.0, or leave the plugin out")
    assert "\n" not in str(error)
    assert (error.__cause__ is None) == (where in ("protocol", "signature", "async"))


@pytest.mark.parametrize(
    ("hook", "does", "said"),
    [
        ("headers(self, file, chunk)", "raise ValueError('no token')", "raised ValueError: no token"),
        ("headers(self, file, chunk)", "raise SystemExit('no token')", "raised SystemExit: no token"),
        ("headers(self, file, chunk)", "raise BaseException('panic')", "raised BaseException: panic"),
        ("headers(self, file, chunk)", "return 5", "returned int, not a mapping"),
        ("accept_response(self, response)", "return 5", "returned int, not True, False or None"),
        ("chunk_exists(self, response)", "return 'false'", "returned str, not True, False or None"),
        ("preprocess(self, chunk)", "return 5", "returned int, not bytes, a path or a file"),
        ("preprocess_file(self, file)", "return 5", "returned int, not bytes, a path or a file"),
        ("find_uploaded(self, file)", "return 5", "returned 5, not pairs of chunk indexes"),
        ("target(self, params)", "return 5", "returned int, not an http:// or https:// URL"),
    ],
)
def test_a_hook_of_an_installed_plugin_that_fails_names_the_package_and_what_to_do(
    installed: Path, wire: ScriptedServer, make: Make, hook: str, does: str, said: str
) -> None:
    (installed / "shipped.py").write_text(
        "class Audit:\n    name = 'else'\n    def attach(self, session):\n        pass\n"
        f"    def {hook}:\n        {does}\n"
    )
    with Resumable(wire.url, plugins=["audit"]) as session:
        file = session.add_file(make())
        session.join(PATIENCE, raise_errors=False)
    assert isinstance(file.error, HookError)
    # By the name that leaves it out, whatever it calls itself.
    assert (file.error.hook, file.error.plugin) == (f"else.{hook.partition('(')[0]}", "audit")
    assert said in str(file.error)
    assert str(file.error).endswith("; update shipped 1.0, or leave the plugin 'audit' out")


def test_plugins_of_one_name_in_two_packages_are_refused(installed: Path, wire: ScriptedServer) -> None:
    other = installed / "other-2.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 2.0\n")
    (other / "entry_points.txt").write_text("[resumable.plugins]\naudit = shipped:Audit\n")
    with pytest.raises(PluginError, match=r"'audit' of .* has the same name as one of ") as caught:
        Resumable(wire.url, plugins="installed")
    assert "shipped 1.0" in str(caught.value)
    assert "other 2.0" in str(caught.value)
    Resumable(wire.url, plugins=["stamp"]).close()


def test_an_entry_point_that_is_none_is_named_and_keeps_no_other_plugin(
    installed: Path, wire: ScriptedServer, make: Make
) -> None:
    damaged = installed / "damaged-1.0.dist-info"
    damaged.mkdir()
    (damaged / "entry_points.txt").write_text("[resumable.plugins]\nwrong = ::::\n")
    with pytest.raises(PluginError, match="its entry point is '::::', not MODULE:NAME; fix it") as caught:
        Resumable(wire.url, plugins=["wrong"])
    assert caught.value.package is None

    class Mine(Whole):
        def headers(self, file: Any, chunk: Any) -> Any:
            raise ValueError("mine")

    with Resumable(wire.url, plugins=["stamp", Mine()]) as session:
        file = session.add_file(make())
        session.join(PATIENCE, raise_errors=False)
    assert "ValueError: mine" in str(file.error)


def test_a_plugin_of_the_program_that_fails_is_named(wire: ScriptedServer) -> None:
    class Bad(Whole):
        def attach(self, session: Any) -> None:
            raise ValueError("no room")

    with pytest.raises(PluginError, match=r"^the plugin 'whole' cannot be attached: ValueError: no room .*; fix it"):
        Resumable(wire.url, plugins=[Bad()])


def test_a_missing_source_made_by_a_hook_fails_the_file(wire: ScriptedServer, make: Make) -> None:
    with Resumable(wire.url, preprocess_file=lambda file: "/does/not/exist") as session:
        file = session.add_file(make())
        session.join(PATIENCE, raise_errors=False)
    assert isinstance(file.error, SourceError)
