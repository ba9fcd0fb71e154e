"""The servers that were asked for, and what uploads to them.

Nothing here is part of a run of all tests: what is asked for by its path runs, on all servers or on those of
``--servers``, and what it lacks fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from .bench import Missing, Running, running
from .client import Client
from .registry import SERVERS, Record
from .tap import Tap

HERE = Path(__file__).parent


class Scheduling(LoadScopeScheduling):
    """Has one worker run all tests of a server, whose name is the first word of their parameters."""

    def _split_scope(self, nodeid: str) -> str:
        parameters = nodeid.partition("[")[2].removesuffix("]")
        return max((name for name in SERVERS if f"{parameters}-".startswith(f"{name}-")), key=len, default=nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    return Scheduling(config, log)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--servers", default="", help="the servers to test, by name; all if none is named")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    asked = [(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args]
    return None if any(HERE in (path, *path.parents) for path in asked) else True


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "only(condition): run on the servers whose record fulfils the condition")
    config.addinivalue_line("markers", "fails(condition, reason): is expected to fail on the servers of the condition")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "record" in metafunc.fixturenames:
        metafunc.parametrize("record", SERVERS.values(), ids=list(SERVERS), scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    names = config.getoption("--servers", "").split() or list(SERVERS)
    if unknown := set(names) - set(SERVERS):
        raise pytest.UsageError(f"no such server: {', '.join(sorted(unknown))}; there are {', '.join(SERVERS)}")
    here = [item for item in items if str(item.path).startswith(str(HERE))]
    left_out = {item for item in here if not _wanted(item, names)}
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]
    for item in here:
        for mark in item.iter_markers("fails"):
            if mark.args[0](item.callspec.params["record"]):  # type: ignore[attr-defined]
                item.add_marker(pytest.mark.xfail(reason=mark.kwargs["reason"]))


def _wanted(item: pytest.Item, names: list[str]) -> bool:
    record = item.callspec.params["record"]  # type: ignore[attr-defined]
    only = item.get_closest_marker("only")
    return record.name in names and (only is None or only.args[0](record))


@pytest.fixture(scope="session")
def server(record: Record, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The server, which runs for all of its tests."""
    try:
        with running(record, tmp_path_factory.mktemp(record.name)) as server:
            yield server
    except Missing as missing:
        pytest.fail(str(missing))


@pytest.fixture
def client(server: Running, tmp_path: Path) -> Iterator[Client]:
    """A client of the server, and the wire between them."""
    with Tap(server.url) as tap:
        yield Client(server, tap, tmp_path)
