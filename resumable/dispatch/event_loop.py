"""Waiting in an asyncio loop: for the session without a thread, and for what blocks on a thread of its own.

asyncio is imported by those who have a loop, and by nobody else.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from .delivery import Delivery
from .shared_state import SharedState
from .waiter import SLICE, Waiter

if TYPE_CHECKING:
    import asyncio

__all__ = ["LoopWaiter", "in_thread", "uninterrupted"]

T = TypeVar("T")


class _LoopGate:
    """What one task waits for. Any thread may open it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.opened: asyncio.Future[None] = loop.create_future()

    def release(self) -> None:
        """See :class:`Gate`."""
        try:
            self._loop.call_soon_threadsafe(self._open)
        except RuntimeError:
            # The loop is closed: nobody waits any more.
            pass

    def _open(self) -> None:
        if not self.opened.done():
            self.opened.set_result(None)


class LoopWaiter:
    """Waits on behalf of tasks. Called without the lock."""

    def __init__(self, shared: SharedState, delivery: Delivery, waiter: Waiter) -> None:
        self._shared = shared
        self._delivery = delivery
        self._waiter = waiter

    async def wait_for(self, over: Callable[[], bool], *, others: bool) -> None:
        """Wait as :meth:`Waiter.wait_for` does, until the handlers have returned, too, whatever the delivery: no thread
        is kept from calling them."""
        settled = self._waiter.settled(over, others=others)
        await self.wait_until(lambda: settled(self._delivery.alive))

    async def wait_until(self, over: Callable[[], bool]) -> None:
        """Wait until ``over()`` holds. It is called under the lock, when a notice is delivered or something has ended.

        With manual delivery the handlers run here.
        """
        import asyncio

        loop = asyncio.get_running_loop()
        shared, delivery = self._shared, self._delivery
        seconds = SLICE if delivery.polled else None
        while True:
            if delivery.polled:
                delivery.drain()
            with shared.lock:
                if over():
                    return
                gate = _LoopGate(loop)
                shared.waiters.add(gate)
            try:
                await asyncio.wait([gate.opened], timeout=seconds)
            finally:
                with shared.lock:
                    shared.waiters.discard(gate)


def in_thread(call: Callable[[], T]) -> asyncio.Future[T]:
    """Run the call on a thread of its own, and return the future of what it returns or raises.

    The threads of the loop's executor may all be taken by what the program waits for. Without any thread left, the call
    runs here.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def finish(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)  # type: ignore[arg-type]
        else:
            future.set_exception(error)

    def run() -> None:
        result: T | None = None
        raised: BaseException | None = None
        try:
            result = context.run(call)
        except BaseException as error:
            raised = error
        try:
            loop.call_soon_threadsafe(finish, result, raised)
        except RuntimeError:
            # The loop was closed meanwhile: nobody waits any more.
            pass

    try:
        threading.Thread(target=run, name="resumable-call", daemon=True).start()
    except RuntimeError:
        run()
    return future


async def uninterrupted(call: Callable[[], Any]) -> None:
    """Run the call on a thread of its own, and return once it has, even if the task is cancelled: that is raised
    afterwards."""
    import asyncio

    future = in_thread(call)
    cancelled = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancelled = error
    failure = future.exception()
    if cancelled is not None:
        raise cancelled
    if failure is not None:
        raise failure
