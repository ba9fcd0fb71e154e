"""What every test may use."""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from resumable import HookError, Resumable

try:
    import fcntl
except ModuleNotFoundError:  # on Windows, where the tests of the client run
    fcntl = None  # type: ignore[assignment]

# Other programs share the machine: how long one example takes says nothing.
EXAMPLES = 100 if os.environ.get("RESUMABLE_FULL_SIZE") else 40
settings.register_profile("resumable", deadline=None, print_blob=True, max_examples=EXAMPLES)
settings.load_profile("resumable")

# A shell has what it runs in the background ignore Ctrl-C, and so would every program that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Handlers that raise are logged and nothing else, so the log has to be seen.
WITH_LOG = (
    "import logging, runpy, sys; logging.basicConfig(); sys.argv.pop(0); runpy.run_path(sys.argv[0], {}, '__main__')"
)

TOGETHER = (
    "tests/browser/",
    "tests/cli/test_installation.py",
    "tests/cli/test_serve_bucket.py",
    "tests/conformance/test_harness.py",
    "tests/conformance/test_traces.py",
    "tests/interoperability/test_predecessor.py",
    "tests/receiver/s3/",
    "tests/receiver/test_django.py",
    "tests/receiver/test_page.py",
    "tests/regressions/test_messages.py",
    "tests/test_layers.py",
    "tests/test_mounting.py",
    "tests/test_names.py",
    "tests/test_packaging.py",
    "tests/test_pages.py",
)
"""Tests that share what takes long to make, such as a browser: one worker runs all that begin with the same."""


UNMEASURED = (
    "tests/browser/",
    "tests/cli/test_doctor_advice.py",
    "tests/cli/test_installation.py",
    "tests/cli/test_parts.py",
    "tests/cli/test_secrets.py",
    "tests/cli/test_serve_bucket.py",
    "tests/cli/test_streams.py",
    "tests/cli/test_texts.py",
    "tests/conformance/",
    "tests/faults/",
    "tests/fuzz/",
    "tests/interoperability/",
    "tests/receiver/s3/test_background.py",
    "tests/receiver/s3/test_odd_stores.py",
    "tests/receiver/s3/test_races.py",
    "tests/receiver/s3/test_recent.py",
    "tests/receiver/s3/test_replicas.py",
    "tests/receiver/s3/test_requests.py",
    "tests/receiver/s3/test_uploads.py",
    "tests/receiver/test_attacks.py",
    "tests/receiver/test_defaults.py",
    "tests/receiver/test_pressure.py",
    "tests/receiver/test_races.py",
    "tests/receiver/test_routes.py",
    "tests/receiver/test_wire.py",
    "tests/regressions/test_acceptance.py",
    "tests/regressions/test_closed.py",
    "tests/regressions/test_presets.py",
    "tests/regressions/test_previous_version.py",
    "tests/regressions/test_refusals.py",
    "tests/regressions/test_replicas.py",
    "tests/regressions/test_retry_deadline.py",
    "tests/regressions/test_runs.py",
    "tests/regressions/test_same_identifier.py",
    "tests/regressions/test_sessions.py",
    "tests/regressions/test_skipped.py",
    "tests/regressions/test_statuses.py",
    "tests/regressions/test_tests_that_lie.py",
    "tests/regressions/test_too_many_requests.py",
    "tests/regressions/test_unfinished.py",
    "tests/regressions/test_whole.py",
    "tests/session/test_concurrency.py",
    "tests/session/test_events.py",
    "tests/session/test_held_ends.py",
    "tests/session/test_identity.py",
    "tests/session/test_options.py",
    "tests/session/test_order.py",
    "tests/session/test_parts.py",
    "tests/session/test_probes.py",
    "tests/session/test_processes.py",
    "tests/session/test_progress.py",
    "tests/session/test_runs.py",
    "tests/session/test_size.py",
    "tests/test_examples.py",
    "tests/test_mounting.py",
    "tests/test_names.py",
    "tests/test_pages.py",
    "tests/test_platforms.py",
    "tests/test_troubleshooting.py",
    "tests/testing/test_checks.py",
)
"""Tests that coverage leaves alone, as if they were marked ``unmeasured``: they do much, and what they reach others do,
too. So are tests with parameters, but for the first set of them and the last, unless they are of MEASURED."""

MEASURED = (
    "tests/cli/test_flags.py",
    "tests/cli/test_settings.py",
    "tests/core/",
    "tests/protocol/",
    "tests/receiver/test_form.py",
    "tests/test_options.py",
    "tests/transport/",
)
"""Tests of which coverage measures all sets of parameters, because each reaches something else."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--first-and-last",
        action="store_true",
        help="of each test with parameters, run the first set of them and the last",
    )
    parser.addoption(
        "--slow",
        action="store_true",
        help="run the tests that are marked slow, too, as is done if files, folders or tests are named",
    )
    parser.addoption(
        "--failures",
        metavar="FILE",
        help="if tests fail, and nothing else goes wrong, write which and what they said into this file, as JSON",
    )


def pytest_configure(config: pytest.Config) -> None:
    told = getattr(config, "workerinput", None)  # a worker of pytest-xdist has other names
    named = config.args_source is pytest.Config.ArgsSource.ARGS
    config.option.slow = told["slow"] if told else config.option.slow or named


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist what is not among its arguments."""
    node.workerinput["slow"] = node.config.option.slow


class Scheduling(LoadScopeScheduling):
    """Gives each worker the next test, or the next group of TOGETHER. The largest groups come first."""

    def _split_scope(self, nodeid: str) -> str:
        return next((group for group in TOGETHER if nodeid.startswith(group)), nodeid)

    def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
        """Forget what is complete, which would be counted through again after each test."""
        super().mark_test_complete(node, item_index, duration)
        scope = self._split_scope(self.registered_collections[node][item_index])
        if all(self.assigned_work[node][scope].values()):
            del self.assigned_work[node][scope]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    # The marker xdist_group of pytest-xdist 3.8 does nothing with pytest 9.2.
    return Scheduling(config, log)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Run three times as many tests at once as there are processors, for most of them wait most of the time; with ``-n
    logical`` as many, for those that never wait."""
    processors = os.cpu_count() or 1
    return processors if config.option.numprocesses == "logical" else min(3 * processors, 16)


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None, object, object]:
    """Put the tests in the order that RESUMABLE_SEED asks for, and those that are marked ``timed`` at the end."""
    if seed := os.environ.get("RESUMABLE_SEED"):
        chance = random.Random(seed)
        modules = {item.path: chance.random() for item in items}
        items.sort(key=lambda item: (modules[item.path], chance.random()))
    # Now pytest brings together what shares a fixture, such as a server that takes seconds to start.
    result = yield
    if not config.option.slow:
        keep(config, items, [item for item in items if item.get_closest_marker("slow") is None])
    if config.option.first_and_last:
        keep(config, items, first_and_last(items))
    measured = first_and_last(items)
    for item in items:
        if item.nodeid.startswith(UNMEASURED) or not (item in measured or item.nodeid.startswith(MEASURED)):
            item.add_marker(pytest.mark.unmeasured)
    items.sort(key=is_timed)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Collect without the garbage collector, which would go through thousands of tests, now and while they run.

    Coverage measures what one worker imports meanwhile, for the others import the same.
    """
    first = os.environ.get("PYTEST_XDIST_WORKER", "gw0") == "gw0"
    gc.disable()
    try:
        with nullcontext() if first else unmeasured():
            return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Let coverage measure nothing in the process that hands out tests to workers."""
    with unmeasured() if session.config.getoption("numprocesses", None) else nullcontext():
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run a test in its turn, and let coverage measure of it what its marks say."""
    with ExitStack() as around:
        if fcntl is not None and "PYTEST_XDIST_WORKER" in os.environ:
            around.enter_context(turn(timed=is_timed(item)))
        measured = item.get_closest_marker("unmeasured") is None
        if not measured or item.get_closest_marker("programs") is None:
            around.enter_context(programs_unmeasured())
        if not measured:
            around.enter_context(unmeasured())
        return (yield)


@contextmanager
def turn(*, timed: bool) -> Iterator[None]:
    """Keep tests that are marked ``timed`` from running beside others, in all runs of this copy, but for one of their
    kind: most of them wait, and each one after the other would take twice as long.
    """
    worker = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
    with ExitStack() as opened:
        locks = [os.open(path, os.O_RDONLY) for path in (__file__, os.path.dirname(__file__))]
        for lock in locks:
            opened.callback(os.close, lock)
        for lock in locks[worker % 2 :][:1] if timed else locks:
            fcntl.flock(lock, fcntl.LOCK_EX if timed else fcntl.LOCK_SH)
            # Closing would not do: a child of the test may have the lock, too.
            opened.callback(fcntl.flock, lock, fcntl.LOCK_UN)
        yield


@contextmanager
def programs_unmeasured() -> Iterator[None]:
    """Let coverage measure nothing in programs that are started meanwhile: most take less time than its start."""
    handed_down = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    for name in handed_down:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(handed_down)


@contextmanager
def unmeasured() -> Iterator[None]:
    """Let coverage measure nothing in this process meanwhile."""
    measuring = "coverage" in sys.modules and sys.modules["coverage"].Coverage.current()
    if measuring:
        measuring.stop()
    try:
        yield
    finally:
        if measuring:
            measuring.start()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write down which tests failed, unless that may not be all: a run that was broken off says nothing."""
    path = session.config.getoption("--failures")
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    broken_off = exitstatus != pytest.ExitCode.TESTS_FAILED or session.shouldfail or session.shouldstop
    if path is None or terminal is None or broken_off:
        return
    failed: dict[str, str] = {}
    for report in (*terminal.stats.get("failed", ()), *terminal.stats.get("error", ())):
        failed[report.nodeid] = failed.get(report.nodeid, "") + report.longreprtext + "\n"
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(failed), encoding="utf-8")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests have recorded with ``record_property``, each under its name."""
    for report in (*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")):
        for name, text in report.user_properties:
            terminalreporter.section(name)
            terminalreporter.write_line(text)


def keep(config: pytest.Config, items: list[pytest.Item], kept: Collection[pytest.Item]) -> None:
    """Leave out all items but these, and have pytest count the others."""
    kept = set(kept)
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


def first_and_last(items: list[pytest.Item]) -> set[pytest.Item]:
    """Return the items without those between the first and the last of one test."""
    first, last = {}, {}
    for item in items:
        test = item.nodeid.partition("[")[0]
        first.setdefault(test, item)
        last[test] = item
    return {*first.values(), *last.values()}


def is_timed(item: pytest.Item) -> bool:
    return item.get_closest_marker("timed") is not None


@pytest.fixture
def received(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory into which the receiver of this test puts what has arrived."""
    return tmp_path_factory.mktemp("received")


@pytest.fixture
def receiver_url(received: Path) -> Iterator[str]:
    """The URL of a real receiver on a free port of this machine, which is there for this test alone."""
    from resumable.receiver import Server

    with Server(received) as server:
        yield server.url


@pytest.fixture
def begin() -> Callable[..., None]:
    """``begin(url, source, chunks, **options)`` uploads the first chunks of a file, so many, and no others."""

    def begin(
        url: str,
        source: Any,
        chunks: int,
        *,
        relative_path: str | None = None,
        unique_identifier: str | None = None,
        **options: Any,
    ) -> None:
        def stop(chunk: Any) -> None:
            if chunk.index >= chunks:
                raise InterruptedError

        with Resumable(url, simultaneous_uploads=1, preprocess=stop, auto_upload=False, **options) as session:
            file = session.add_file(source, relative_path=relative_path, unique_identifier=unique_identifier)
            session.join(60, raise_errors=False)
        assert type(file.error) is HookError
        assert file.bytes_confirmed == file.chunks[chunks].start

    return begin


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port at which nobody listens. It stays taken, so that no other test gets it, and yet a server may come up."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@pytest.fixture
def plain_environment() -> dict[str, str]:
    """The environment of programs whose own time or memory counts: coverage, which costs some, leaves them alone."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")},
        "PYTHONPATH": os.pathsep.join(sys.path),
    }


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``run(program, *arguments, **environment)`` runs a program of Python to its end, in ``tmp_path``."""

    def run(program: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", WITH_LOG, str(program), *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
            capture_output=True,
            encoding="utf-8",
            timeout=100,
        )

    return run
