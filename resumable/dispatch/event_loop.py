"""The asyncio loop of a thread, and waiting in it for a session, without a thread of its own.

asyncio is imported by those who have a loop, and by nobody else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .delivery import Delivery
from .shared_state import SharedState
from .waiter import SLICE, Waiter

if TYPE_CHECKING:
    import asyncio

__all__ = ["LoopWaiter", "running_loop"]


def running_loop() -> Any:
    """Return the asyncio loop that runs on this thread, or None. Imports nothing: who has a loop has imported it."""
    events = sys.modules.get("asyncio.events")
    find = getattr(events, "_get_running_loop", None)
    return None if find is None else find()


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
