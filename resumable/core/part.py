"""The bookkeeping of one part of a file. All other chunks are left to others, who send them at the same time.

Only the chunks of the part have positions, so the file is complete when these are stored. Whether the server has the
whole file then is told by its last answer; either way the part has succeeded.

Nobody knows which part sends its first chunk first, and which its last one last. So the server has to say that it takes
chunks in any order before it gets one, unless the user said so. It is asked for that once, as for a confirmation.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..protocol.part import PartOrder
from ..protocol.plan import ChunkOrder, ChunkPlan
from .file import FileCore

__all__ = ["PartCore", "make_file_core"]


class PartCore(FileCore):
    """One part of a file. Owned by :class:`SessionCore`, which alone calls it."""

    partial = True
    """The part has succeeded if its own chunks are stored. The server may put the file together on each of them."""

    __slots__ = ()

    @property
    def size(self) -> int:
        """The bytes of the part."""
        return self._bytes_in(0, self.length)

    @property
    def unfinished(self) -> bool:
        """Whether the server ought to have the file by now: it need not, as chunks of others may be missing."""
        return False

    @property
    def confirms_first(self) -> bool:
        """Whether the server is to be asked something before it gets a chunk."""
        return self.order.mode != "free" or super().confirms_first

    def keep(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Forget all chunks but those at these ranges of indexes, once: the second time all are stored."""
        if not self.asked:
            self.asked = True
            self._keep([span for start, stop in ranges for span in self.order.positions(start, stop)])

    def _split(self, plan: ChunkPlan, order: ChunkOrder) -> None:
        super()._split(plan, order)
        if not self.length:
            # There is nothing to lease but the preparation, which ends it.
            self.prepared = False


def make_file_core(key: int, plan: ChunkPlan, order: ChunkOrder, *, prepared: bool, name: str) -> FileCore:
    """Return the bookkeeping of a file, or of the part of it that the order is of."""
    kind = PartCore if isinstance(order, PartOrder) else FileCore
    return kind(key, plan, order, prepared=prepared, name=name)
