"""Everything at once: a receiver, a big file, a directory, a line that breaks, and a second run.

Run it with ``make demo``, ``resumable demo`` or ``python examples/demo.py``. It takes a few seconds, listens on the
loopback address only, and leaves nothing behind.
"""

from __future__ import annotations

import sys

from resumable.cli.demonstration import demonstrate
from resumable.cli.params.stdio import guard_streams

if __name__ == "__main__":
    sys.exit(guard_streams(demonstrate, own=True))
