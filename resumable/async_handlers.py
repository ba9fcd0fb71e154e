"""Async handlers: tasks in an asyncio loop, which handlers of other kinds do not wait for.

asyncio is imported by those who have a loop, and by nobody else.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .errors import OptionError
from .subscription import name_of

if TYPE_CHECKING:
    import asyncio

__all__ = ["AsyncHandlers", "LoopClosed"]

logger = logging.getLogger("resumable")


class LoopClosed(RuntimeError):
    """The loop is closed, so that it calls no handler."""


class AsyncHandlers:
    """The async handlers of one session. They run on ``loop``, or the one that ``find_loop()`` returns.

    There, ``failed(event, handler, error)`` is called when one has raised, and ``returned()`` when one is over.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None,
        find_loop: Callable[[], asyncio.AbstractEventLoop | None],
        *,
        failed: Callable[[str, Any, BaseException], None],
        returned: Callable[[], None],
    ) -> None:
        self._find_loop = find_loop
        self._loop = loop or find_loop()
        self._failed = failed
        self._returned = returned
        self._scheduled: set[Any] = set()
        self._tasks: set[Any] = set()
        self._warned = False

    def check(self, handler: Any) -> None:
        """Raise OptionError for an ``async def`` without a loop: without one that was given, that which runs on this
        thread is taken."""
        if self._loop is None:
            self._loop = self._find_loop()
        if inspect.iscoroutinefunction(handler) and self._loop is None:
            raise _no_loop(handler)

    def schedule(self, event: str, handler: Any, awaitable: Any) -> None:
        """Let the loop await what the handler of the event has returned. Raises OptionError without a loop.

        Raises LoopClosed if the loop is closed, which is logged here, once.
        """

        async def run() -> None:
            task = asyncio.current_task()
            self._tasks.add(task)
            try:
                await awaitable
            finally:
                self._tasks.discard(task)

        waiting = run()
        try:
            if self._loop is None:
                raise _no_loop(handler)
            import asyncio

            if self._is_over():
                self._warn_once()
                raise LoopClosed("Event loop is closed")
            future = asyncio.run_coroutine_threadsafe(waiting, self._loop)
            self._scheduled.add(future)
        except BaseException:
            _close(waiting, awaitable)
            raise

        def ended(done: Any) -> None:
            self._scheduled.discard(done)
            if not done.cancelled() and (error := done.exception()) is not None:
                self._failed(event, handler, error)
            self._returned()

        future.add_done_callback(ended)

    def running(self) -> bool:
        """Return whether one is not over yet."""
        return bool(self._scheduled) and not self._is_over()

    def _is_over(self) -> bool:
        """Return whether the loop is closed, so that nothing in it ever ends."""
        return self._loop is not None and self._loop.is_closed()

    def _warn_once(self) -> None:
        if not self._warned:
            self._warned = True
            logger.warning(
                "the event loop is closed, so async handlers are not called any more; close the session first"
            )

    async def wait(self) -> bool:
        """Wait until every one is over, and return whether there were any. One of them does not wait here, not even for
        others: they may wait, too."""
        if not self.running():
            return False
        import asyncio

        if asyncio.current_task() in self._tasks:
            return False
        loop = asyncio.get_running_loop()
        for future in list(self._scheduled):
            over = asyncio.Event()
            future.add_done_callback(lambda _, over=over: loop.call_soon_threadsafe(over.set))
            await over.wait()
        return True


def _close(*awaitables: Any) -> None:
    for awaitable in awaitables:
        if inspect.iscoroutine(awaitable):
            awaitable.close()


def _no_loop(handler: Any) -> OptionError:
    how = f"because {name_of(handler)} is async: make the session in a running loop, or pass loop= to Resumable()"
    return OptionError("loop", None, f"the asyncio event loop that runs async handlers, {how}")
