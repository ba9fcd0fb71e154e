"""An upload in one call, for programs with an asyncio loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from .dispatch.blocking_calls import in_thread

if TYPE_CHECKING:
    from types import ModuleType

    from typing_extensions import Unpack

    from .adapters.callback import OnProgress
    from .hooks import Plugin
    from .session import Result
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
    result: Result = await simple.upload_in_loop(
        source,
        target,
        relative_path=relative_path,
        shard=shard,
        progress=progress,
        on_progress=on_progress,
        options=options,
    )
    return result


def _simple() -> ModuleType:
    from . import simple

    return simple
