"""Uploads files, and says what became of each: python examples/simple.py URL FILE…"""

from __future__ import annotations

import sys

from resumable import UploadFailed, upload


def main(url: str, *paths: str) -> int:
    try:
        result = upload(paths, url)
    except UploadFailed as failure:
        result = failure.result
    for file in result.succeeded:
        print(f"{file.relative_path}: {file.size} bytes, {file.bytes_skipped} of them were there already")
    for error in result.errors:
        print(error, file=sys.stderr)
    return 1 if result.errors else 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
