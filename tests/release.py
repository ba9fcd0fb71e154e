"""What a release has to pass, by ``make release-check``; it needs the network to install what it checks with.

Two builds have the same bytes; what the index would show is well formed; the source archive, installed where nothing
else is, passes its tests. RESUMABLE_RELEASE_TESTS names other tests than the quick ones, and "tests" all.
The archives that passed are in ``dist``.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
QUICK = "tests/core tests/protocol tests/test_errors.py tests/test_names.py tests/test_packaging.py"
CLASSIFIERS = (
    "import configparser, trove_classifiers as known;"
    "config = configparser.ConfigParser(); config.read('setup.cfg', encoding='utf-8');"
    "wrong = set(config['metadata']['classifiers'].split('\\n')) - {''} - known.classifiers;"
    "assert not wrong, wrong"
)


def run(*command: object, cwd: Path, **environment: str) -> None:
    """Run a command, which is shown, and end if it fails."""
    print("$", *command, flush=True)
    subprocess.run([str(part) for part in command], cwd=cwd, check=True, env={**os.environ, **environment})


def copied(folder: Path) -> Path:
    """Return a fresh copy of the project."""
    ignored = shutil.ignore_patterns(".?*", "*.egg-info", "__pycache__", "build", "dist", "_build", "htmlcov")
    # Not with the times of the files, for those of another clone are different.
    return Path(shutil.copytree(ROOT, folder, ignore=ignored, copy_function=shutil.copy))


def environment(folder: Path, *wanted: object) -> Path:
    """Return the folder of the programs of a new virtual environment that has what is wanted."""
    run(sys.executable, "-m", "venv", folder, cwd=ROOT)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    run(programs / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", *wanted, cwd=ROOT)
    return programs


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="resumable-release-") as name:
        folder = Path(name)
        tools = environment(folder / "tools", "build", "twine", "trove-classifiers")
        epoch = os.environ.get("SOURCE_DATE_EPOCH", str(int((ROOT / "CHANGES.rst").stat().st_mtime)))
        for number in ("1", "2"):
            tree = copied(folder / number)
            run(
                tools / "python",
                "-m",
                "build",
                "--outdir",
                folder / f"dist-{number}",
                cwd=tree,
                SOURCE_DATE_EPOCH=epoch,
            )
        built = sorted(path.name for path in (folder / "dist-1").iterdir())
        _, different, missing = filecmp.cmpfiles(folder / "dist-1", folder / "dist-2", built, shallow=False)
        if different or missing:
            sys.exit(f"two builds differ: {', '.join(different + missing)}")
        archives = [folder / "dist-1" / name for name in built]
        run(tools / "twine", "check", "--strict", *archives, cwd=ROOT)
        run(tools / "python", "-c", CLASSIFIERS, cwd=ROOT)

        (source,) = (path for path in archives if path.name.endswith(".tar.gz"))
        clean = environment(folder / "clean", f"resumable[test] @ {source.as_uri()}")
        with tarfile.open(source) as archive:
            archive.extractall(folder / "source")
        (unpacked,) = (folder / "source").iterdir()
        tests = os.environ.get("RESUMABLE_RELEASE_TESTS", QUICK).split()
        # Not python -m pytest, which would import what is unpacked here instead of what is installed.
        run(clean / "pytest", "-q", "-n", "auto", *tests, cwd=unpacked)
        run(clean / "resumable", "--version", cwd=folder)

        shutil.rmtree(ROOT / "dist", ignore_errors=True)
        shutil.copytree(folder / "dist-1", ROOT / "dist")
        print("passed:", *built)
        if "example.org" in (ROOT / "setup.cfg").read_text(encoding="utf-8"):
            print("project_urls of setup.cfg are placeholders still")
            if ".dev" not in source.name:
                sys.exit("a final version needs real ones")


if __name__ == "__main__":
    main()
