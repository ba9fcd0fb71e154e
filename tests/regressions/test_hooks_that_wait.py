"""A hook that is async, or returns something to wait for, is refused: its text would be sent to the server."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.scripted_server import PATIENCE, ScriptedServer

from resumable import HookError, OptionError, Resumable
from resumable.hooks import HOOKS

Make = Callable[..., Path]


async def coroutine(*arguments: Any) -> str:
    return "later"


def a_coroutine(*arguments: Any) -> Any:
    return coroutine()


def a_future(*arguments: Any) -> Any:
    return Future()


class Awaitable:
    def __await__(self) -> Iterator[Any]:
        yield


def an_awaitable(*arguments: Any) -> Any:
    return Awaitable()


@pytest.mark.parametrize("name", HOOKS)
def test_an_async_hook_is_refused_when_it_is_given(wire: ScriptedServer, name: str) -> None:
    for hook in (coroutine, functools.partial(coroutine)):
        with pytest.raises(OptionError, match=rf"^{name} must be .*not async"):
            Resumable(**{"target": wire.url, name: hook})
    plugin = SimpleNamespace(name="one", attach=lambda session: None, **{name: coroutine})
    with pytest.raises(OptionError, match=rf"not async: {name}.*'one'"):
        Resumable(wire.url, plugins=[plugin])
    assert not wire.requests


def test_update_query_refuses_an_async_hook_too(wire: ScriptedServer) -> None:
    with Resumable(wire.url) as session, pytest.raises(OptionError, match="not async"):
        session.update_query(coroutine)


@pytest.mark.parametrize("hook", [a_coroutine, a_future, an_awaitable])
def test_an_identifier_to_wait_for_is_never_sent(wire: ScriptedServer, make: Make, hook: Any) -> None:
    with Resumable(wire.url, generate_unique_identifier=hook) as session:
        with pytest.raises(HookError, match=r"hook generate_unique_identifier returned .*wait for the result"):
            session.add_file(make())
        assert session.files == []
    assert not wire.requests


@pytest.mark.parametrize(
    "name", ["query", "headers", "preprocess", "preprocess_file", "find_uploaded", "accept_response", "after_file"]
)
def test_a_hook_whose_result_has_to_be_awaited_fails_the_file(wire: ScriptedServer, make: Make, name: str) -> None:
    with Resumable(wire.url, **{name: a_coroutine}) as session:
        file = session.add_file(make())
        session.join(PATIENCE, raise_errors=False)
    assert isinstance(file.error, HookError)
    assert "returned coroutine" in str(file.error)


@pytest.mark.parametrize("made", [b"x", 1.5, None.__class__, True, ["x"]])
def test_an_identifier_that_is_no_text_is_refused(wire: ScriptedServer, make: Make, made: Any) -> None:
    with Resumable(wire.url, generate_unique_identifier=lambda path, relative_path: made) as session:
        with pytest.raises(HookError, match="not a string"):
            session.add_file(make())
        with pytest.raises(TypeError, match="unique_identifier must be a string"):
            session.add_file(make(), unique_identifier=made)
    assert not wire.requests


def test_a_number_is_an_identifier_as_in_javascript(wire: ScriptedServer, make: Make) -> None:
    with Resumable(wire.url, generate_unique_identifier=lambda path, relative_path: 7) as session:
        assert session.add_file(make()).unique_identifier == "7"


def test_a_hook_may_wait_for_a_coroutine_itself(wire: ScriptedServer, make: Make) -> None:
    with Resumable(wire.url, generate_unique_identifier=lambda *_: asyncio.run(coroutine())) as session:
        assert session.add_file(make()).unique_identifier == "later"
