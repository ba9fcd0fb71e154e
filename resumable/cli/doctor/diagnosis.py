"""Upload small files to a server, and find out which flags an upload to it needs."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping
from typing import Any

from ... import IncompleteUpload
from ...protocol import dialects
from ...protocol.acceptance import Remedy, judge
from ...protocol.headers import LIMIT_HEADER
from ...protocol.pages import is_web_page
from ..output.exit_codes import ExitCode, code_of, explain
from ..output.units import size
from .changes import FLOWJS, FORCE_CHUNK_SIZE, FORM, NO_TESTS, OCTET, QUERY, RESUMABLEJS, Change, chunks_of
from .examination import Examination
from .finding import Finding, answered
from .probe import Prober, Run, Trial

__all__ = ["Diagnosis"]

_LATER = (429, 502, 503, 504)
_FINAL = (401, 403, 407, *_LATER, 507)
_OF_THE_MOMENT = (401, 429, 503)
_TINY = 4096


class Diagnosis:
    """The uploads to one server. ``options`` are those of all of them, of which the ``given`` ones win over a dialect.

    ``changes`` are what the server needs besides. ``limited``: it takes small files only.
    """

    def __init__(
        self, prober: Prober, examination: Examination, options: Mapping[str, Any], given: Collection[str]
    ) -> None:
        self._prober = prober
        self._examination = examination
        self._options = options
        self._given = given
        self.changes: list[Change] = []
        self.limited = False

    def sizes(self) -> list[int]:
        """Return the sizes of the files that are uploaded if all is well."""
        small, large = self._prober.small, self._prober.chunk_size
        forced = self._options.get("force_chunk_size", False)
        sizes = [_file_size(small, forced=forced, single=False)]
        if large > small:
            sizes.append(_file_size(large, forced=forced, single=self._prober.ours))
        return sizes

    def examine(self, asked: Run) -> Iterator[Finding]:
        """Upload a small file, then one with chunks as large as an upload sends. ``asked`` is the answer to the test.

        Nothing more is uploaded after a finding with an exit code.
        """
        trial = yield from self._small()
        if trial is None:
            return
        if trial.last.upload is None:
            text = "the server says that it has a file that was never sent, so that nothing is sent"
            yield Finding("chunk", text, "check the URL, and what answers there", ExitCode.REFUSED)
            return
        yield Finding("chunk", f"accepted with {answered(trial.last.upload)}")
        if trial.asked:
            yield from self._resuming(trial, asked)
        if self._prober.chunk_size > self._prober.small and "chunk_size" not in self._needs() and not self.limited:
            yield self._large()

    def _upload(self, chunk_size: int, *more: Change, single: bool = False, at_least: int = 0) -> Trial:
        """Upload a new file of which a chunk is as long as any in an upload with chunks of this size."""
        needs = {"chunk_size": chunk_size, **self._needs(*more)}
        forced = needs.get("force_chunk_size", self._options.get("force_chunk_size", False))
        fitting = _file_size(needs["chunk_size"], forced=forced, single=single)
        return self._prober.upload(size=max(fitting, at_least), **needs)

    def _needs(self, *more: Change) -> dict[str, Any]:
        """Return the options of all changes. A flag that the user gave wins over what a dialect sets."""
        needs: dict[str, Any] = {}
        for change in (*self.changes, *more):
            given = self._given if change.flag == "dialect" else ()
            needs.update((name, value) for name, value in change.options.items() if name not in given)
        return needs

    def _wants(self, option: str, default: Any) -> Any:
        """Return the option as the server needs it, or as it was given."""
        return self._needs().get(option, self._options.get(option, default))

    def _change(self, change: Change) -> None:
        self.changes = [*(other for other in self.changes if other.flag != change.flag), change]

    # -- small chunks ----------------------------------------------------------------------------------------------

    def _small(self) -> Generator[Finding, None, Trial | None]:
        """Upload a small file, in other ways if it is refused. Return the upload that was accepted, if one was."""
        trial = self._upload(self._prober.small)
        while trial.progress < 2:
            for change in self._remedies(trial):
                # What is to help has to help the same file, or a larger one if its chunks are larger.
                tried = self._upload(self._prober.small, change, at_least=trial.size)
                if tried.progress > trial.progress:
                    yield Finding("chunk", f"{_why(trial)}; accepted with {change.typed}", doubtful=bool(change.words))
                    self._change(change)
                    trial = tried
                    break
            else:
                break
        if trial.progress == 2:
            return trial
        if _limit(trial.last) in ("file", "quota", "chunks") or _is_too_large(trial.last):
            tiny = self._prober.upload(size=_TINY, **{"chunk_size": self._prober.small, **self._needs()})
            if tiny.progress == 2:
                yield self._too_large(trial, tiny)
                return tiny
        yield self._refused("chunk", trial)
        return None

    def _remedies(self, trial: Trial) -> Iterator[Change]:
        """Yield what may help after such an end, the likeliest first. What is refused for other reasons gets none."""
        run = trial.last
        reply = run.upload
        if isinstance(run.error, IncompleteUpload) or run.timed_out:
            return
        chunk_size, large = self._wants("chunk_size", self._prober.small), self._prober.chunk_size
        smaller = [chunks_of(chunk_size >> shift) for shift in (1, 2, 3, 4) if chunk_size >> shift >= _TINY]
        limit, ours = _limit(run), self._prober.ours
        if trial.lost or limit == "request" or run.failure is not None or (not limit and _is_too_large(run)):
            yield from smaller
            smaller = []
        if reply is None or limit or reply.status in _FINAL or _is_page(run) or (ours and reply.status != 400):
            return
        if trial.progress == 1:
            yield FORCE_CHUNK_SIZE
            yield from smaller
            return
        if reply.status in (400, 422) and large > chunk_size:
            yield Change("chunk_size", (), {"chunk_size": large})
        if 202 <= reply.status < 300:
            statuses = (*self._wants("success_statuses", (200, 201)), reply.status)
            words = ("--success-statuses", ",".join(map(str, statuses)))
            yield Change("success_statuses", words, {"success_statuses": statuses})
        if not ours and self._wants("method", "multipart") == "multipart":
            yield from (FORM, QUERY, OCTET)
        yield self._other_dialect()
        if ours:
            yield from (chunks_of(large << shift) for shift in (1, 2, 3, 4))

    def _other_dialect(self) -> Change:
        speaks_flow = self._options.get("chunk_number_parameter_name") == dialects.FLOWJS["chunk_number_parameter_name"]
        return RESUMABLEJS if speaks_flow else FLOWJS

    def _refused(self, what: str, trial: Trial) -> Finding:
        """Return what to say about a file that cannot be uploaded."""
        run, reply = trial.last, trial.last.upload
        if trial.lost:
            text = "the server accepted every chunk, but does not have all of them"
            return Finding(what, text, "see what the log of the server says", ExitCode.CHANGED)
        if run.failure is not None:
            return self._examination.silence(what, run)
        if run.error is not None and (reply is None or isinstance(run.error, IncompleteUpload)):
            return Finding(what, explain(run.error), code=code_of(run.error))
        assert reply is not None
        assert run.error is not None
        return self._examination.refused(what, reply, ours=self._prober.ours) or Finding(
            what, _why(trial), _advice(run), code_of(run.error)
        )

    # -- resuming --------------------------------------------------------------------------------------------------

    def _resuming(self, trial: Trial, asked: Run) -> Iterator[Finding]:
        """Say whether an upload goes on where it was interrupted. ``asked`` is the answer to the test before."""
        status = None if asked.test is None else asked.test.status
        if not trial.found and not self._prober.ours and status not in (200, 201, 405, 501):
            # Either the server never tells, or it has not stored the chunk that it accepted.
            smaller = chunks_of(max(self._wants("chunk_size", self._prober.small) // 4, 1))
            for change in (smaller, self._other_dialect()):
                tried = self._upload(self._prober.small, change)
                if tried.progress == 2 and tried.resumes:
                    yield Finding("chunk", f"accepted, but not stored; stored with {change.typed}", doubtful=True)
                    self._change(change)
                    trial = tried
                    break
        if trial.resumes:
            yield Finding("resuming", "an upload was interrupted, and its first chunk was not sent again")
        elif trial.found or self._prober.ours:
            times = {0: "never", 1: "once"}.get(trial.found, f"{trial.found} times")
            text = f"the server was asked {len(trial.asked)} times for a chunk that it has, and had it {times}"
            advice = "if several servers answer at this address, they need a common store"
            yield Finding("resuming", text, advice, ExitCode.CHANGED)
        else:
            self._change(NO_TESTS)
            text = "an upload was interrupted, and had to begin again: the server cannot tell which chunks it has"
            yield Finding("resuming", text, "--no-test-chunks saves the questions", doubtful=True)

    # -- large chunks ----------------------------------------------------------------------------------------------

    def _large(self) -> Finding:
        """Upload a file with chunks as large as an upload sends; halve them until the server accepts them."""
        chunk_size, small = self._prober.chunk_size, self._prober.small
        # A receiver of this package says that it has the file. Of others one with two chunks has to be asked for.
        single = self._prober.ours
        large = trial = self._upload(chunk_size, single=single)
        if trial.progress == 2:
            return Finding("chunk size", f"chunks of up to {size(self._longest(chunk_size))} are accepted")
        limit = _limit(large.last)
        reply = large.last.upload
        if isinstance(large.last.error, IncompleteUpload) or (reply is not None and reply.status in _OF_THE_MOMENT):
            return self._refused("chunk size", large)
        while limit in ("", "request") and trial.progress < 2 and chunk_size > small:
            chunk_size = max(chunk_size // 2, small)
            trial = self._upload(chunk_size, chunks_of(chunk_size), at_least=large.size)
        if trial.progress < 2:
            return self._too_large(large, self._prober.trials[0])
        change = chunks_of(chunk_size)
        self._change(change)
        text = f"chunks of up to {size(self._longest(self._prober.chunk_size))} are {_why(large)}"
        return Finding("chunk size", f"{text}; accepted with {change.typed}", doubtful=True)

    def _too_large(self, refused: Trial, accepted: Trial) -> Finding:
        """Return what to say about a file that is refused for its size, if a smaller one is not."""
        text = f"a file of {size(refused.size)} is {_why(refused)}; one of {size(accepted.size)} is accepted"
        if _limit(refused.last) == "chunks":
            return Finding("chunks", text, "large files need a larger --chunk-size", doubtful=True)
        self.limited = True
        return Finding("file size", text, "no flag helps; the operator of the server can allow more", doubtful=True)

    def _longest(self, chunk_size: int) -> int:
        return _file_size(chunk_size, forced=self._wants("force_chunk_size", False), single=True)


def _file_size(chunk_size: int, *, forced: bool, single: bool) -> int:
    """Return the bytes of a file with a chunk as long as an upload may send: the last one, unless that is forbidden."""
    if single:
        return chunk_size if forced else 2 * chunk_size - 1
    return 3 * chunk_size - 1


def _limit(run: Run) -> str:
    """Return which limit the server says was exceeded: request, file, chunks or quota; empty if it does not say."""
    return "" if run.upload is None or run.error is None else run.upload.headers.get(LIMIT_HEADER.lower(), "")


def _is_too_large(run: Run) -> bool:
    reply = run.upload
    return reply is not None and (reply.status == 413 or judge(reply.text).remedy is Remedy.SMALLER_CHUNKS)


def _is_page(run: Run) -> bool:
    return run.upload is not None and run.upload.status in (200, 201) and is_web_page(run.upload.text)


def _why(trial: Trial) -> str:
    """Return what came of a file that was not uploaded."""
    run = trial.last
    if trial.lost:
        return "accepted, but not stored"
    if run.failure is not None or run.upload is None:
        return f"not answered ({run.failure or run.error})"
    if _is_page(run):
        return f"answered with a web page, {answered(run.upload)}"
    return f"refused with {answered(run.upload)}"


def _advice(run: Run) -> str:
    """Return what to do about an answer that no flag of ours has changed."""
    assert run.upload is not None
    status = run.upload.status
    if status in _LATER:
        return "try again later"
    if is_web_page(run.upload.text) or status in (404, 405, 410):
        return "check the path of the URL"
    if status == 507:
        return "the operator of the server has to make room"
    if status == 413:
        return "the operator of the server can allow more"
    if status >= 500:
        return "see what the log of the server says"
    return "the server may want other parameters (--query) or headers (--header)"
