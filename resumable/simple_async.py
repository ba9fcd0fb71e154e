"""An upload in one call, for programs with an asyncio loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from .dispatch.blocking_calls import in_thread

if TYPE_CHECKING:
    from types import ModuleType

    from typing_extensions import Unpack

    from .adapters.callback import OnProgress
    from .hooks import Plugin
    from .result import Result
    from .static_types import UploadOptions

__all__ = ["upload_async"]


async def upload_async(
    source: Any,
    target: str | Callable[[list[str]], str],
    *,
    relative_path: str | PurePath | None = None,
    shard: tuple[int, int] | None = None,
    progress: bool | Plugin = False,
    on_progress: OnProgress | None = None,
    **options: Unpack[UploadOptions],
) -> Result:
    """Upload as :func:`upload` does, without blocking the asyncio loop. Cancelling the task cancels the upload."""
    # The first call imports the package, which would block the loop for longer than anything else.
    simple: Any = await in_thread(_simple)
    async with simple.make_session(target, options, progress, on_progress) as session:
        await in_thread(partial(simple.add, session, source, relative_path, shard, None))
        result: Result = await session.wait()
        return result


def _simple() -> ModuleType:
    from . import simple

    return simple
