"""The architecture as imports: a module stands above everything that it imports, and no import runs back up.

Read with ``ast`` and not by importing, so that imports inside functions and under ``TYPE_CHECKING`` count too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

pytestmark = pytest.mark.unmeasured

ADAPTERS = ("callback", "fsspec", "line", "rich", "run", "tqdm")

FOR_TYPES = {
    *((f"resumable.adapters.{adapter}", f"resumable.{name}") for adapter in ADAPTERS for name in ("file", "session")),
    ("resumable.asynchronous", "resumable.chunk"),
    ("resumable.asynchronous", "resumable.file"),
    ("resumable.asynchronous", "resumable.result"),
    ("resumable.asynchronous", "resumable.session"),
    ("resumable.chunk", "resumable.file"),
    ("resumable.chunk", "resumable.session"),
    ("resumable.chunk", "resumable.transport.base"),
    ("resumable.core.active_chunk", "resumable.core.file"),
    ("resumable.file", "resumable.session"),
    ("resumable.file", "resumable.transport.base"),
    ("resumable.transport.base", "resumable.transport.control"),
}
"""What names whom it belongs to, for type checkers and not when the program runs."""

PACKAGE = Path(__file__).parent.parent / "resumable"

BASE = {"buffers", "errors", "events", "options", "special_files", "statuses", "tracebacks"}
CLIENT = {
    "adder", "asynchronous", "attempts", "background", "chunk", "compat", "core", "dispatch", "emitter", "file",
    "hooks", "plugins", "policy", "progress", "result", "session", "simple", "simple_async", "sources", "static_types",
    "transport", "unfinished"}  # fmt: skip
BELOW: dict[str, set[str]] = {
    "buffers": set(),
    "errors": set(),
    "events": {"errors"},
    "tracebacks": {"errors"},
    "validators": set(),
    "units": set(),
    "special_files": set(),
    "misnomers": {"events"},
    "options": {"validators", "errors", "misnomers", "statuses"},
    "statuses": set(),
    "subscription": {"events"},
    "async_handlers": {"errors", "subscription"},
    "signals": BASE | {"async_handlers", "subscription"},
    "protocol": BASE,
    "core": BASE | {"protocol"},
    "sources": BASE | {"protocol", "validators"},
    "transport": BASE | {"protocol", "sources"},
    "hooks": {"errors", "tracebacks"},
    "plugins": {"errors", "hooks", "tracebacks", "validators"},
    "dispatch": BASE | {"protocol", "core", "sources", "transport", "hooks"},
    "attempts": BASE | {"protocol", "core", "sources", "transport", "hooks", "dispatch"},
    "progress": {"dispatch"},
    "static_types": {"chunk", "dispatch", "file", "hooks", "transport"},
    "asynchronous": BASE | {"core", "dispatch", "signals"},
    "compat": set(),
    "policy": {"core", "hooks", "options"},
    "result": {"errors", "file"},
    "chunk": {"core", "dispatch", "events", "subscription"},
    "file": BASE | {"asynchronous", "chunk", "compat", "core", "dispatch", "progress", "subscription", "units"},
    "emitter": BASE | {"core", "dispatch", "signals", "subscription", "file"},
    "adder": BASE | {"protocol", "core", "sources", "transport", "dispatch", "signals", "file", "hooks", "attempts"},
    "background": BASE | {"adder", "core", "dispatch", "sources"},
    "unfinished": {"errors"},
    "session": BASE | CLIENT - {"session", "simple", "simple_async"} | {"protocol", "signals", "subscription"},
    "adapters": BASE | {"core", "units"},
    "simple": BASE | {"adapters", "sources", "hooks", "plugins", "dispatch", "result", "session", "static_types"},
    "simple_async": BASE | {"adapters", "hooks", "dispatch", "result", "simple", "static_types"},
    "receiver": BASE | {"protocol", "subscription"},
    "testing": BASE | {"protocol", "transport", "receiver", "validators"},
    "cli": BASE | CLIENT | {"units", "protocol", "signals", "receiver", "testing", ""},
    "__main__": {"cli", ""},
    "": BASE | CLIENT | {"units", "protocol", "signals", "subscription"},
}
"""What each part may import besides itself; "" is the package's own ``__init__``."""


def modules() -> dict[str, Path]:
    """Every module of the package by its full name."""
    named = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named


MODULES = modules()
TEXTS = {module: path.read_text(encoding="utf-8") for module, path in MODULES.items()}


@cache
def imports(module: str) -> list[str]:
    """The full name of each module that a module imports, wherever in it the import stands."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    nodes = list(ast.walk(ast.parse(TEXTS[module], str(path))))
    for_types = {
        id(inner)
        for node in nodes
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in node.body
    }
    return [
        name
        for node in nodes
        for name in names_imported(node, package)
        if not (id(node) in for_types and (module, name) in FOR_TYPES)
    ]


def names_imported(node: ast.AST, package: str) -> Iterator[str]:
    """The modules that one statement imports, relative names resolved."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parents = package.split(".")
        base = ".".join(filter(None, [*parents[: len(parents) - node.level + 1 if node.level else 0], node.module]))
        for alias in node.names:
            name = f"{base}.{alias.name}"
            yield name if name in MODULES else base


def part(module: str) -> str:
    """The part of the architecture that a module of the package belongs to."""
    return module.partition(".")[2].partition(".")[0]


def inside(name: str) -> bool:
    return name == "resumable" or name.startswith("resumable.")


def importers(*names: str) -> set[str]:
    """The modules that import one of these top-level packages."""
    return {module for module in MODULES for name in imports(module) if name.partition(".")[0] in names}


def test_no_import_runs_back_up() -> None:
    assert {part(module) for module in MODULES} <= set(BELOW), "every part has its place in the architecture"
    upward = {
        (module, name)
        for module in MODULES
        for name in imports(module)
        if inside(name) and part(name) != part(module) and part(name) not in BELOW[part(module)]
    }
    assert not upward


def test_the_rows_themselves_only_run_down() -> None:
    order = list(TopologicalSorter(BELOW).static_order())
    assert set(order) == set(BELOW)


def test_no_import_goes_round_in_a_circle() -> None:
    # A package's __init__ is imported before its modules in any case, so it counts as its own node only.
    graph = {module: {name for name in imports(module) if inside(name) and name != module} for module in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_every_name_that_is_imported_from_the_package_is_a_module_of_it() -> None:
    missing = {(module, name) for module in MODULES for name in imports(module) if inside(name) and name not in MODULES}
    assert not missing


def test_only_one_module_imports_blinker() -> None:
    assert importers("blinker") == {"resumable.subscription"}


def test_only_the_http_transport_and_the_checks_import_requests() -> None:
    transport = {f"resumable.transport.{name}" for name in ("channel", "http", "template")}
    checks = {f"resumable.testing.{name}" for name in ("checks.base", "final_answers", "runner", "target")}
    others = {"resumable.adapters.truststore", "resumable.static_types"}
    assert importers("requests", "urllib3") == {*others, *transport, *checks}


def test_the_receiver_never_imports_the_client() -> None:
    reached = {
        part(name) for module in MODULES if part(module) == "receiver" for name in imports(module) if inside(name)
    }
    assert reached
    assert not reached & (CLIENT | {"cli", ""})


def test_the_core_has_no_clock_thread_file_or_signal() -> None:
    worldly = importers(
        "asyncio", "blinker", "concurrent", "datetime", "io", "logging", "multiprocessing", "os", "pathlib", "queue",
        "random", "select", "shutil", "signal", "socket", "subprocess", "tempfile", "threading", "time", "requests",
    )  # fmt: skip
    pure = {module for module in MODULES if part(module) == "core"}
    assert pure
    assert not pure & worldly


def users_of(*names: str) -> set[str]:
    """The modules in which one of these names stands, as a name, an attribute or an import."""
    found = set()
    for module, text in TEXTS.items():
        if not any(name in text for name in names):
            continue
        for node in ast.walk(ast.parse(text)):
            if getattr(node, "attr", None) in names or getattr(node, "id", None) in names:
                found.add(module)
            if isinstance(node, ast.alias) and node.name in names:
                found.add(module)
    return found


def test_nothing_sleeps() -> None:
    assert users_of("sleep") == set()


def test_threads_are_made_by_dispatch_and_by_servers_only() -> None:
    makers = {part(module) for module in users_of("Thread", "Timer", "ThreadPoolExecutor", "start_new_thread")}
    assert "dispatch" in makers
    assert makers <= {"dispatch", "receiver", "cli", "testing"}


def test_only_dispatch_touches_the_core_of_a_file() -> None:
    """Its methods hold the lock; a handle, a worker or the emitter would read it without."""
    for module, text in TEXTS.items():
        if MODULES[module].parent.name in ("core", "dispatch") or ".core" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Attribute) and node.attr == "core":
                assert not ast.unparse(node.value).endswith("entry"), f"{module}:{node.lineno}"
