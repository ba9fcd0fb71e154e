"""The checks of a server as tests of pytest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ..errors import OptionError
from ..protocol import dialects
from .checks import CHECKS, Check, CheckFailed, Severity
from .runner import CheckOutcome, NotAdmitted, Runner, Unreachable, is_untrusted
from .target import Target

__all__ = ["CheckItem", "checks_as_items", "prepare_checks"]


class CheckItem(pytest.Item):
    """A test that makes one check. One of what a server should do is expected to fail if it does, unless strict."""

    def __init__(self, *, check: Check, runner: Runner, strict: bool, **settings: Any) -> None:
        super().__init__(**settings)
        self._check = check
        self._runner = runner
        self._strict = strict
        self.add_marker("resumable_conformance")

    def runtest(self) -> None:
        """Make the check. Raises CheckFailed."""
        result = self._runner.run(self._check)
        if result.outcome is CheckOutcome.SKIPPED:
            pytest.skip(result.reason)
        if result.outcome is CheckOutcome.FAILED:
            if self._check.severity is Severity.SHOULD and not self._strict:
                pytest.xfail(f"should: {result.reason}")
            raise CheckFailed(result.reason)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Say what the server did, and what it would need."""
        if not isinstance(excinfo.value, CheckFailed):
            return super().repr_failure(excinfo, style)
        check = self._check
        return f"{check.sentence}\n{excinfo.value}\nThe server {check.severity.value} do this: {check.needs}"

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Return where this test is, which is nowhere, and its name."""
        return self.config.rootpath, None, f"resumable: {self.name}"


_RUNNER = pytest.StashKey[Runner]()


def prepare_checks(config: pytest.Config) -> None:
    """Ask the server that the options name whether it is there. Raises UsageError if it does not answer."""
    options = dialects.FLOWJS if config.getoption("--resumable-dialect") == "flowjs" else {}
    files = config.getoption("--resumable-files")
    if files is not None and not Path(files).is_dir():
        raise pytest.UsageError(f"--resumable-files: there is no directory {files!r}")
    try:
        target = Target(
            config.getoption("--resumable-url"),
            files=files,
            headers=dict(map(_header, config.getoption("--resumable-header"))),
            **options,
        )
        runner = Runner(target)
        if not config.option.collectonly:
            runner.greet()
    except (NotAdmitted, OptionError, Unreachable, ValueError) as error:
        advice = "; REQUESTS_CA_BUNDLE names the file of those to trust" if is_untrusted(error) else ""
        raise pytest.UsageError(f"--resumable-url: {error}{advice}") from None
    config.add_cleanup(target.close)
    config.stash[_RUNNER] = runner


def checks_as_items(session: pytest.Session) -> list[CheckItem]:
    """Return a test for each check of the server that was prepared."""
    config = session.config
    runner = config.stash[_RUNNER]
    strict = config.getoption("--resumable-strict")
    return [
        CheckItem.from_parent(
            session, name=check.name, nodeid=f"resumable::{check.name}", check=check, runner=runner, strict=strict
        )
        for check in CHECKS
    ]


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise ValueError("write a header as 'Name: value'")
    return name.strip(), value.strip()
