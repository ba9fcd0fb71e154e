"""A plugin that keeps the checksums of what was uploaded, as sha256sum writes and checks them."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping

from resumable import Resumable, ResumableChunk, ResumableFile

__all__ = ["Sums"]


class Sums:
    """Appends the SHA-256 of each uploaded file to SHA256SUMS, and tells the server who uploads.

    Files have a SHA-256 with the option file_checksum (--file-checksum). The variable SHA256SUMS names another list.
    """

    name = "sums"

    def __init__(self) -> None:
        self.path = os.environ.get("SHA256SUMS", "SHA256SUMS")

    def attach(self, session: Resumable) -> None:
        """Signals observe: this is called for each session, before anything is added to it."""
        session.on("file_success", self.keep)

    def keep(self, file: ResumableFile) -> None:
        """Write a line. Handlers of a session run one after the other."""
        if file.sha256 is not None:
            with open(self.path, "a", encoding="utf-8") as sums:
                print(f"{file.sha256}  {file.relative_path}", file=sums)

    def query(self, file: ResumableFile, chunk: ResumableChunk) -> Mapping[str, str]:
        """Hooks decide: what this returns is sent with every request."""
        return {"uploader": getpass.getuser()}
