"""``python -m tests.conformance [FOLDER ...]``: the recordings of the tests, or those in other folders."""

from __future__ import annotations

import sys

from .suite import main

sys.exit(main(sys.argv[1:]))
