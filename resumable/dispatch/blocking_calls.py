"""Waiting in an asyncio loop for what blocks, on a thread of its own.

Nothing of the package is imported here, because importing it is one of the things that block.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncio

__all__ = ["in_thread", "uninterrupted"]

T = TypeVar("T")


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
