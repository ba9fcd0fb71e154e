"""The limits of uploads, which are checked before anything is created or looked up."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import OptionError
from ..protocol.headers import LIMIT_HEADER
from ..protocol.plan import ChunkPlan
from .messages import Refusal

__all__ = ["UploadLimits"]


@dataclass(frozen=True)
class UploadLimits:
    """What an upload may be like, and how many requests at once one client is asked to send at most.

    Sizes are in bytes; a file that is a single chunk may be smaller than ``min_chunk_size``. Raises
    :class:`~resumable.errors.OptionError` if a limit is less than 1.
    """

    max_total_size: int
    max_chunks: int
    min_chunk_size: int
    max_uploads: int = 16

    def __post_init__(self) -> None:
        for option, value in vars(self).items():
            if value < 1:
                raise OptionError(option, value, "at least 1")

    def check_size(self, size: int) -> None:
        """Raise :class:`Refusal` (413) if the file is too large."""
        if size > self.max_total_size:
            sentence = (
                f"The file has {size} bytes, and this server takes at most {self.max_total_size} (max_total_size)."
            )
            raise Refusal(413, sentence, (LIMIT_HEADER, "file"))

    def check_cut(self, plan: ChunkPlan) -> None:
        """Raise :class:`Refusal` if the file is cut into too many chunks (413), or into too small ones (400)."""
        if plan.count > self.max_chunks:
            sentence = (
                f"The file has {plan.count} chunks, and this server takes at most {self.max_chunks} (max_chunks): use "
                f"a chunk size of at least {-(-plan.size // self.max_chunks)} bytes."
            )
            raise Refusal(413, sentence, (LIMIT_HEADER, "chunks"))
        if plan.chunk_size < self.min_chunk_size and plan.count > 1:
            least = self.min_chunk_size
            raise Refusal(
                400,
                f"The chunk size is {plan.chunk_size} bytes, and this server takes no chunks below {least} "
                f"(min_chunk_size): use a chunk size of at least {least} bytes.",
            )
