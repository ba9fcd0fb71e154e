"""Uploads in an asyncio program, and says how far it is: python examples/asyncio_upload.py URL FILE…

Ctrl-C cancels the upload; started again, the program sends what is missing.
"""

from __future__ import annotations

import asyncio
import sys

from resumable import Resumable, UploadFailed


async def main(url: str, *paths: str) -> int:
    try:
        async with Resumable(url) as session:
            await session.add_files_async(paths)
            async for event in session.events():
                if event.name == "progress":
                    print(f"{session.progress():.0%}")
                elif event.name == "file_success" and event.file is not None:
                    print(f"{event.file.relative_path}: uploaded")
    except UploadFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(asyncio.run(main(*sys.argv[1:])))
