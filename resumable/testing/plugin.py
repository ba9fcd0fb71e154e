"""The plugin of pytest: the fixture ``resumable_receiver``, and the checks as tests with ``--resumable-url``.

pytest loads this module in every project on a machine that has this package, so it imports nothing but pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .receiver import LiveReceiver

__all__ = ["pytest_addoption", "pytest_collection_modifyitems", "pytest_configure", "resumable_receiver"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that begin with ``--resumable``."""
    group = parser.getgroup("resumable", "checks of a server for resumable uploads")
    group.addoption("--resumable-url", metavar="URL", help="also check the server that takes uploads at this URL")
    group.addoption(
        "--resumable-files", metavar="DIRECTORY", help="where that server puts finished files, to compare their bytes"
    )
    group.addoption(
        "--resumable-header",
        metavar="HEADER",
        action="append",
        default=[],
        help="a header of all requests to it, as 'Name: value'",
    )
    group.addoption("--resumable-dialect", choices=["resumablejs", "flowjs"], help="whose parameters it reads")
    group.addoption(
        "--resumable-strict", action="store_true", help="fail if it does not do what it should, and not only must, do"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Name the marks. If there is a server to check, raises UsageError if it does not answer.

    That is now, and not when tests are collected: pytest-xdist collects in its workers, and cannot say why they failed.
    """
    config.addinivalue_line("markers", "resumable_receiver(**options): the options of the Receiver of the fixture")
    config.addinivalue_line("markers", "resumable_conformance: a check of the server at --resumable-url")
    if config.getoption("--resumable-url"):
        from .items import prepare_checks

        prepare_checks(config)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the checks, if there is a server to check."""
    if config.getoption("--resumable-url"):
        from .items import checks_as_items

        items.extend(checks_as_items(session))


@pytest.fixture
def resumable_receiver(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveReceiver]:
    """Run a receiver for this test on a free port of this machine. It has faults if it is asked for them."""
    mark = request.node.get_closest_marker("resumable_receiver")
    try:
        from .receiver import LiveReceiver

        receiver = LiveReceiver(tmp_path_factory.mktemp("resumable"), **(mark.kwargs if mark else {})).start()
    except ImportError as error:
        pytest.skip(str(error))
    yield receiver
    receiver.stop()
