"""Print the processor time of importing the last module named on the command line, once the others are imported."""

from __future__ import annotations

import sys
import time

*others, last = sys.argv[1:]
for name in others:
    __import__(name)
began = time.process_time()
__import__(last)
print(f'{{"seconds": {time.process_time() - began}}}')
