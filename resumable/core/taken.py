"""What is kept of a file that the server has, while its hook ``after_file`` is still to run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["Taken"]


class Taken(NamedTuple):
    """What the server said when it had the file, as the file has it while the hook runs, however often that is."""

    message: str | None
    result: Mapping[str, Any] | None
    response: Any
