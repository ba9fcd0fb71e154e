"""Everything about this distribution stands in setup.cfg.

Only this does not: with SOURCE_DATE_EPOCH the source archive has the same bytes whenever and whoever builds it.
"""

import gzip
import os
import tarfile
import time

from setuptools import setup
from setuptools.command.sdist import sdist


def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Take from a member of the archive what depends on who builds it, and when."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o755 if member.mode & 0o100 else 0o644
    member.mtime = int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
    return member


class ReproducibleSdist(sdist):
    """Writes the source archive without owners, times and the umask of the machine."""

    def make_archive(self, base_name, format, root_dir=None, base_dir=None, owner=None, group=None):
        """Write the archive, and return its path."""
        if format != "gztar":
            return super().make_archive(base_name, format, root_dir, base_dir, owner, group)
        path = f"{base_name}.tar.gz"
        epoch = int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
        with (
            open(path, "wb") as file,
            gzip.GzipFile("", "wb", mtime=epoch, fileobj=file) as packed,
            tarfile.open(fileobj=packed, mode="w") as archive,
        ):
            archive.add(base_dir, filter=anonymous)
        return path


setup(cmdclass={"sdist": ReproducibleSdist})
