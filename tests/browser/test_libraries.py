"""resumable.js and flow.js in Chromium upload to the receiver, and what arrives is what was sent."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from resumable import Resumable, dialects
from resumable.protocol.plan import ChunkPlan
from resumable.receiver import parameter_names

from .chromium import Chromium
from .material import content, digest, files_below
from .site import Site

HERE = Path(__file__).parent
CHUNK = 64 * 1024
UPLOADS_AT_ONCE = 3  # the default of both libraries, and of ours
NAMES = {"Resumable": None, "Flow": parameter_names(dialects.FLOWJS)}
BOTH = pytest.mark.parametrize("library", NAMES)

Serve = Callable[..., tuple[Site, str]]


class Page:
    """The page with one of the libraries, open in the browser, and the site that it uploads to."""

    def __init__(self, chromium: Chromium, serve: Serve, libraries: Mapping[str, Path], library: str) -> None:
        self.chromium = chromium
        self.library = library
        files = {name: HERE / name for name in ("harness.html", "harness.js")}
        self.files = {**files, "library.js": libraries[library]}
        self.site, self.url = serve(self.files, names=NAMES[library])

    def begin(self, **options: Any) -> None:
        """The page is loaded and the library waits for files."""
        self.chromium.open(f"{self.url}test/harness.html")
        given = {"target": "/", "chunkSize": CHUNK, **options}
        self.chromium.run("harness.begin(...arguments)", self.library, given)

    def upload(self, *paths: Path, **options: Any) -> None:
        """The files have been uploaded, and the library says so."""
        self.begin(**options)
        self.chromium.choose("#files", *paths)
        self.expect(*(path.name for path in paths))

    def expect(self, *names: str) -> None:
        """The library says in the end that these files have been uploaded, and nothing else."""
        assert self.chromium.settled("harness.outcome()") == {"successes": sorted(names), "errors": []}

    def wait(self, successes: int) -> None:
        """As many chunks of the one file have been confirmed to the library, and others wait at the server."""
        self.chromium.until(
            f"harness.uploader.files[0].chunks.filter(chunk => chunk.status() === 'success').length === {successes}"
        )
        self.site.wait(stored=successes, waiting=UPLOADS_AT_ONCE)


@pytest.fixture
def page(chromium: Chromium, serve: Serve, libraries: Mapping[str, Path], library: str) -> Page:
    return Page(chromium, serve, libraries, library)


CASES: Mapping[str, tuple[int, Mapping[str, Any]]] = {
    "one small chunk": (1000, {}),
    "one whole chunk": (CHUNK, {}),
    "a multiple": (4 * CHUNK, {}),
    "no multiple": (4 * CHUNK + 1000, {}),
    "no multiple, forced": (4 * CHUNK + 1000, {"forceChunkSize": True}),
    "octet": (4 * CHUNK + 1000, {"method": "octet"}),
    "octet, forced": (4 * CHUNK + 1000, {"method": "octet", "forceChunkSize": True}),
    "empty": (0, {"minFileSize": 0}),
    "empty, octet": (0, {"minFileSize": 0, "method": "octet"}),
    "without tests": (2 * CHUNK, {"testChunks": False}),
    "by PUT": (2 * CHUNK, {"uploadMethod": "PUT"}),
    "first and last chunk first": (6 * CHUNK, {"prioritizeFirstAndLastChunk": True}),
}


@pytest.mark.parametrize("case", CASES)
@BOTH
def test_a_file_arrives_whole_and_every_chunk_is_sent_once(page: Page, sources: Path, case: str) -> None:
    size, options = CASES[case]
    source = sources / "source.bin"
    source.write_bytes(content(size))
    page.upload(source, **options)
    assert files_below(page.site.root) == {"source.bin": digest(source)}
    count = ChunkPlan(size, CHUNK, options.get("forceChunkSize", False)).count
    assert sorted(page.site.stored) == list(range(1, count + 1))
    assert page.site.uploads == count
    assert page.site.tests == (count if options.get("testChunks", True) else 0)


@pytest.mark.parametrize("library", ["Resumable"])
def test_a_chunk_may_come_as_base64(page: Page, sources: Path) -> None:
    source = sources / "source.bin"
    source.write_bytes(content(3 * CHUNK + 1))
    page.upload(source, chunkFormat="base64")
    assert files_below(page.site.root) == {"source.bin": digest(source)}


@pytest.mark.parametrize("name", ["übung – 日本語 🙂.txt", "50% & more + 'quotes' #1;.txt", "a  b.tar.gz"])
@BOTH
def test_a_file_keeps_its_name(page: Page, sources: Path, name: str) -> None:
    source = sources / name
    source.write_bytes(content(2 * CHUNK))
    page.upload(source)
    assert files_below(page.site.root) == {name: digest(source)}


@BOTH
def test_a_file_that_is_there_is_not_sent_again(page: Page, sources: Path) -> None:
    source = sources / "source.bin"
    source.write_bytes(content(4 * CHUNK))
    page.upload(source)
    page.upload(source)
    assert page.site.uploads == 4
    assert files_below(page.site.root) == {"source.bin": digest(source)}


@pytest.fixture
def folder(sources: Path) -> Path:
    """A directory with files in directories, no two of a size and a name."""
    folder = sources / "folder"
    for number, name in enumerate(("one.bin", "in/two.bin", "in/the deep/drei-ü.bin"), start=1):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(number * CHUNK + number))
    return folder


@pytest.mark.parametrize("how", ["chosen", "dropped"])
@BOTH
def test_a_directory_arrives_with_all_its_files(page: Page, folder: Path, how: str) -> None:
    page.begin()
    if how == "chosen":
        page.chromium.choose("#folder", folder)
    else:
        page.chromium.drop("#drop", folder)
    wanted = {f"folder/{name}": sha256 for name, sha256 in files_below(folder).items()}
    page.expect(*wanted)
    assert files_below(page.site.root) == wanted


@BOTH
def test_an_upload_goes_on_after_a_pause(page: Page, sources: Path) -> None:
    source = sources / "source.bin"
    source.write_bytes(content(8 * CHUNK))
    page.begin()
    page.site.hold(3)
    page.chromium.choose("#files", source)
    page.wait(successes=3)
    page.chromium.run("harness.uploader.pause()")
    page.site.turn_away()
    page.site.let_in()
    page.chromium.run("harness.uploader.resume ? harness.uploader.resume() : harness.uploader.upload()")
    page.expect("source.bin")
    assert page.site.uploads == 8
    assert files_below(page.site.root) == {"source.bin": digest(source)}


@pytest.mark.parametrize("library", ["Resumable"])
def test_a_page_of_another_origin_uploads_where_it_is_allowed(page: Page, serve: Serve, sources: Path) -> None:
    source = sources / "source.bin"
    source.write_bytes(content(3 * CHUNK))
    elsewhere, url = serve(allowed_origins=[page.url.rstrip("/")], token="open-sesame")
    page.upload(source, target=url, headers={"Authorization": "Bearer open-sesame"})
    assert elsewhere.uploads == 3
    assert files_below(elsewhere.root) == {"source.bin": digest(source)}


@pytest.mark.parametrize("library", ["Resumable"])
def test_a_page_of_another_origin_uploads_nothing_where_it_is_not(page: Page, serve: Serve, sources: Path) -> None:
    source = sources / "source.bin"
    source.write_bytes(content(3 * CHUNK))
    elsewhere, url = serve()
    page.begin(target=url, maxChunkRetries=0)
    page.chromium.choose("#files", source)
    assert page.chromium.settled("harness.outcome()") == {"successes": [], "errors": [""]}
    assert elsewhere.stored == []
    assert any("CORS policy" in line for line in page.chromium.console())


PRESETS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "Resumable": ("RESUMABLEJS", dialects.RESUMABLEJS),
    "Flow": ("FLOWJS", dialects.FLOWJS),
}


@BOTH
def test_what_a_browser_began_is_finished_from_python(page: Page, sources: Path) -> None:
    source = sources / "half way ü.bin"
    source.write_bytes(content(10 * CHUNK + 77))
    page.begin()
    page.site.hold(4)
    page.chromium.choose("#files", source)
    page.wait(successes=4)
    page.chromium.close_tab()
    page.chromium.new_tab()
    page.site.turn_away()
    page.site.let_in()
    with Resumable(page.url, chunk_size=CHUNK, **PRESETS[page.library][1]) as session:
        file = session.add_file(source)
    assert file.is_complete()
    assert file.bytes_skipped == 4 * CHUNK
    assert page.site.uploads == 10
    assert sorted(page.site.stored) == list(range(1, 11))
    assert files_below(page.site.root) == {source.name: digest(source)}


CLIENT = """
import sys
from resumable import Resumable, dialects
url, preset, size, path = sys.argv[1:]
with Resumable(url, chunk_size=int(size), **getattr(dialects, preset)) as session:
    session.add_file(path)
"""


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """``start(*arguments)`` starts the client in another process; what still runs at the end is killed."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*arguments: object) -> subprocess.Popen[bytes]:
        running.append(subprocess.Popen([sys.executable, "-c", CLIENT, *map(str, arguments)]))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


@BOTH
def test_what_python_began_is_finished_in_a_browser(
    page: Page, sources: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    source = sources / "half way ü.bin"
    source.write_bytes(content(10 * CHUNK + 77))
    page.site.hold(4)
    process = start(page.url, PRESETS[page.library][0], CHUNK, source)
    page.site.wait(stored=4, waiting=UPLOADS_AT_ONCE)
    process.kill()
    process.wait()
    page.site.turn_away()
    page.site.let_in()
    page.upload(source)
    assert page.site.uploads == 10
    assert sorted(page.site.stored) == list(range(1, 11))
    assert files_below(page.site.root) == {source.name: digest(source)}
