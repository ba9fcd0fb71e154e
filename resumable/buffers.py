"""Memory to read or receive into, used again and again: fresh memory each time would cost more than that."""

from __future__ import annotations

import mmap
import sys

__all__ = ["new_buffer"]

if sys.platform == "win32":

    def new_buffer(size: int) -> memoryview:
        """Return a buffer of so many bytes, at least 1."""
        return memoryview(mmap.mmap(-1, size))

else:

    def new_buffer(size: int) -> memoryview:
        """Return a buffer of so many bytes, at least 1, which takes no memory until it is written to.

        It begins with a page, as what the system copies into it mostly does. Where memory begins up to 31 bytes behind
        that, as that of a bytearray does, some processors (AMD's) take three to five times as long to copy.
        """
        return memoryview(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE))
