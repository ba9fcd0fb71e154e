"""Every option, one row each.

A row is an attribute of :class:`Options`: its name, its default, the resumable.js name, the check that normalises or
refuses a value, the allowed values in words, and a sentence of help. The constructor, the command line and the tables
of the documentation are made from these rows and from nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from . import validators
from .errors import OptionError, UnknownOption, redact_option
from .statuses import PERMANENT_ERRORS

__all__ = ["OPTIONS", "THEMES", "Option", "Options"]

AUTO = "auto"
MIB = 1024 * 1024

THEMES = (
    SERVER := "Where chunks are sent, and how",
    CHUNKS := "How files are cut, and the order of chunks",
    RESUMING := "Resuming",
    INTEGRITY := "Hashes",
    ANSWERS := "Answers and retries",
    SPEED := "Speed",
    NETWORK := "Network",
    FILES := "Which files are accepted",
    SESSION := "The session and its handlers",
    NAMES := "Names of the parameters",
)


class Option(NamedTuple):
    """One row. ``js_name`` is None if resumable.js has no such option, ``allowed`` says in words what is allowed, and
    ``theme`` is the one of ``THEMES`` under which the documentation has it."""

    name: str
    js_name: str | None
    default: Any
    allowed: str
    check: Callable[[Any], Any]
    help: str
    theme: str


def _row(theme: str, default: Any, js_name: str | None, kind: validators.Validator, help: str) -> Any:
    check, allowed = kind
    return Option("", js_name, default, allowed, check, help, theme)


def _collected(options: type) -> dict[str, Option]:
    """Collect the rows of the class by name, and make each of its attributes the default of its row.

    A dataclass would do the same, and take longer to be made than all else in this module.
    """
    rows = {name: row._replace(name=name) for name, row in vars(options).items() if isinstance(row, Option)}
    for name, row in rows.items():
        setattr(options, name, row.default)
    return rows


class Options:
    """The options of one session, checked and normalised. They never change. Sizes are bytes, times are seconds."""

    target: Any = _row(
        SERVER, None, "target", validators.url(), "URL that chunks are sent to. Its query, if any, is kept."
    )
    test_target: Any = _row(
        SERVER,
        None,
        "testTarget",
        validators.url(optional=True),
        "URL that tests are sent to, if it is not the target.",
    )
    chunk_size: int = _row(
        CHUNKS,
        MIB,
        "chunkSize",
        validators.integer(1),
        "Bytes per chunk. The last chunk may be nearly twice as large, unless force_chunk_size=True.",
    )
    force_chunk_size: bool = _row(
        CHUNKS,
        False,
        "forceChunkSize",
        validators.flag(),
        "Make no chunk larger than chunk_size: the last chunk is then the smallest, not the largest.",
    )
    simultaneous_uploads: int | str = _row(
        SPEED,
        AUTO,
        "simultaneousUploads",
        validators.integer_or(AUTO, 1),
        "Number of chunks to upload at the same time. auto: begins with 3, and finds out which number is fastest.",
    )
    max_connections: int = _row(
        SPEED,
        20,
        None,
        validators.integer(1),
        "Maximum number of simultaneous connections, for chunks and for early tests of other chunks. With one upload "
        "at a time there is one connection.",
    )
    file_parameter_name: str = _row(
        NAMES,
        "file",
        "fileParameterName",
        validators.text(),
        "Name of the form field that holds the bytes of the chunk.",
    )
    chunk_number_parameter_name: str | None = _row(
        NAMES,
        "resumableChunkNumber",
        "chunkNumberParameterName",
        validators.text(optional=True),
        "Name of the parameter for the number of the chunk, from 1.",
    )
    chunk_size_parameter_name: str | None = _row(
        NAMES,
        "resumableChunkSize",
        "chunkSizeParameterName",
        validators.text(optional=True),
        "Name of the parameter for chunk_size.",
    )
    current_chunk_size_parameter_name: str | None = _row(
        NAMES,
        "resumableCurrentChunkSize",
        "currentChunkSizeParameterName",
        validators.text(optional=True),
        "Name of the parameter for the bytes of this chunk.",
    )
    total_size_parameter_name: str | None = _row(
        NAMES,
        "resumableTotalSize",
        "totalSizeParameterName",
        validators.text(optional=True),
        "Name of the parameter for the bytes of the file.",
    )
    type_parameter_name: str | None = _row(
        NAMES,
        "resumableType",
        "typeParameterName",
        validators.text(optional=True),
        "Name of the parameter for the MIME type.",
    )
    identifier_parameter_name: str | None = _row(
        NAMES,
        "resumableIdentifier",
        "identifierParameterName",
        validators.text(optional=True),
        "Name of the parameter for the unique identifier.",
    )
    file_name_parameter_name: str | None = _row(
        NAMES,
        "resumableFilename",
        "fileNameParameterName",
        validators.text(optional=True),
        "Name of the parameter for the file name.",
    )
    relative_path_parameter_name: str | None = _row(
        NAMES,
        "resumableRelativePath",
        "relativePathParameterName",
        validators.text(optional=True),
        "Name of the parameter for the path relative to the directory that was added.",
    )
    total_chunks_parameter_name: str | None = _row(
        NAMES,
        "resumableTotalChunks",
        "totalChunksParameterName",
        validators.text(optional=True),
        "Name of the parameter for the number of chunks in the file.",
    )
    parameter_namespace: str = _row(
        NAMES, "", "parameterNamespace", validators.text(default=""), "Prefix for the names of all parameters."
    )
    query: Any = _row(
        SERVER,
        None,
        "query",
        validators.mapping(),
        "Extra parameters. A callable is called for each attempt. Parameters with the value None are omitted.",
    )
    headers: Any = _row(
        SERVER, None, "headers", validators.headers(), "Extra headers. A callable is called for each attempt."
    )
    method: str = _row(
        SERVER,
        "multipart",
        "method",
        validators.one_of("multipart", "octet"),
        "Send chunks as a multipart form, or as the raw body of the request (octet).",
    )
    upload_method: str = _row(SERVER, "POST", "uploadMethod", validators.method(), "HTTP method for uploading a chunk.")
    test_method: str = _row(
        SERVER, "GET", "testMethod", validators.method(), "HTTP method for testing whether a chunk is stored."
    )
    params_in: str = _row(
        SERVER,
        "both",
        None,
        validators.one_of("both", "query", "form"),
        "Where the parameters of a multipart upload go: query string, form, or both. Octet uploads use the query.",
    )
    chunk_format: str = _row(
        SERVER,
        "blob",
        "chunkFormat",
        validators.one_of("blob", "base64"),
        "Send chunks as bytes (blob), or base64-encoded as data URLs.",
    )
    set_chunk_type_from_file: bool = _row(
        SERVER,
        False,
        "setChunkTypeFromFile",
        validators.flag(),
        "Send the MIME type of the file as the content type of the chunk.",
    )
    prioritize_first_and_last_chunk: bool = _row(
        CHUNKS,
        False,
        "prioritizeFirstAndLastChunk",
        validators.flag(),
        "Send the first and the last chunk first. Implies chunk_order='free'.",
    )
    chunk_order: str = _row(
        CHUNKS,
        "bookends",
        None,
        validators.one_of("bookends", "strict", "free", "sequential"),
        "How the chunks of a file may overlap. bookends: no other chunk is completed while the first or the last is "
        "being sent. strict: these two are sent alone. free: all chunks may overlap. sequential: none may.",
    )
    part: Any = _row(
        CHUNKS,
        None,
        None,
        validators.part(),
        "Send only this part of each file: (2, 8) is the second of eight, which eight machines send at the same time. "
        "Only for servers that accept chunks in any order: those that say so, or any with chunk_order='free'.",
    )
    checksum: str | None = _row(
        INTEGRITY,
        None,
        None,
        validators.checksum(),
        "Send a hash of each chunk, by this algorithm of hashlib, such as sha256. A receiver of this package refuses a "
        "chunk that arrives changed, and it is sent again.",
    )
    file_checksum: bool = _row(
        INTEGRITY,
        False,
        None,
        validators.flag(),
        "Compute the SHA-256 of each file by reading it once more, and send it with the last chunk. A receiver of this "
        "package publishes the file only if it matches.",
    )
    test_chunks: bool = _row(
        RESUMING, True, "testChunks", validators.flag(), "Ask the server which chunks it already has, and skip those."
    )
    test_every_chunk: bool = _row(
        RESUMING,
        False,
        None,
        validators.flag(),
        "Ask for each chunk before it is sent, as resumable.js does, even if the server lacked several in a row.",
    )
    trust_tests: bool = _row(
        RESUMING,
        False,
        None,
        validators.flag(),
        "Skip the probe that detects servers that answer 'yes' to every test.",
    )
    success_statuses: tuple[int, ...] = _row(
        ANSWERS, (200, 201), None, validators.statuses(), "Statuses that mean that the chunk is stored."
    )
    test_errors_are_permanent: bool = _row(
        RESUMING,
        False,
        None,
        validators.flag(),
        "Fail the file on a permanent error in answer to a test, as flow.js does.",
    )
    preprocess: Any = _row(
        CHUNKS,
        None,
        "preprocess",
        validators.hook(),
        "callable(chunk) that may return other bytes to send. Called in a worker thread before a chunk is tested or "
        "sent.",
    )
    preprocess_file: Any = _row(
        FILES,
        None,
        "preprocessFile",
        validators.hook(),
        "callable(file) that may return other bytes to send. Called in a worker thread before the first request of a "
        "file.",
    )
    find_uploaded: Any = _row(
        RESUMING,
        None,
        None,
        validators.hook(),
        "callable(file) that may return which chunks are stored, as pairs (first, last) of indexes; these are skipped. "
        "Called in a worker thread before the first request of a file.",
    )
    generate_unique_identifier: Any = _row(
        RESUMING,
        None,
        "generateUniqueIdentifier",
        validators.hook(),
        "callable(path, relative_path) that returns the identifier. By default it consists of size, name and a hash.",
    )
    max_files: int | None = _row(
        FILES,
        None,
        "maxFiles",
        validators.integer(1, optional=True),
        "Maximum number of files in a session. If it is 1, a new file replaces the previous one.",
    )
    max_files_error_callback: Any = _row(
        FILES,
        None,
        "maxFilesErrorCallback",
        validators.hook(),
        "callable(files, count) that is called if there are too many files.",
    )
    min_file_size: int = _row(
        FILES,
        0,
        "minFileSize",
        validators.zero_for_none(validators.integer(0)),
        "Reject files smaller than this many bytes (resumable.js: 1).",
    )
    min_file_size_error_callback: Any = _row(
        FILES,
        None,
        "minFileSizeErrorCallback",
        validators.hook(),
        "callable(file, count) that is called if a file is too small.",
    )
    max_file_size: int | None = _row(
        FILES, None, "maxFileSize", validators.integer(0, optional=True), "Reject files larger than this many bytes."
    )
    max_file_size_error_callback: Any = _row(
        FILES,
        None,
        "maxFileSizeErrorCallback",
        validators.hook(),
        "callable(file, count) that is called if a file is too large.",
    )
    file_type: tuple[str, ...] = _row(
        FILES,
        (),
        "fileType",
        validators.types(),
        "Accept only files with these extensions or MIME types; () accepts all.",
    )
    file_type_error_callback: Any = _row(
        FILES,
        None,
        "fileTypeErrorCallback",
        validators.hook(),
        "callable(file, count) that is called if a file is of another type.",
    )
    max_chunk_retries: int | None = _row(
        ANSWERS,
        100,
        "maxChunkRetries",
        validators.integer(0, optional=True),
        "Maximum number of retries for a chunk. None: no limit.",
    )
    chunk_retry_interval: Any = _row(
        ANSWERS,
        None,
        "chunkRetryInterval",
        validators.interval(),
        "Seconds to wait before a retry. None: exponential backoff with jitter, at most 60 s.",
    )
    retry_for: float | None = _row(
        ANSWERS,
        None,
        None,
        validators.seconds(optional=True),
        "Give up on a file if no chunk has got through for this many seconds.",
    )
    permanent_errors: tuple[int, ...] = _row(
        ANSWERS,
        PERMANENT_ERRORS,
        "permanentErrors",
        validators.statuses(),
        "Statuses that fail the file at once. By default those after which a retry cannot help.",
    )
    should_retry: Any = _row(
        ANSWERS,
        None,
        None,
        validators.hook(),
        "callable(error, attempt) that returns whether to retry, or None for the default decision.",
    )
    accept_response: Any = _row(
        ANSWERS,
        None,
        None,
        validators.hook(),
        "callable(response) that returns whether an answer with a success status means that the chunk is stored, or "
        "None for the default decision.",
    )
    chunk_exists: Any = _row(
        RESUMING,
        None,
        None,
        validators.hook(),
        "callable(response) that returns whether the answer to a test means that the chunk is stored, or None for the "
        "default decision.",
    )
    after_file: Any = _row(
        SESSION,
        None,
        None,
        validators.hook(),
        "callable(file) that is called when the server has the file, before file_success. Called in a worker thread. "
        "If it raises, the file fails; a retry calls it again, and sends nothing that the server has.",
    )
    on_abort: Any = _row(
        SESSION,
        None,
        None,
        validators.hook(),
        "callable(file) that is called when the upload of a file is given up: cancelled, removed, replaced, or "
        "dropped by fail_fast. Called once, in a thread of its own, but not for files that close() leaves unfinished.",
    )
    limit_rate: int | None = _row(
        SPEED, None, None, validators.integer(1, optional=True), "Maximum bytes per second, all chunks together."
    )
    congestion_control: str | None = _row(
        SPEED,
        "auto",
        None,
        validators.name_or("auto", "bbr", "cubic"),
        "Congestion control of the connections. auto: bbr if Linux allows it. None: the default of the system.",
    )
    timeout: tuple[float | None, float | None] = _row(
        NETWORK,
        (10, 60),
        "xhrTimeout",
        validators.timeout(),
        "Seconds to wait for a connection, and for the server to respond.",
    )
    final_chunk_timeout: float | None = _row(
        NETWORK,
        300,
        None,
        validators.limit(),
        "Seconds to wait for the response to the last chunk of a file, because servers may assemble the file first.",
    )
    throttle_progress_callbacks: float = _row(
        SESSION,
        0.5,
        "throttleProgressCallbacks",
        validators.zero_for_none(validators.seconds()),
        "Minimum time between two progress events of a chunk, in seconds.",
    )
    session: Any = _row(
        NETWORK,
        None,
        "withCredentials",
        validators.with_method("send", "a requests.Session, a callable() that returns one", factory=True),
        "Your own requests.Session for cookies, auth and TLS settings, or a callable that makes one per concurrent "
        "request.",
    )
    transport: Any = _row(
        NETWORK,
        None,
        None,
        validators.with_method("send", "an object with the methods of Transport"),
        "Object that sends the requests instead of the requests library.",
    )
    redirect_origins: tuple[str, ...] = _row(
        ANSWERS,
        (),
        None,
        validators.origins(),
        "Other origins ('https://host') that a redirect with 307 or 308 may lead to.",
    )
    auto_upload: bool = _row(
        SESSION, True, None, validators.flag(), "Start uploading as soon as a file is added. False waits for upload()."
    )
    completion_delay: float = _row(
        SESSION,
        0.25,
        None,
        validators.seconds(),
        "Outside a with block, a run that started by itself ends after this many idle seconds.",
    )
    fail_fast: bool = _row(SESSION, False, None, validators.flag(), "Cancel all other files as soon as one has failed.")
    cancel_deletes: bool = _row(
        SESSION,
        False,
        None,
        validators.flag(),
        "Let cancel() also delete the unfinished files at a receiver of this package, if the receiver allows that.",
    )
    deliver: Any = _row(
        SESSION,
        None,
        None,
        validators.deliver(),
        "Which thread calls handlers. None: that of the asyncio loop in which the session is made, or else a thread "
        "of the session. 'thread': always a thread of the session. 'manual': the thread that calls process_events(). "
        "A callable brings them to a thread of yours.",
    )
    loop: Any = _row(
        SESSION,
        None,
        None,
        validators.with_method("call_soon_threadsafe", "an asyncio event loop"),
        "asyncio event loop that runs async handlers. None: the one that is running when the session is made or the "
        "handler is connected.",
    )
    plugins: Any = _row(
        SESSION,
        (),
        None,
        validators.plugins(),
        "Plugins to attach to the session; installed ones by name, or all of them ('installed').",
    )
    clock: Any = _row(SESSION, None, None, validators.hook(), "callable() that returns monotonic seconds, for tests.")

    def __init__(self, **values: Any) -> None:
        vars(self).update({name: row.default for name, row in OPTIONS.items()}, **values)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"the options of a session do not change: {name} was chosen when it was made")

    @classmethod
    def checked(cls, **given: Any) -> Options:
        """Check every given value, and return the options.

        Raises UnknownOption (a TypeError) with the nearest name, or OptionError with the option, the value and what is
        allowed.
        """
        values = {}
        for name, value in given.items():
            row = OPTIONS.get(name)
            if row is None:
                raise _unknown(name)
            values[name] = _checked(row, value)
        for name in ("query", "headers"):
            values.setdefault(name, MappingProxyType({}))
        options = cls(**values)
        _check_together(options)
        return options

    def changed(self, name: str, value: Any) -> Options:
        """Return these options with another value of this one. Raises OptionError."""
        return Options(**{**vars(self), name: _checked(OPTIONS[name], value)})

    def __copy__(self) -> Options:
        return self

    def __deepcopy__(self, _copied: Any) -> Options:
        # They never change, and sessions, functions and plugins among them are used and not owned.
        return self

    def __reduce_ex__(self, _protocol: Any) -> Any:
        raise TypeError(
            "the options of a session cannot be pickled: they may hold secrets, functions and connections; keep what "
            "you made the session with, and make another one from it"
        )

    def __repr__(self) -> str:
        # No secret is shown, and no default.
        return f"Options({', '.join(_shown(self))})"


def _shown(options: Options) -> Iterator[str]:
    for name, row in OPTIONS.items():
        value = getattr(options, name)
        if value not in (row.default, {}):
            yield f"{name}={redact_option(name, value)}"


def _unknown(name: str) -> UnknownOption:
    from .misnomers import instead_of, nearest  # only a mistyped name needs them

    spellings = {row.js_name: row.name for row in OPTIONS.values() if row.js_name}
    return UnknownOption(name, nearest(name, {**spellings, **{option: option for option in OPTIONS}}), instead_of(name))


def _check_together(options: Options) -> None:
    """Raise OptionError if two options exclude each other."""
    if options.method == "octet" and options.chunk_format == "base64":
        raise OptionError("chunk_format", "base64", "'blob' if method is 'octet'")
    if options.prioritize_first_and_last_chunk and options.chunk_order == "sequential":
        raise OptionError("chunk_order", "sequential", "'free' if prioritize_first_and_last_chunk is True")
    if options.part and options.prioritize_first_and_last_chunk:
        raise OptionError("prioritize_first_and_last_chunk", True, "False if part is given")
    if options.part and options.chunk_order not in ("bookends", "free"):
        raise OptionError("chunk_order", options.chunk_order, "'free', or not given, if part is given")
    for name in ("target", "test_target"):
        url = getattr(options, name)
        # An adapter of the session knows what to do with http+unix:// and its kind, and requests does not.
        adapted = isinstance(url, str) and "+" in url.partition("://")[0]
        if adapted and options.transport is None and options.session is None:
            raise OptionError(name, url, OPTIONS[name].allowed)
    if options.transport is not None and options.session is not None:
        raise OptionError("session", options.session, "None if a transport is given")


def _checked(row: Option, value: Any) -> Any:
    try:
        return row.check(value)
    except validators.Invalid as error:
        raise OptionError(row.name, value, str(error) or row.allowed) from None
    except (TypeError, ValueError):
        raise OptionError(row.name, value, row.allowed) from None


OPTIONS: Mapping[str, Option] = MappingProxyType(_collected(Options))
"""The rows by name, in the order of the documentation."""
