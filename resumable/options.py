"""Every option, one row each.

A row is an attribute of :class:`Options`: its name, its default, the resumable.js name, the check that normalises a
value or refuses it, what is allowed in words, and one sentence of help. The constructor, the command line and the
tables of the documentation are made from these rows and from nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from . import validators
from .errors import OptionError, UnknownOption, redact_option
from .events import EVENTS
from .statuses import PERMANENT_ERRORS

__all__ = ["OPTIONS", "Option", "Options"]

MIB = 1024 * 1024

_ELSEWHERE: Mapping[str, str] = MappingProxyType(
    {
        **{
            name: f"it is an argument of add_file(): session.add_file(source, {name}=...)"
            for name in ("mime_type", "on", "relative_path", "unique_identifier")
        },
        **dict.fromkeys(("exclude", "pattern"), "it is an argument of add_directory()"),
        "raise_errors": "it is an argument of join()",
        **dict.fromkeys(
            ("auth", "cert", "cookies", "proxies", "verify"),
            "set it on a requests.Session, and pass that as the option session",
        ),
        **dict.fromkeys(("authorization", "password", "token", "username"), "use headers, or a requests.Session"),
        **dict.fromkeys(("endpoint", "url"), "did you mean 'target'?"),
        **dict.fromkeys(
            ("concurrency", "max_workers", "parallel", "threads", "workers"), "did you mean 'simultaneous_uploads'?"
        ),
    }
)
"""What is asked for under these names, and where it is instead."""


class Option(NamedTuple):
    """One row: ``js_name`` is None where resumable.js has no such option, ``allowed`` says in words what is taken."""

    name: str
    js_name: str | None
    default: Any
    allowed: str
    check: Callable[[Any], Any]
    help: str


def _row(default: Any, js_name: str | None, kind: validators.Validator, help: str) -> Any:
    check, allowed = kind
    return Option("", js_name, default, allowed, check, help)


def _collected(options: type) -> dict[str, Option]:
    """The rows of the class by name; each of its attributes is the row's default from now on. A dataclass would do the
    same, and take longer to be made than all else in this module."""
    rows = {name: row._replace(name=name) for name, row in vars(options).items() if isinstance(row, Option)}
    for name, row in rows.items():
        setattr(options, name, row.default)
    return rows


class Options:
    """The options of one session, checked and normalised, which never change. Sizes are bytes, times are seconds."""

    target: Any = _row(None, "target", validators.url(), "Where chunks are sent; a query it has already is kept.")
    test_target: Any = _row(
        None, "testTarget", validators.url(optional=True), "Where tests are sent, if not to the target."
    )
    chunk_size: int = _row(
        MIB, "chunkSize", validators.integer(1), "Bytes in a chunk; the last may have nearly twice as many."
    )
    force_chunk_size: bool = _row(
        False,
        "forceChunkSize",
        validators.flag(),
        "Cut so that no chunk is longer than chunk_size: ceil instead of floor.",
    )
    simultaneous_uploads: int = _row(3, "simultaneousUploads", validators.integer(1), "Chunks on the wire at once.")
    file_parameter_name: str = _row("file", "fileParameterName", validators.text(), "Name of the part with the bytes.")
    chunk_number_parameter_name: str | None = _row(
        "resumableChunkNumber",
        "chunkNumberParameterName",
        validators.text(optional=True),
        "The chunk's number, from 1.",
    )
    chunk_size_parameter_name: str | None = _row(
        "resumableChunkSize", "chunkSizeParameterName", validators.text(optional=True), "The option chunk_size."
    )
    current_chunk_size_parameter_name: str | None = _row(
        "resumableCurrentChunkSize",
        "currentChunkSizeParameterName",
        validators.text(optional=True),
        "Bytes in this chunk.",
    )
    total_size_parameter_name: str | None = _row(
        "resumableTotalSize", "totalSizeParameterName", validators.text(optional=True), "Bytes in the file."
    )
    type_parameter_name: str | None = _row(
        "resumableType", "typeParameterName", validators.text(optional=True), "The MIME type."
    )
    identifier_parameter_name: str | None = _row(
        "resumableIdentifier", "identifierParameterName", validators.text(optional=True), "The unique identifier."
    )
    file_name_parameter_name: str | None = _row(
        "resumableFilename", "fileNameParameterName", validators.text(optional=True), "The file's name."
    )
    relative_path_parameter_name: str | None = _row(
        "resumableRelativePath",
        "relativePathParameterName",
        validators.text(optional=True),
        "Its path below what was added.",
    )
    total_chunks_parameter_name: str | None = _row(
        "resumableTotalChunks",
        "totalChunksParameterName",
        validators.text(optional=True),
        "How many chunks the file has.",
    )
    parameter_namespace: str = _row(
        "", "parameterNamespace", validators.text(default=""), "Put before the name of every parameter."
    )
    query: Any = _row(
        None,
        "query",
        validators.mapping(),
        "Extra parameters, made anew for each attempt; one whose value is None is left out.",
    )
    headers: Any = _row(None, "headers", validators.headers(), "Extra headers, made anew for each attempt.")
    method: str = _row(
        "multipart", "method", validators.one_of("multipart", "octet"), "Chunks as a form, or as the bare body."
    )
    upload_method: str = _row("POST", "uploadMethod", validators.method(), "The HTTP method that sends a chunk.")
    test_method: str = _row("GET", "testMethod", validators.method(), "The HTTP method that tests for a chunk.")
    params_in: str = _row(
        "both",
        None,
        validators.one_of("both", "query", "form"),
        "Where the parameters stand in a multipart upload; in an octet one, in the query.",
    )
    chunk_format: str = _row("blob", "chunkFormat", validators.one_of("blob", "base64"), "base64: chunks as data URLs.")
    set_chunk_type_from_file: bool = _row(
        False, "setChunkTypeFromFile", validators.flag(), "Send the file's MIME type as that of the part."
    )
    prioritize_first_and_last_chunk: bool = _row(
        False,
        "prioritizeFirstAndLastChunk",
        validators.flag(),
        "The first and the last chunk go first; implies chunk_order='free'.",
    )
    chunk_order: str = _row(
        "bookends",
        None,
        validators.one_of("bookends", "strict", "free", "sequential"),
        "Which chunks of a file may be sent together; strict: nothing at all beside the first and the last.",
    )
    test_chunks: bool = _row(
        True, "testChunks", validators.flag(), "Ask for each chunk whether the server has it already."
    )
    trust_tests: bool = _row(
        False, None, validators.flag(), "Believe tests without asking for a chunk that cannot exist."
    )
    success_statuses: tuple[int, ...] = _row(
        (200, 201), None, validators.statuses(), "Statuses that mean: the chunk is stored."
    )
    test_errors_are_permanent: bool = _row(
        False, None, validators.flag(), "A permanent error in answer to a test fails the file, as in flow.js."
    )
    preprocess: Any = _row(
        None,
        "preprocess",
        validators.hook(),
        "callable(chunk) -> bytes or None, on a worker, before a chunk is tested or sent.",
    )
    preprocess_file: Any = _row(
        None,
        "preprocessFile",
        validators.hook(),
        "callable(file) -> bytes or None, on a worker, before its first request.",
    )
    generate_unique_identifier: Any = _row(
        None,
        "generateUniqueIdentifier",
        validators.hook(),
        "callable(path, relative_path) -> str; None: size, name and a hash.",
    )
    max_files: int | None = _row(
        None,
        "maxFiles",
        validators.integer(1, optional=True),
        "Most files in a session; where that is 1, a new file replaces the one that is there.",
    )
    max_files_error_callback: Any = _row(
        None, "maxFilesErrorCallback", validators.hook(), "callable(files, count) when there are too many files."
    )
    min_file_size: int = _row(
        0,
        "minFileSize",
        validators.zero_for_none(validators.integer(0)),
        "Bytes that a file has at least (resumable.js: 1).",
    )
    min_file_size_error_callback: Any = _row(
        None, "minFileSizeErrorCallback", validators.hook(), "callable(file, count) when a file is too small."
    )
    max_file_size: int | None = _row(
        None, "maxFileSize", validators.integer(0, optional=True), "Bytes that a file has at most."
    )
    max_file_size_error_callback: Any = _row(
        None, "maxFileSizeErrorCallback", validators.hook(), "callable(file, count) when a file is too large."
    )
    file_type: tuple[str, ...] = _row(
        (), "fileType", validators.types(), "Extensions and MIME types to take; () is all."
    )
    file_type_error_callback: Any = _row(
        None, "fileTypeErrorCallback", validators.hook(), "callable(file, count) when a file is of another type."
    )
    max_chunk_retries: int | None = _row(
        100, "maxChunkRetries", validators.integer(0, optional=True), "Further attempts for a chunk; None: without end."
    )
    chunk_retry_interval: Any = _row(
        None,
        "chunkRetryInterval",
        validators.interval(),
        "Wait before a retry; None: exponential with jitter, at most 60 s.",
    )
    retry_for: float | None = _row(
        None, None, validators.seconds(optional=True), "Give up on a file when nothing has got through for so long."
    )
    permanent_errors: tuple[int, ...] = _row(
        PERMANENT_ERRORS,
        "permanentErrors",
        validators.statuses(),
        "Statuses that fail the file at once; by default those that no retry can change.",
    )
    should_retry: Any = _row(
        None, None, validators.hook(), "callable(error, attempt) -> True, False, or None for the usual decision."
    )
    accept_response: Any = _row(
        None,
        None,
        validators.hook(),
        "callable(response) -> True, False, or None for the usual decision: whether an answer that looks like success"
        " is one.",
    )
    chunk_exists: Any = _row(
        None,
        None,
        validators.hook(),
        "callable(response) -> bool: whether the answer to a test says that the chunk is there.",
    )
    limit_rate: int | None = _row(
        None, None, validators.integer(1, optional=True), "Most bytes a second, of all chunks together."
    )
    timeout: tuple[float | None, float | None] = _row(
        (10, 60), "xhrTimeout", validators.timeout(), "Longest wait to connect, and longest silence of the server."
    )
    final_chunk_timeout: float | None = _row(
        300, None, validators.limit(), "Longest silence after the last chunk, when servers assemble the file."
    )
    throttle_progress_callbacks: float = _row(
        0.5,
        "throttleProgressCallbacks",
        validators.zero_for_none(validators.seconds()),
        "Least seconds between two progress events of one chunk while its bytes flow.",
    )
    session: Any = _row(
        None,
        "withCredentials",
        validators.with_method("send", "a requests.Session, a callable() that returns one", factory=True),
        "Your own requests.Session, for cookies, auth and TLS; or a factory, called as often as requests run at once.",
    )
    transport: Any = _row(
        None,
        None,
        validators.with_method("send", "an object with the methods of Transport"),
        "What sends requests, in place of requests.",
    )
    redirect_origins: tuple[str, ...] = _row(
        (), None, validators.origins(), "Other origins ('https://host') to which a 307 or 308 may lead."
    )
    auto_upload: bool = _row(
        True, None, validators.flag(), "Start sending when a file is added; False waits for upload()."
    )
    completion_delay: float = _row(
        0.25,
        None,
        validators.seconds(),
        "Seconds without anything to do after which a run ends that began by itself, outside a with block.",
    )
    fail_fast: bool = _row(False, None, validators.flag(), "The first failed file cancels the others.")
    deliver: Any = _row(None, None, validators.deliver(), "Which thread calls the handlers.")
    loop: Any = _row(
        None,
        None,
        validators.with_method("call_soon_threadsafe", "an asyncio event loop"),
        "The loop that runs async handlers.",
    )
    plugins: Any = _row((), None, validators.plugins(), "Plugins to attach.")
    clock: Any = _row(None, None, validators.hook(), "callable() -> seconds, monotonic; for tests.")

    def __init__(self, **values: Any) -> None:
        vars(self).update({name: row.default for name, row in OPTIONS.items()}, **values)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"the options of a session do not change: {name} was chosen when it was made")

    @classmethod
    def checked(cls, **given: Any) -> Options:
        """The options with every given value checked.

        Raises UnknownOption (a TypeError) with the nearest name, or OptionError with the option, the value and what
        is allowed.
        """
        values = {}
        for name, value in given.items():
            row = OPTIONS.get(name)
            if row is None:
                raise UnknownOption(name, _near(name), _elsewhere(name))
            values[name] = _checked(row, value)
        for name in ("query", "headers"):
            values.setdefault(name, MappingProxyType({}))
        options = cls(**values)
        if options.method == "octet" and options.chunk_format == "base64":
            raise OptionError("chunk_format", "base64", "'blob' if method is 'octet'")
        if options.prioritize_first_and_last_chunk and options.chunk_order == "sequential":
            raise OptionError("chunk_order", "sequential", "'free' if prioritize_first_and_last_chunk is True")
        for name in ("target", "test_target"):
            url = getattr(options, name)
            # An adapter of the session knows what to do with http+unix:// and its kind, and requests does not.
            adapted = isinstance(url, str) and "+" in url.partition("://")[0]
            if adapted and options.transport is None and options.session is None:
                raise OptionError(name, url, OPTIONS[name].allowed)
        if options.transport is not None and options.session is not None:
            raise OptionError("session", options.session, "None if a transport is given")
        return options

    def with_query(self, query: Any) -> Options:
        """These options with another ``query``."""
        return Options(**{**vars(self), "query": _checked(OPTIONS["query"], query)})

    def __repr__(self) -> str:
        # No secret is shown, and no default.
        return f"Options({', '.join(_shown(self))})"


def _shown(options: Options) -> Iterator[str]:
    for name, row in OPTIONS.items():
        value = getattr(options, name)
        if value not in (row.default, {}):
            yield f"{name}={redact_option(name, value)}"


def _checked(row: Option, value: Any) -> Any:
    try:
        return row.check(value)
    except validators.Invalid as error:
        raise OptionError(row.name, value, str(error) or row.allowed) from None
    except (TypeError, ValueError):
        raise OptionError(row.name, value, row.allowed) from None


def _elsewhere(name: str) -> str | None:
    """Return where to say what the name stands for, if it is known by this name but is no option."""
    if name in _ELSEWHERE:
        return _ELSEWHERE[name]
    event = name.removeprefix("on_").replace("_", "").lower()
    found = next((row.name for row in EVENTS.values() if row.name.replace("_", "") == event), None)
    return f"handlers are connected with session.on({found!r}, handler)" if found else None


def _near(name: str) -> list[str]:
    """Return the option that is probably meant, also if resumable.js's name for it was given."""
    spellings = {row.js_name.lower(): row.name for row in OPTIONS.values() if row.js_name}
    spellings.update((option.replace("_", ""), option) for option in OPTIONS)
    # Only whoever mistypes a name has to wait for this one.
    import difflib

    near = difflib.get_close_matches(name.replace("_", "").lower(), spellings, n=1, cutoff=0.6)
    return [spellings[match] for match in near]


OPTIONS: Mapping[str, Option] = MappingProxyType(_collected(Options))
"""The rows by name, in the order of the documentation."""
