"""The plugin of pytest: it costs nothing, gives a receiver to tests, and makes tests of the checks."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from support.certificates import server_context
from support.mutants import MUTATIONS, RightServer
from support.scripted_server import ScriptedServer

from resumable.receiver import FileStore, Receiver, Server
from resumable.testing import CHECKS, Severity

pytestmark = pytest.mark.slow

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
MUST = [check for check in CHECKS if check.severity is Severity.MUST]


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """pytest within pytest, with this plugin and none of the others that are installed here."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p resumable.testing.plugin")
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    return pytester


def test_the_plugin_is_an_entry_point() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    assert config["options.entry_points"]["pytest11"].strip() == "resumable = resumable.testing.plugin"


def test_loading_the_plugin_imports_nothing_but_pytest() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules); import resumable.testing.plugin;"
        "print(*sorted(set(sys.modules) - before))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    assert loaded.split() == ["resumable", "resumable.testing", "resumable.testing.plugin"]


def test_a_test_run_that_does_not_use_it_loads_nothing_more(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_nothing(): pass")
    pytester.makeconftest(
        "import sys\n"
        "def pytest_unconfigure(config):\n"
        "    print('loaded:', *sorted(name for name in sys.modules if name.startswith(('resumable', 'requests'))))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s"],
        capture_output=True,
        text=True,
        cwd=pytester.path,
    )
    assert "1 passed" in ran.stdout
    assert ran.stdout.split("loaded: ")[1].split() == ["resumable", "resumable.testing", "resumable.testing.plugin"]


def test_the_fixture_is_a_receiver_of_the_test_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest, resumable
        from resumable import dialects

        @pytest.mark.parametrize("name", ["a.txt", "b.txt"])
        def test_upload(resumable_receiver, name):
            with resumable.Resumable(resumable_receiver.url) as session:
                session.add_file(b"some bytes", relative_path=name)
            assert resumable_receiver.files == {name: b"some bytes"}

        @pytest.mark.resumable_receiver(dialect="flowjs")
        def test_dialect(resumable_receiver):
            with resumable.Resumable(resumable_receiver.url, **dialects.FLOWJS) as session:
                session.add_file(b"some bytes", relative_path="a.txt")
            assert list(resumable_receiver.files) == ["a.txt"]
        """
    )
    pytester.runpytest("--strict-markers").assert_outcomes(passed=3)


@pytest.mark.once
@pytest.mark.unmeasured
def test_what_the_documentation_shows_passes(pytester: pytest.Pytester) -> None:
    page = (ROOT / "docs" / "how-to" / "testing.rst").read_text(encoding="utf-8")
    shown = re.findall(r"^\.\. code-block:: python\n\n((?:    .*\n|\n)+)", page, re.MULTILINE)
    for number, block in enumerate(shown):
        (pytester.path / f"test_{number}.py").write_text(textwrap.dedent(block), encoding="utf-8")
    pytester.runpytest("--strict-markers").assert_outcomes(passed=len(CHECKS) + 2)


@pytest.mark.parametrize("module", ["fcntl", "cheroot", "multipart"])
def test_the_fixture_skips_with_a_reason_if_the_receiver_cannot_run(pytester: pytest.Pytester, module: str) -> None:
    pytester.makeconftest(f"import sys\nsys.modules[{module!r}] = None\n")
    pytester.makepyfile("def test_upload(resumable_receiver): pass")
    ran = pytester.runpytest_subprocess("-rs")
    ran.assert_outcomes(skipped=1)
    ran.stdout.fnmatch_lines([f"SKIPPED*{module}*"])


@pytest.fixture
def right(received: Path) -> Iterator[str]:
    with ScriptedServer(otherwise=RightServer(received)) as server:
        yield server.url


@pytest.mark.unmeasured
def test_the_checks_are_tests_beside_those_of_the_project(
    pytester: pytest.Pytester, right: str, received: Path
) -> None:
    pytester.makepyfile("def test_nothing(): pass")
    ran = pytester.runpytest("--resumable-url", right, "--resumable-files", str(received))
    ran.assert_outcomes(passed=len(CHECKS) + 1)


def test_checks_are_selected_as_tests_are(pytester: pytest.Pytester, right: str) -> None:
    pytester.makepyfile("def test_nothing(): pass")
    pytester.runpytest("--resumable-url", right, "-k", "small-file or tiny").assert_outcomes(
        passed=2, deselected=len(CHECKS) - 1
    )
    pytester.runpytest("--resumable-url", right, "-m", "not resumable_conformance").assert_outcomes(
        passed=1, deselected=len(CHECKS)
    )


def test_a_check_that_fails_says_what_the_server_needs(pytester: pytest.Pytester, received: Path) -> None:
    server = MUTATIONS["long-last-chunk"](received)
    with ScriptedServer(otherwise=server) as server.server:
        ran = pytester.runpytest("--resumable-url", server.server.url, "-k", "long-last-chunk or chunks-in-order")
    ran.assert_outcomes(passed=1, failed=1, deselected=len(CHECKS) - 2)
    (check,) = (check for check in CHECKS if check.name == "long-last-chunk")
    ran.stdout.fnmatch_lines([f"*{check.sentence}*", "*POST of chunk 3 of 3*413*", f"*{check.needs}*"])
    ran.stdout.no_fnmatch_line("*Traceback*")


def test_what_a_server_should_do_fails_only_if_strict(pytester: pytest.Pytester, received: Path) -> None:
    server = MUTATIONS["no-number"](received)
    with ScriptedServer(otherwise=server) as server.server:
        wanted = "--resumable-url", server.server.url, "-k", "no-number"
        pytester.runpytest(*wanted).assert_outcomes(xfailed=1, deselected=len(CHECKS) - 1)
        pytester.runpytest(*wanted, "--resumable-strict").assert_outcomes(failed=1, deselected=len(CHECKS) - 1)


def test_what_says_nothing_is_skipped(pytester: pytest.Pytester, received: Path) -> None:
    server = MUTATIONS["chunks-in-order"](received)
    with ScriptedServer(otherwise=server) as server.server:
        ran = pytester.runpytest("--resumable-url", server.server.url, "-k", "chunks-in-order or backwards", "-rs")
    ran.assert_outcomes(failed=1, skipped=1, deselected=len(CHECKS) - 2)


def test_headers_and_dialect_are_those_that_the_server_wants(pytester: pytest.Pytester, received: Path) -> None:
    receiver = Receiver(FileStore(received, fsync="never"), dialect="flowjs", token="s3cret")
    with Server(receiver) as server:
        wanted = "--resumable-url", server.url, "--resumable-dialect", "flowjs", "-k", "small-file"
        pytester.runpytest(*wanted, "--resumable-header", "Authorization: Bearer s3cret").assert_outcomes(
            passed=1, deselected=len(CHECKS) - 1
        )
        refused = pytester.runpytest(*wanted)
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(["*--resumable-url: * 401 *"])


def test_a_server_that_is_not_there_is_one_line(pytester: pytest.Pytester, silent_port: int) -> None:
    url = f"http://127.0.0.1:{silent_port}/"
    for workers in ((), ("-p", "xdist.plugin", "-n", "2")):
        ran = pytester.runpytest("--resumable-url", url, *workers)
        assert ran.ret == pytest.ExitCode.USAGE_ERROR
        ran.stderr.fnmatch_lines(["ERROR: --resumable-url: *"])
    assert pytester.runpytest("--resumable-url", url, "--collect-only", "-q").ret == 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("--resumable-url", "127.0.0.1/upload"), "*must be an http:// or https:// URL, got '127.0.0.1/upload'"),
        (("--resumable-url", "http://127.0.0.1/", "--resumable-files", "nowhere"), "*there is no directory 'nowhere'"),
    ],
)
def test_options_that_make_no_sense_are_one_line(pytester: pytest.Pytester, wrong: tuple[str, ...], said: str) -> None:
    ran = pytester.runpytest(*wrong)
    assert ran.ret == pytest.ExitCode.USAGE_ERROR
    ran.stderr.fnmatch_lines([f"ERROR: --resumable-{said}"])


def test_a_certificate_that_is_not_trusted_can_be(pytester: pytest.Pytester, received: Path, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with ScriptedServer(otherwise=RightServer(received), context=server_context(authority)) as server:
        ran = pytester.runpytest("--resumable-url", server.url)
    assert ran.ret == pytest.ExitCode.USAGE_ERROR
    ran.stderr.fnmatch_lines(["*REQUESTS_CA_BUNDLE*"])
