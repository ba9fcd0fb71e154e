"""Every option, one row each.

A row is an attribute of :class:`Options`: its name, its default, the resumable.js name, the check that normalises a
value or refuses it, what is allowed in words, and one sentence of help. The constructor, the command line and the
tables of the documentation are made from these rows and from nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from .errors import OptionError, UnknownOption, shown

__all__ = ["OPTIONS", "Option", "Options"]

MIB = 1024 * 1024


class Option(NamedTuple):
    """One row: ``js_name`` is None where resumable.js has no such option, ``allowed`` says in words what is taken."""

    name: str
    js_name: str | None
    default: Any
    allowed: str
    check: Callable[[Any], Any]
    help: str


class _Refused(Exception):
    """A check does not take the value."""


def _row(default: Any, js_name: str | None, kind: tuple[Callable[[Any], Any], str], help: str) -> Any:
    check, allowed = kind
    return Option("", js_name, default, allowed, check, help)


def _collected(options: type) -> dict[str, Option]:
    """The rows of the class by name; each of its attributes is the row's default from now on. A dataclass would do the
    same, and take longer to be made than all else in this module."""
    rows = {name: row._replace(name=name) for name, row in vars(options).items() if isinstance(row, Option)}
    for name, row in rows.items():
        setattr(options, name, row.default)
    return rows


def _integer(least: int, *, optional: bool = False) -> tuple[Callable[[Any], Any], str]:
    def check(value: Any) -> Any:
        if optional and value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise _Refused
        return value

    return check, f"a whole number, {least} or more" + (", or None" if optional else "")


def _seconds(*, optional: bool = False) -> tuple[Callable[[Any], Any], str]:
    def check(value: Any) -> Any:
        if optional and value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
            raise _Refused
        return value

    return check, "seconds, 0 or more" + (", or None" if optional else "")


def _interval() -> tuple[Callable[[Any], Any], str]:
    number = _seconds(optional=True)[0]
    return lambda value: value if callable(value) else number(value), "seconds, callable(attempt) -> seconds, or None"


def _limit() -> tuple[Callable[[Any], Any], str]:
    number = _seconds(optional=True)[0]
    # 0 is resumable.js's word for no limit.
    return lambda value: number(value) or None, "seconds, or None or 0 for no limit"


def _timeout() -> tuple[Callable[[Any], Any], str]:
    limit = _limit()[0]

    def check(value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            if len(value) != 2:
                raise _Refused
            return limit(value[0]), limit(value[1])
        return limit(value), limit(value)

    return check, "seconds, (connect, read) in seconds, or None or 0 for no limit"


def _flag() -> tuple[Callable[[Any], Any], str]:
    def check(value: Any) -> Any:
        if not isinstance(value, bool):
            raise _Refused
        return value

    return check, "True or False"


def _one_of(*values: Any) -> tuple[Callable[[Any], Any], str]:
    def check(value: Any) -> Any:
        if value not in values:
            raise _Refused
        return value

    return check, "one of " + ", ".join(repr(value) for value in values)


def _text(*, optional: bool = False) -> tuple[Callable[[Any], Any], str]:
    def check(value: Any) -> Any:
        if optional and not value:
            return None
        if not isinstance(value, str):
            raise _Refused
        return value

    return check, "text" + (", or None to leave the parameter out" if optional else "")


def _method() -> tuple[Callable[[Any], Any], str]:
    def check(value: Any) -> Any:
        if not isinstance(value, str) or not value.isascii() or not value.isalpha():
            raise _Refused
        return value.upper()

    return check, "the name of an HTTP method"


def _hook() -> tuple[Callable[[Any], Any], str]:
    def check(value: Any) -> Any:
        if value is not None and not callable(value):
            raise _Refused
        return value

    return check, "a callable, or None"


def _mapping() -> tuple[Callable[[Any], Any], str]:
    def check(value: Any) -> Any:
        if value is None:
            return MappingProxyType({})
        if callable(value):
            return value
        if not isinstance(value, Mapping):
            raise _Refused
        return MappingProxyType(dict(value))

    return check, "a mapping, or callable(file, chunk) -> mapping"


def _headers() -> tuple[Callable[[Any], Any], str]:
    mapping = _mapping()[0]

    def check(value: Any) -> Any:
        headers = mapping(value)
        for line in () if callable(headers) else headers.items():
            for part in line:
                text = part.decode("latin-1") if isinstance(part, bytes) else str(part)
                text.encode("latin-1")
                if "\r" in text or "\n" in text:
                    raise _Refused
        return headers

    return check, "a mapping to text in Latin-1 without line breaks, or callable(file, chunk) -> mapping"


def _url(*, optional: bool = False) -> tuple[Callable[[Any], Any], str]:
    def check(value: Any) -> Any:
        if (optional and value is None) or callable(value):
            return value
        if not isinstance(value, str):
            raise _Refused
        try:
            parts = urlsplit(value)
            parts.port  # noqa: B018 (reading it is what checks it)
        except ValueError:
            raise _Refused from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise _Refused
        if " " in parts.netloc or any(character < " " for character in value):
            raise _Refused
        return value

    return check, "an http:// or https:// URL, or callable(params) -> URL" + (", or None" if optional else "")


def _statuses() -> tuple[Callable[[Any], Any], str]:
    def check(value: Any) -> Any:
        if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
            raise _Refused
        statuses = tuple(value)
        if any(isinstance(s, bool) or not isinstance(s, int) or not 100 <= s <= 599 for s in statuses):
            raise _Refused
        return statuses

    return check, "HTTP statuses, each 100 to 599"


def _types() -> tuple[Callable[[Any], Any], str]:
    def check(value: Any) -> Any:
        types = (value,) if isinstance(value, str) else tuple(value or ())
        if any(not isinstance(item, str) for item in types):
            raise _Refused
        return types

    return check, "extensions ('txt', '.txt') or MIME types ('image/*')"


def _origins() -> tuple[Callable[[Any], Any], str]:
    url = _url()[0]

    def check(value: Any) -> Any:
        origins = (value,) if isinstance(value, str) else tuple(value or ())
        for origin in origins:
            if not isinstance(origin, str) or url(origin).rstrip("/").count("/") != 2 or set("@?#") & set(origin):
                raise _Refused
        return tuple(origin.rstrip("/").lower() for origin in origins)

    return check, "origins ('https://host' or 'https://host:8443')"


def _deliver() -> tuple[Callable[[Any], Any], str]:
    def check(value: Any) -> Any:
        if value is not None and value != "manual" and not callable(value):
            raise _Refused
        return value

    return check, "None for an own thread, 'manual', or callable(function) that calls it on your thread"


def _with_method(method: str, allowed: str, *, factory: bool = False) -> tuple[Callable[[Any], Any], str]:
    def check(value: Any) -> Any:
        usable = callable(getattr(value, method, None)) or (factory and callable(value))
        if value is not None and not usable:
            raise _Refused
        return value

    return check, allowed + ", or None"


def _plugins() -> tuple[Callable[[Any], Any], str]:
    def check(value: Any) -> Any:
        if isinstance(value, str):
            if value != "installed":
                raise _Refused
            return value
        return tuple(value or ())

    return check, "a sequence of plugin objects, or 'installed'"


class Options:
    """The options of one session, checked and normalised, which never change. Sizes are bytes, times are seconds."""

    target: Any = _row(None, "target", _url(), "Where chunks are sent; a query it has already is kept.")
    test_target: Any = _row(None, "testTarget", _url(optional=True), "Where tests are sent, if not to the target.")
    chunk_size: int = _row(MIB, "chunkSize", _integer(1), "Bytes in a chunk; the last may have nearly twice as many.")
    force_chunk_size: bool = _row(
        False, "forceChunkSize", _flag(), "Cut so that no chunk is longer than chunk_size: ceil instead of floor."
    )
    simultaneous_uploads: int = _row(3, "simultaneousUploads", _integer(1), "Chunks on the wire at once.")
    file_parameter_name: str = _row("file", "fileParameterName", _text(), "Name of the part with the bytes.")
    chunk_number_parameter_name: str | None = _row(
        "resumableChunkNumber", "chunkNumberParameterName", _text(optional=True), "The chunk's number, from 1."
    )
    chunk_size_parameter_name: str | None = _row(
        "resumableChunkSize", "chunkSizeParameterName", _text(optional=True), "The option chunk_size."
    )
    current_chunk_size_parameter_name: str | None = _row(
        "resumableCurrentChunkSize", "currentChunkSizeParameterName", _text(optional=True), "Bytes in this chunk."
    )
    total_size_parameter_name: str | None = _row(
        "resumableTotalSize", "totalSizeParameterName", _text(optional=True), "Bytes in the file."
    )
    type_parameter_name: str | None = _row("resumableType", "typeParameterName", _text(optional=True), "The MIME type.")
    identifier_parameter_name: str | None = _row(
        "resumableIdentifier", "identifierParameterName", _text(optional=True), "The unique identifier."
    )
    file_name_parameter_name: str | None = _row(
        "resumableFilename", "fileNameParameterName", _text(optional=True), "The file's name."
    )
    relative_path_parameter_name: str | None = _row(
        "resumableRelativePath", "relativePathParameterName", _text(optional=True), "Its path below what was added."
    )
    total_chunks_parameter_name: str | None = _row(
        "resumableTotalChunks", "totalChunksParameterName", _text(optional=True), "How many chunks the file has."
    )
    parameter_namespace: str = _row("", "parameterNamespace", _text(), "Put before the name of every parameter.")
    query: Any = _row(None, "query", _mapping(), "Extra parameters, made anew for each attempt; None omits one.")
    headers: Any = _row(None, "headers", _headers(), "Extra headers, made anew for each attempt.")
    method: str = _row("multipart", "method", _one_of("multipart", "octet"), "Chunks as a form, or as the bare body.")
    upload_method: str = _row("POST", "uploadMethod", _method(), "The HTTP method that sends a chunk.")
    test_method: str = _row("GET", "testMethod", _method(), "The HTTP method that tests for a chunk.")
    params_in: str = _row(
        "both",
        None,
        _one_of("both", "query", "form"),
        "Where the parameters stand in a multipart upload; in an octet one, in the query.",
    )
    chunk_format: str = _row("blob", "chunkFormat", _one_of("blob", "base64"), "base64: chunks as data URLs.")
    set_chunk_type_from_file: bool = _row(
        False, "setChunkTypeFromFile", _flag(), "Send the file's MIME type as that of the part."
    )
    prioritize_first_and_last_chunk: bool = _row(
        False,
        "prioritizeFirstAndLastChunk",
        _flag(),
        "The first and the last chunk go first; implies chunk_order='free'.",
    )
    chunk_order: str = _row(
        "bookends", None, _one_of("bookends", "free", "sequential"), "Which chunks of a file may be sent together."
    )
    test_chunks: bool = _row(True, "testChunks", _flag(), "Ask for each chunk whether the server has it already.")
    trust_tests: bool = _row(False, None, _flag(), "Believe tests without asking once for a chunk that cannot exist.")
    success_statuses: tuple[int, ...] = _row((200, 201), None, _statuses(), "Statuses that mean: the chunk is stored.")
    test_errors_are_permanent: bool = _row(
        False, None, _flag(), "A permanent error in answer to a test fails the file, as in flow.js."
    )
    preprocess: Any = _row(
        None, "preprocess", _hook(), "callable(chunk) -> bytes or None, on a worker, before a chunk is tested or sent."
    )
    preprocess_file: Any = _row(
        None, "preprocessFile", _hook(), "callable(file) -> bytes or None, on a worker, before its first request."
    )
    generate_unique_identifier: Any = _row(
        None, "generateUniqueIdentifier", _hook(), "callable(path, relative_path) -> str; None: size, name and a hash."
    )
    max_files: int | None = _row(
        None, "maxFiles", _integer(1, optional=True), "Most files in a session; 1 replaces it."
    )
    max_files_error_callback: Any = _row(
        None, "maxFilesErrorCallback", _hook(), "callable(files, count) when there are too many files."
    )
    min_file_size: int = _row(0, "minFileSize", _integer(0), "Bytes that a file has at least (resumable.js: 1).")
    min_file_size_error_callback: Any = _row(
        None, "minFileSizeErrorCallback", _hook(), "callable(file, count) when a file is too small."
    )
    max_file_size: int | None = _row(None, "maxFileSize", _integer(0, optional=True), "Bytes that a file has at most.")
    max_file_size_error_callback: Any = _row(
        None, "maxFileSizeErrorCallback", _hook(), "callable(file, count) when a file is too large."
    )
    file_type: tuple[str, ...] = _row((), "fileType", _types(), "Extensions and MIME types to take; () is all.")
    file_type_error_callback: Any = _row(
        None, "fileTypeErrorCallback", _hook(), "callable(file, count) when a file is of another type."
    )
    max_chunk_retries: int | None = _row(
        100, "maxChunkRetries", _integer(0, optional=True), "Further attempts for a chunk; None: without end."
    )
    chunk_retry_interval: Any = _row(
        None, "chunkRetryInterval", _interval(), "Wait before a retry; None: exponential with jitter, at most 60 s."
    )
    retry_for: float | None = _row(
        None, None, _seconds(optional=True), "Give up on a file when nothing has got through for so long."
    )
    permanent_errors: tuple[int, ...] = _row(
        (400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 500, 501),
        "permanentErrors",
        _statuses(),
        "Statuses that fail the file at once.",
    )
    should_retry: Any = _row(
        None, None, _hook(), "callable(error, attempt) -> True, False, or None for the usual decision."
    )
    accept_response: Any = _row(
        None, None, _hook(), "callable(response) -> bool: whether an answer that looks like success is one."
    )
    chunk_exists: Any = _row(
        None, None, _hook(), "callable(response) -> bool: whether the answer to a test says that the chunk is there."
    )
    timeout: tuple[float | None, float | None] = _row(
        (10, 60), "xhrTimeout", _timeout(), "Longest wait to connect, and longest silence of the server."
    )
    final_chunk_timeout: float | None = _row(
        300, None, _limit(), "Longest silence after the last chunk, when servers assemble the file."
    )
    throttle_progress_callbacks: float = _row(
        0.5, "throttleProgressCallbacks", _seconds(), "Least time between two progress events while bytes flow."
    )
    session: Any = _row(
        None,
        "withCredentials",
        _with_method("send", "a requests.Session, or callable() -> requests.Session", factory=True),
        "Your own requests.Session, or a factory that is called once a worker: cookies, auth, TLS, proxies.",
    )
    transport: Any = _row(
        None,
        None,
        _with_method("send", "an object with the methods of Transport"),
        "What sends requests, in place of requests.",
    )
    redirect_origins: tuple[str, ...] = _row(
        (), None, _origins(), "Other origins ('https://host') to which a 307 or 308 may lead."
    )
    auto_upload: bool = _row(True, None, _flag(), "Start sending when a file is added; False waits for upload().")
    fail_fast: bool = _row(False, None, _flag(), "The first failed file ends the run.")
    deliver: Any = _row(None, None, _deliver(), "Which thread calls the handlers.")
    loop: Any = _row(
        None, None, _with_method("call_soon_threadsafe", "an asyncio event loop"), "The loop that runs async handlers."
    )
    plugins: Any = _row((), None, _plugins(), "Plugins to attach.")
    clock: Any = _row(None, None, _hook(), "callable() -> seconds, monotonic; for tests.")

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
                raise UnknownOption(name, _near(name))
            values[name] = _checked(row, value)
        for name in ("query", "headers"):
            values.setdefault(name, MappingProxyType({}))
        options = cls(**values)
        if options.method == "octet" and options.chunk_format == "base64":
            raise OptionError("chunk_format", "base64", "'blob' together with method='octet'; base64 needs a form")
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
            yield f"{name}={shown(name, value)}"


def _checked(row: Option, value: Any) -> Any:
    try:
        return row.check(value)
    except (_Refused, TypeError, ValueError):
        raise OptionError(row.name, value, row.allowed) from None


def _near(name: str) -> list[str]:
    """The option that is probably meant, also where resumable.js's name for it is given."""
    spellings = {row.js_name.lower(): row.name for row in OPTIONS.values() if row.js_name}
    spellings.update((option.replace("_", ""), option) for option in OPTIONS)
    # Only whoever mistypes a name has to wait for this one.
    import difflib

    near = difflib.get_close_matches(name.replace("_", "").lower(), spellings, n=1, cutoff=0.5)
    return [spellings[match] for match in near]


OPTIONS: Mapping[str, Option] = MappingProxyType(_collected(Options))
"""The rows by name, in the order of the documentation."""
