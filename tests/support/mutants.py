"""A small server of the protocol that does everything right, and one for each way to do one thing wrong.

``MUTATIONS`` has, by the name of a check, the server that fails it. Each differs from the right one in a line or two.
"""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .scripted_server import PATIENCE, Answer, Request, ScriptedServer

__all__ = ["MUTATIONS", "Racing", "RightServer"]

MISSING = 204


class Refused(Exception):
    """Becomes an answer: the status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.answer = (status, sentence)


@dataclass
class Chunk:
    """What a request says about its chunk."""

    number: int
    chunk_size: int
    size: int
    total: int
    identifier: str
    name: str
    path: str
    count: int

    @property
    def facts(self) -> tuple[int, int]:
        """What all chunks of a file agree on."""
        return self.total, self.count


@dataclass
class Upload:
    """The chunks of a file that is not finished."""

    facts: tuple[int, int]
    chunks: dict[int, bytes] = field(default_factory=dict)


class RightServer:
    """The server: a step of a ScriptedServer. Files are put into ``root`` when all of their chunks are there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.server: ScriptedServer
        self.lock = threading.RLock()
        self.uploads: dict[str, Upload] = {}
        self.finished: set[str] = set()

    def __call__(self, request: Request) -> Answer:
        """Answer a request. A body that breaks off raises, and closes the connection."""
        self.read(request)
        with self.lock:
            try:
                if request.method == "GET":
                    return self.test(self.chunk(request.parameters))
                return self.upload(request)
            except Refused as refused:
                return refused.answer

    def read(self, request: Request) -> None:
        """Read the body."""
        request.read()

    # -- what a request says ---------------------------------------------------------------------------------------

    def chunk(self, said: Mapping[str, str]) -> Chunk:
        """Read the parameters."""
        try:
            numbers = [self.number(said[f"resumable{name}"]) for name in NUMBERS]
            texts = [said[f"resumable{name}"] for name in TEXTS]
        except (KeyError, ValueError) as error:
            raise Refused(400, f"wrong: {error}") from None
        return Chunk(*numbers[:4], *texts, numbers[4])

    def number(self, text: str) -> int:
        """Read a number."""
        return int(text)

    def said(self, request: Request) -> Mapping[str, str]:
        """The parameters of an upload."""
        return request.fields

    # -- what is done ----------------------------------------------------------------------------------------------

    def test(self, chunk: Chunk) -> Answer:
        """Answer a test."""
        upload = self.uploads.get(self.key(chunk))
        return (200,) if upload is not None and self.has(upload, chunk) else (MISSING,)

    def has(self, upload: Upload, chunk: Chunk) -> bool:
        """Whether the chunk is there."""
        return chunk.number in upload.chunks

    def upload(self, request: Request) -> Answer:
        """Answer an upload."""
        data = self.data(request)
        chunk = self.chunk(self.said(request))
        self.check(chunk, data)
        key = self.key(chunk)
        upload = self.uploads.get(key) or self.begin(key, chunk)
        if upload.facts != chunk.facts:
            raise Refused(409, "another file")
        self.keep(upload, chunk, data)
        if self.complete(upload, chunk):
            del self.uploads[key]
            self.publish(self.place(chunk), self.joined(upload), chunk)
            self.finished.add(key)
        return 200, "stored"

    def data(self, request: Request) -> bytes:
        """The bytes of the chunk."""
        form = request.headers.get("content-type", "").startswith("multipart/")
        if request.chunk is None or (form and request.file_name is None):
            raise Refused(400, "no chunk")
        return request.chunk

    def check(self, chunk: Chunk, data: bytes) -> None:
        """Refuse what makes no sense."""
        if not 1 <= chunk.number <= chunk.count:
            raise Refused(400, "wrong number")
        if len(data) != chunk.size:
            raise Refused(400, "wrong size")

    def key(self, chunk: Chunk) -> str:
        """What tells uploads apart."""
        return chunk.identifier

    def begin(self, key: str, chunk: Chunk) -> Upload:
        """Make an upload."""
        self.uploads[key] = Upload(chunk.facts)
        return self.uploads[key]

    def keep(self, upload: Upload, chunk: Chunk, data: bytes) -> None:
        """Store the chunk."""
        upload.chunks[chunk.number] = data

    def complete(self, upload: Upload, chunk: Chunk) -> bool:
        """Whether this chunk completes the file."""
        return len(upload.chunks) == chunk.count

    def joined(self, upload: Upload) -> bytes:
        """The bytes of the file."""
        return b"".join(upload.chunks[number] for number in sorted(upload.chunks))

    def place(self, chunk: Chunk) -> Path:
        """Where the file goes: nothing is outside of the root, and nothing is overwritten."""
        parts = [part for part in chunk.path.split("/") if part not in ("", ".", "..")]
        path = self.root.joinpath(*parts)
        others = (path.with_name(f"{path.name}-{number}") for number in itertools.count(1))
        return next(place for place in itertools.chain([path], others) if not place.exists())

    def publish(self, place: Path, content: bytes, chunk: Chunk) -> None:
        """Put the file there."""
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


NUMBERS = ("ChunkNumber", "ChunkSize", "CurrentChunkSize", "TotalSize", "TotalChunks")
TEXTS = ("Identifier", "Filename", "RelativePath")

MUTATIONS: dict[str, type[RightServer]] = {}


def fails(name: str) -> Callable[[type[RightServer]], type[RightServer]]:
    """Enter the class into the table: it fails the check of this name, and no other."""

    def enter(mutation: type[RightServer]) -> type[RightServer]:
        assert name not in MUTATIONS
        MUTATIONS[name] = mutation
        return mutation

    return enter


@fails("small-file")
class WantsWholeChunks(RightServer):
    def check(self, chunk: Chunk, data: bytes) -> None:
        super().check(chunk, data)
        if 0 < chunk.total < chunk.chunk_size:
            raise Refused(400, "too small")


@fails("chunks-in-order")
class TakesOneChunk(RightServer):
    def check(self, chunk: Chunk, data: bytes) -> None:
        super().check(chunk, data)
        if chunk.count > 1:
            raise Refused(500, "one chunk only")


@fails("long-last-chunk")
class LimitsChunks(RightServer):
    def check(self, chunk: Chunk, data: bytes) -> None:
        super().check(chunk, data)
        if len(data) > chunk.chunk_size:
            raise Refused(413, "too large")


@fails("short-last-chunk")
class ComputesTheCount(RightServer):
    def check(self, chunk: Chunk, data: bytes) -> None:
        super().check(chunk, data)
        if chunk.number > max(chunk.total // chunk.chunk_size, 1):
            raise Refused(200, "invalid_resumable_request1")


@fails("tiny-last-chunk")
class CountsBytesRoughly(RightServer):
    def complete(self, upload: Upload, chunk: Chunk) -> bool:
        return sum(map(len, upload.chunks.values())) >= chunk.total - 8


@fails("many-chunks")
class SortsAsText(RightServer):
    def joined(self, upload: Upload) -> bytes:
        return b"".join(upload.chunks[number] for number in sorted(upload.chunks, key=str))


@fails("any-bytes")
class ReadsText(RightServer):
    def data(self, request: Request) -> bytes:
        return super().data(request).decode("ascii", "ignore").encode().ljust(len(request.chunk or b""))


@fails("empty-file")
class WantsBytes(RightServer):
    def check(self, chunk: Chunk, data: bytes) -> None:
        super().check(chunk, data)
        if not data:
            raise Refused(400, "empty")


@fails("two-files")
class HasOneUpload(RightServer):
    def begin(self, key: str, chunk: Chunk) -> Upload:
        self.uploads.clear()
        return super().begin(key, chunk)


@fails("two-files-of-one-name")
class UploadsByNameAndSize(RightServer):
    def begin(self, key: str, chunk: Chunk) -> Upload:
        name = f"{chunk.name} {chunk.total}"
        upload = self.uploads.get(name) or super().begin(name, chunk)
        self.uploads[key] = upload
        return upload

    def publish(self, place: Path, content: bytes, chunk: Chunk) -> None:
        self.uploads.pop(f"{chunk.name} {chunk.total}", None)
        super().publish(place, content, chunk)


@fails("missing-chunk")
class HasEverything(RightServer):
    def test(self, chunk: Chunk) -> Answer:
        return 200, "Welcome"


@fails("missing-empty-file")
class ComparesSizes(RightServer):
    def test(self, chunk: Chunk) -> Answer:
        return super().test(chunk) if chunk.total else (200,)


@fails("status-of-missing")
class FailsIfMissing(RightServer):
    def test(self, chunk: Chunk) -> Answer:
        return (200,) if super().test(chunk) == (200,) else (500, "no such file")


@fails("stored-chunk")
class NeverHasChunks(RightServer):
    def test(self, chunk: Chunk) -> Answer:
        return (MISSING,)


@fails("gaps")
class RemembersTheHighestNumber(RightServer):
    def has(self, upload: Upload, chunk: Chunk) -> bool:
        return chunk.number <= max(upload.chunks)


@fails("other-identifier")
class AsksForNameAndSize(RightServer):
    def begin(self, key: str, chunk: Chunk) -> Upload:
        upload = super().begin(key, chunk)
        self.uploads[f"{chunk.name} {chunk.total}"] = upload
        return upload

    def test(self, chunk: Chunk) -> Answer:
        chunk.identifier = f"{chunk.name} {chunk.total}"
        return super().test(chunk)


@fails("similar-identifiers")
class DropsSigns(RightServer):
    def key(self, chunk: Chunk) -> str:
        return re.sub(r"[^\w-]", "", chunk.identifier)


@fails("test-without-identifier")
class HasWhatIsNotNamed(RightServer):
    def __call__(self, request: Request) -> Answer:
        named = request.method != "GET" or "resumableIdentifier" in request.parameters
        return super().__call__(request) if named else (200,)


@fails("asking-changes-nothing")
class MakesFilesWhenAsked(RightServer):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked: set[tuple[str, int]] = set()

    def test(self, chunk: Chunk) -> Answer:
        key = chunk.identifier, chunk.number
        if key in self.asked:
            return (200,)
        self.asked.add(key)
        return super().test(chunk)


@fails("resume")
class KeepsUploadsInSessions(RightServer):
    """The session is in a cookie, as frameworks have it."""

    def __call__(self, request: Request) -> Answer:
        self.read(request)
        with self.lock:
            self.session = request.headers.get("cookie", "")
            status, *body = super().__call__(request)
        new = {} if self.session else {"Set-Cookie": f"session={id(request)}"}
        return status, "".join(body), new

    def key(self, chunk: Chunk) -> str:
        return f"{self.session} {chunk.identifier}"


@fails("repeated-chunk")
class AppendsRepeats(RightServer):
    def keep(self, upload: Upload, chunk: Chunk, data: bytes) -> None:
        upload.chunks[chunk.number] = upload.chunks.get(chunk.number, b"") + data


@fails("repeated-last-chunk")
class ForgetsWithAnError(RightServer):
    def check(self, chunk: Chunk, data: bytes) -> None:
        super().check(chunk, data)
        if chunk.identifier in self.finished:
            raise Refused(404, "no such upload")


@fails("file-sent-again")
class AppendsToTheFile(RightServer):
    def publish(self, place: Path, content: bytes, chunk: Chunk) -> None:
        if chunk.identifier in self.finished:
            with open(self.root / chunk.path, "ab") as file:
                file.write(content)
        else:
            super().publish(place, content, chunk)


@fails("edited-file")
class DropsWhatIsFinished(RightServer):
    def keep(self, upload: Upload, chunk: Chunk, data: bytes) -> None:
        if chunk.identifier not in self.finished:
            super().keep(upload, chunk, data)


@fails("cut-chunk")
class TakesWhatHasCome(RightServer):
    """As frameworks do that hand over a body that broke off. What is there already is not written again."""

    def read(self, request: Request) -> None:
        try:
            request.read()
        except ConnectionAbortedError:
            with self.lock:
                upload = self.uploads[request.parameters["resumableIdentifier"]]
                upload.chunks.setdefault(int(request.parameters["resumableChunkNumber"]), request.body)
            raise
        if request.method == "GET":
            for other in self.server.others(request):
                other.gone.wait(PATIENCE)

    def keep(self, upload: Upload, chunk: Chunk, data: bytes) -> None:
        upload.chunks.setdefault(chunk.number, data)


@fails("cut-repeat")
class OverwritesAsItComes(RightServer):
    """As servers do that open the file of the chunk, and then read the body into it. What was not there is dropped."""

    def read(self, request: Request) -> None:
        try:
            request.read()
        except ConnectionAbortedError:
            with self.lock:
                said = request.parameters
                chunks = self.uploads[said["resumableIdentifier"]].chunks
                if (number := int(said["resumableChunkNumber"])) in chunks:
                    chunks[number] = request.body
            raise
        if request.method == "GET":
            for other in self.server.others(request):
                other.gone.wait(PATIENCE)


@fails("short-chunk")
class BelievesSizes(RightServer):
    def check(self, chunk: Chunk, data: bytes) -> None:
        super().check(chunk, data.ljust(chunk.size))


@fails("last-chunk-second")
class EndsWithTheLastNumber(RightServer):
    def complete(self, upload: Upload, chunk: Chunk) -> bool:
        return chunk.number == chunk.count


@fails("backwards")
class BeginsWithTheFirstNumber(RightServer):
    def begin(self, key: str, chunk: Chunk) -> Upload:
        if chunk.number > 1 and key not in self.finished:
            raise Refused(404, "no such upload")
        return super().begin(key, chunk)


class Racing(RightServer):
    """Fails if requests for one file come at the same time, and ``races`` says so."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.beside: dict[Request, list[Request]] = {}

    def read(self, request: Request) -> None:
        request.read()
        self.beside[request] = self.server.others(request)

    def upload(self, request: Request) -> Answer:
        others = self.beside.pop(request)
        if others and self.races(request, others):
            raise Refused(500, "a race")
        return super().upload(request)

    def races(self, request: Request, others: list[Request]) -> bool:
        """Whether this request fails beside the others."""
        raise NotImplementedError


@fails("first-chunks-at-once")
class MakesTheUploadTwice(Racing):
    def races(self, request: Request, others: list[Request]) -> bool:
        return request.identifier not in self.uploads


@fails("last-chunks-at-once")
class JoinsTwice(Racing):
    def races(self, request: Request, others: list[Request]) -> bool:
        upload = self.uploads.get(request.identifier, Upload((0, 0)))
        coming = {request.parameters["resumableChunkNumber"] for request in (request, *others)}
        last = len(upload.chunks) + len(coming) == int(request.fields["resumableTotalChunks"])
        return last and len(coming) == len(others) + 1


@fails("same-chunk-at-once")
class WritesOneTwice(Racing):
    def races(self, request: Request, others: list[Request]) -> bool:
        return any(other.parameters["resumableChunkNumber"] == str(request.number) for other in others)


@fails("letters-in-names")
class WantsASCII(RightServer):
    def place(self, chunk: Chunk) -> Path:
        try:
            chunk.name.encode("ascii")
        except UnicodeError:
            raise Refused(500, "UnicodeEncodeError") from None
        return super().place(chunk)


@fails("signs-in-names")
class WantsPlainNames(RightServer):
    def place(self, chunk: Chunk) -> Path:
        if set(chunk.name) & set("+&=#%"):
            raise Refused(400, "wrong name")
        return super().place(chunk)


@fails("long-name")
class WantsShortNames(RightServer):
    def place(self, chunk: Chunk) -> Path:
        if len(chunk.name) > 100:
            raise Refused(500, "File name too long")
        return super().place(chunk)


@fails("same-name")
class Overwrites(RightServer):
    def place(self, chunk: Chunk) -> Path:
        return self.root / super().place(chunk).parent / Path(chunk.path).name


@fails("same-name-in-two-folders")
class DropsFolders(RightServer):
    def place(self, chunk: Chunk) -> Path:
        if "/" in chunk.path and ".." not in chunk.path:
            return self.root / chunk.name
        return super().place(chunk)


@fails("file-in-folder")
class WantsNoFolders(RightServer):
    def place(self, chunk: Chunk) -> Path:
        if "/" in chunk.path:
            raise Refused(400, "no folders")
        return super().place(chunk)


@fails("path-stays-inside")
class JoinsPaths(RightServer):
    def place(self, chunk: Chunk) -> Path:
        return self.root / chunk.path if chunk.path.startswith("..") else super().place(chunk)


@fails("identifier-stays-inside")
class JoinsIdentifiers(RightServer):
    def keep(self, upload: Upload, chunk: Chunk, data: bytes) -> None:
        super().keep(upload, chunk, data)
        if chunk.identifier.startswith(".."):
            (self.root / f"{chunk.identifier}.{chunk.number}").write_bytes(data)


@fails("other-parameters")
class KnowsAllParameters(RightServer):
    def chunk(self, said: Mapping[str, str]) -> Chunk:
        if not all(name.startswith("resumable") for name in said):
            raise Refused(400, "wrong parameter")
        return super().chunk(said)


@fails("parameters-in-query")
class ReadsTheForm(RightServer):
    def said(self, request: Request) -> Mapping[str, str]:
        form = request.headers["content-type"].startswith("multipart/")
        return dict(request.form) if form else request.fields


@fails("parameters-in-form")
class ReadsTheQuery(RightServer):
    def said(self, request: Request) -> Mapping[str, str]:
        return request.parameters


@fails("chunk-as-body")
class WantsForms(RightServer):
    def data(self, request: Request) -> bytes:
        if not request.headers["content-type"].startswith("multipart/"):
            raise Refused(415, "no form")
        return super().data(request)


@fails("no-parameters")
class TakesAnything(RightServer):
    def upload(self, request: Request) -> Answer:
        return super().upload(request) if request.fields else (200, "stored")


@fails("no-chunk")
class TakesNothing(RightServer):
    def upload(self, request: Request) -> Answer:
        return super().upload(request) if request.file_name or not request.form else (200, "stored")


@fails("wrong-total-size")
class BelievesTotals(RightServer):
    def upload(self, request: Request) -> Answer:
        try:
            return super().upload(request)
        except Refused as refused:
            if refused.answer[0] == 409 and request.fields["resumableTotalChunks"] == "3":
                return 200, "stored"
            raise


@fails("wrong-count")
class BelievesCounts(RightServer):
    def upload(self, request: Request) -> Answer:
        try:
            return super().upload(request)
        except Refused as refused:
            if refused.answer[0] == 409 and request.fields["resumableTotalChunks"] != "3":
                return 200, "stored"
            raise


@fails("number-too-large")
class DropsNumbersAboveTheLast(RightServer):
    def upload(self, request: Request) -> Answer:
        said = request.fields
        beyond = said.get("resumableChunkNumber", "").isdigit() and request.number > int(said["resumableTotalChunks"])
        return (200, "stored") if beyond else super().upload(request)


@fails("number-zero")
class CountsFromZero(RightServer):
    def check(self, chunk: Chunk, data: bytes) -> None:
        chunk.number += chunk.number == 0
        super().check(chunk, data)


@fails("no-number")
class ReadsAnyNumber(RightServer):
    def number(self, text: str) -> int:
        return int(text) if text.isdigit() else 1
