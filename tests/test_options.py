"""Every option: its default against resumable.js's, what it takes, what it refuses, and what it shows."""

from __future__ import annotations

import asyncio
import functools
import json
import re
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
import requests

from resumable.errors import OptionError, UnknownOption
from resumable.options import OPTIONS, Options
from resumable.statuses import PERMANENT_ERRORS
from resumable.validators import is_async

TABLE = Path(__file__).parent / "vectors" / "tables" / "defaults.json"
JAVASCRIPT = json.loads(TABLE.read_text(encoding="utf-8"))["resumablejs 1.1.2-b758078"]

# resumable.js option: why our default is another one.
DIFFERENCES = {
    "target": "required: there is no page to which '/' could be relative",
    "simultaneousUploads": "auto begins with the 3 of resumable.js and finds out how many are fastest",
    "permanentErrors": "other statuses do not go away by themselves either: see the table of statuses",
    "minFileSize": "an empty file is one empty chunk",
    "maxFilesErrorCallback": "an alert box there, the exception FileRejected here",
    "minFileSizeErrorCallback": "an alert box there, the exception FileRejected here",
    "maxFileSizeErrorCallback": "an alert box there, the exception FileRejected here",
    "fileTypeErrorCallback": "an alert box there, the exception FileRejected here",
    "withCredentials": "session: a requests.Session brings cookies and credentials",
    "xhrTimeout": "a server that never answers must not hold a worker for ever",
}

# resumable.js option: why there is none of ours.
WITHOUT_COUNTERPART = {
    "dragOverClass": "a class of a page's element",
    "clearInput": "an input element of a page",
    "getTarget": "target may be a callable itself",
}


def javascript_default(name: str) -> Any:
    value = JAVASCRIPT[name]
    if value == "<undefined>":
        return None
    return tuple(value) if isinstance(value, list) else value


def test_every_option_of_resumable_js_has_one_of_ours_or_a_reason() -> None:
    ours = {row.js_name for row in OPTIONS.values() if row.js_name}
    assert ours == set(JAVASCRIPT) - set(WITHOUT_COUNTERPART)


def test_every_default_is_that_of_resumable_js_or_has_a_reason() -> None:
    options = Options.checked()
    different = {
        row.js_name
        for row in OPTIONS.values()
        if row.js_name and getattr(options, row.name) != javascript_default(row.js_name)
    }
    assert different == set(DIFFERENCES)
    assert set(options.permanent_errors) > set(JAVASCRIPT["permanentErrors"])
    assert options.permanent_errors == PERMANENT_ERRORS


def hook(*arguments: Any) -> Any:
    return arguments


async def coroutine(*arguments: Any) -> Any:
    return arguments


async def generator(*arguments: Any) -> Any:
    yield arguments


class AsyncCall:
    async def __call__(self, *arguments: Any) -> Any:
        return arguments


ASYNC = [coroutine, generator, AsyncCall(), AsyncCall().__call__, functools.partial(coroutine, 1)]


class Sender:
    def send(self, *arguments: Any) -> None: ...


SESSION = requests.Session()
SENDER = Sender()
LOOP = SimpleNamespace(call_soon_threadsafe=hook)
NAMES = ([("name", "name")], [5, b"name", ["name"]])
OMITTED = ([("name", "name"), (None, None), ("", None), (False, None)], [5, b"name", ["name"]])
FLAG = ([(True, True), (False, False), (1, True), (0, False)], [None, 2, -1, 1.0, "true", ""])
HOOK = ([(None, None), (hook, hook), (str, str)], ["hook", 5, *ASYNC])
SECONDS = (
    [(0, 0), (0.5, 0.5), (10**9, 10**9), ("1", 1), ("0.5", 0.5)],
    [-1, float("nan"), float("inf"), 10**400, True, "nan", "inf", "-1", "", "1 s", "١"],
)
NO_URLS = ("h/upload", "//h/upload", "/upload", "", "ftp://h/", "http://", "http:///x", "http://h:port/")
URL = (
    [*((url, url) for url in ("http://h", "https://h:8443/a?b=c#d", "HTTP://h/", "http://[::1]:80/")), (hook, hook)],
    [
        *NO_URLS,
        "http://h:70000/",
        "http://[::1",
        "http://two words/",
        "http://h/\nx",
        "http://h/\udcfc",
        b"http://h/",
        5,
        *ASYNC,
    ],
)
METHOD = ([("put", "PUT"), ("POST", "POST")], ["", "PO ST", "POST\r\n", "PÜT", None, 5])
STATUSES = (
    [((), ()), ([404, 500], (404, 500)), (["404", 500], (404, 500)), ({404}, (404,)), (range(400, 402), (400, 401))],
    [404, "404", b"404", None, [99], [600], ["4O4"], [True]],
)
MAPPING = (
    [(None, {}), ({}, {}), ({"a": 1}, {"a": 1}), (MappingProxyType({"a": None}), {"a": None}), (hook, hook)],
    ["a=1", [("a", 1)], 5, *ASYNC],
)

# option: ([(a value that it takes, what becomes of it)], [values that it refuses])
ROWS: dict[str, tuple[list[tuple[Any, Any]], list[Any]]] = {
    "target": (URL[0], [*URL[1], None]),
    "test_target": (
        [*URL[0], (None, None), ("", None), ("/", None), (False, None)],
        [value for value in URL[1] if value != ""],
    ),
    "chunk_size": ([(1, 1), (2**40, 2**40), ("1048576", 2**20)], [0, -1, 1.0, True, "0", "1e3", "-1", "", "١", None]),
    "force_chunk_size": FLAG,
    "simultaneous_uploads": ([(1, 1), (64, 64), ("auto", "auto"), ("4", 4)], [0, -1, 2.0, None, "many", "0"]),
    "max_connections": ([(1, 1), ("16", 16)], [0, -1, "0", "", None, 1.5]),
    "file_parameter_name": (NAMES[0], [*NAMES[1], None]),
    "chunk_number_parameter_name": OMITTED,
    "chunk_size_parameter_name": OMITTED,
    "current_chunk_size_parameter_name": OMITTED,
    "total_size_parameter_name": OMITTED,
    "type_parameter_name": OMITTED,
    "identifier_parameter_name": OMITTED,
    "file_name_parameter_name": OMITTED,
    "relative_path_parameter_name": OMITTED,
    "total_chunks_parameter_name": OMITTED,
    "parameter_namespace": ([*NAMES[0], ("", ""), (None, "")], NAMES[1]),
    "query": MAPPING,
    "headers": (
        [*MAPPING[0], *((dict([pair]), dict([pair])) for pair in [("X", "caf\xe9"), ("X", b"\xe9"), ("X", 5)])],
        [*MAPPING[1], {"X": "a\r\nEvil: 1"}, {"X\n": "a"}, {"X": b"a\n"}, {"X": "文"}],
    ),
    "method": ([("multipart", "multipart"), ("octet", "octet")], ["form", None, []]),
    "upload_method": METHOD,
    "test_method": METHOD,
    "params_in": ([("both", "both"), ("query", "query"), ("form", "form")], ["body", None]),
    "chunk_format": ([("blob", "blob"), ("base64", "base64")], ["hex", None]),
    "set_chunk_type_from_file": FLAG,
    "prioritize_first_and_last_chunk": FLAG,
    "chunk_order": ([(mode, mode) for mode in ("bookends", "strict", "free", "sequential")], ["random", None]),
    "part": ([(None, None), ((2, 8), (2, 8)), ([1, 1], (1, 1))], [(0, 8), (9, 8), (True, 2), (1.0, 2), (1,), 3, "2/8"]),
    "checksum": (
        [
            ("sha256", "sha256"),
            ("SHA-256", "sha256"),
            ("sha3-256", "sha3_256"),
            (True, "sha256"),
            (False, None),
            (None, None),
        ],
        ["", "crc32", "shake_128", "sha", 256, b"sha256", ["sha256"]],
    ),
    "file_checksum": FLAG,
    "test_chunks": FLAG,
    "test_every_chunk": FLAG,
    "trust_tests": FLAG,
    "success_statuses": STATUSES,
    "test_errors_are_permanent": FLAG,
    "preprocess": HOOK,
    "preprocess_file": HOOK,
    "find_uploaded": HOOK,
    "generate_unique_identifier": HOOK,
    "max_files": ([(1, 1), (None, None), ("2", 2)], [0, -1, "0", ""]),
    "max_files_error_callback": HOOK,
    "min_file_size": ([(0, 0), (1, 1), (None, 0)], [-1, 0.5]),
    "min_file_size_error_callback": HOOK,
    "max_file_size": ([(0, 0), (None, None)], [-1, "1 MiB"]),
    "max_file_size_error_callback": HOOK,
    "file_type": ([((), ()), (None, ()), ("txt", ("txt",)), (["a", "image/*"], ("a", "image/*"))], [5, [5], b"txt"]),
    "file_type_error_callback": HOOK,
    "max_chunk_retries": ([(0, 0), (None, None)], [-1, 1.5]),
    "chunk_retry_interval": ([*SECONDS[0], (None, None), (hook, hook)], [*SECONDS[1], *ASYNC]),
    "retry_for": ([*SECONDS[0], (None, None)], SECONDS[1]),
    "permanent_errors": STATUSES,
    "should_retry": HOOK,
    "accept_response": HOOK,
    "chunk_exists": HOOK,
    "after_file": HOOK,
    "on_abort": HOOK,
    "limit_rate": ([(1, 1), (None, None)], [0, -1, 1.5, "1M"]),
    "congestion_control": (
        [("auto", "auto"), ("bbr", "bbr"), ("cubic", "cubic"), (None, None)],
        ["", "BBR", "a b", "x" * 16, 1, b"bbr"],
    ),
    "timeout": (
        [
            *((5, (5, 5)), (None, (None, None)), (0, (None, None)), ((1, 2), (1, 2)), ([None, 0], (None, None))),
            ((1e300, 10**10), (2147483, 2147483)),
        ],
        [*SECONDS[1], (1,), (1, 2, 3), (1, -1)],
    ),
    "final_chunk_timeout": ([(5, 5), (0, None), (None, None)], SECONDS[1]),
    "throttle_progress_callbacks": ([*SECONDS[0], (None, 0)], SECONDS[1]),
    "session": ([(None, None), (SESSION, SESSION), (requests.Session, requests.Session)], ["session", 5]),
    "transport": ([(None, None), (SENDER, SENDER)], ["transport", hook]),
    "redirect_origins": (
        [
            ((), ()),
            (None, ()),
            ("https://h", ("https://h",)),
            (["https://H:8443/", "http://b"], ("https://h:8443", "http://b")),
        ],
        [5, "h", ["h"], [hook], "https://h/path", "https://h?query", "https://user:word@h", "https://h#part"],
    ),
    "auto_upload": FLAG,
    "completion_delay": (SECONDS[0], [*SECONDS[1], None]),
    "fail_fast": FLAG,
    "cancel_deletes": FLAG,
    "deliver": ([(None, None), ("manual", "manual"), (hook, hook)], ["automatic", 5, *ASYNC]),
    "loop": ([(None, None), (LOOP, LOOP)], ["loop", 5, asyncio]),
    "plugins": ([((), ()), (None, ()), ("installed", "installed"), ([hook], (hook,))], ["other", 5]),
    "clock": HOOK,
}


def test_every_option_has_a_row_here_and_says_what_it_does_and_what_it_takes() -> None:
    assert list(ROWS) == list(OPTIONS)
    for row in OPTIONS.values():
        assert row.allowed
        assert re.match(r".+\.$", row.help), row.name
        assert row.default == OPTIONS[row.name].default


@pytest.mark.parametrize(
    ("name", "value", "becomes"), [(name, *pair) for name, (taken, _) in ROWS.items() for pair in taken]
)
def test_a_value_that_is_allowed_is_taken(name: str, value: Any, becomes: Any) -> None:
    assert getattr(Options.checked(**{name: value}), name) == becomes


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, (_, refused) in ROWS.items() for value in refused])
def test_a_value_that_is_not_allowed_is_refused_with_the_name_and_what_is_allowed(name: str, value: Any) -> None:
    with pytest.raises(OptionError, match=rf"^{name} must be .+[,;] got .+") as caught:
        Options.checked(**{name: value})
    assert caught.value.option == name
    assert isinstance(caught.value, ValueError)
    allowed = "not async" if callable(value) and is_async(value) else OPTIONS[name].allowed
    assert allowed in str(caught.value)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_default_passes_its_own_check(name: str) -> None:
    default = OPTIONS[name].default
    if name == "target":
        return
    assert getattr(Options.checked(**{name: default}), name) == getattr(Options.checked(), name)


def test_octet_has_no_base64_and_params_in_is_without_effect() -> None:
    with pytest.raises(OptionError, match="if method is 'octet'"):
        Options.checked(method="octet", chunk_format="base64")
    for place in ("both", "query", "form"):
        assert Options.checked(method="octet", params_in=place).method == "octet"


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("chunksize", "chunk_size"),
        ("chunkSize", "chunk_size"),
        ("simultaneous_upload", "simultaneous_uploads"),
        ("xhrTimeout", "timeout"),
        ("withCredentials", "session"),
        ("max_retries", "max_chunk_retries"),
        ("header", "headers"),
    ],
)
def test_an_unknown_option_is_a_type_error_that_names_the_nearest(wrong: str, meant: str) -> None:
    with pytest.raises(UnknownOption, match=f"there is no option '{wrong}'; did you mean '{meant}'") as caught:
        Options.checked(**{wrong: 1})
    assert isinstance(caught.value, TypeError)
    assert caught.value.option == wrong


def test_an_unknown_option_that_is_near_to_none_names_none() -> None:
    with pytest.raises(UnknownOption, match=r"^there is no option 'zzzz'$"):
        Options.checked(zzzz=1)


def test_options_cannot_be_changed_and_changed_makes_others() -> None:
    options = Options.checked(chunk_size=5, query={"a": 1})
    with pytest.raises(AttributeError):
        options.chunk_size = 6  # type: ignore[misc]
    with pytest.raises(TypeError):
        options.query["a"] = 2
    other = options.changed("query", {"b": 2})
    assert (other.query, other.chunk_size, options.query) == ({"b": 2}, 5, {"a": 1})
    with pytest.raises(OptionError, match="query must be"):
        options.changed("query", 5)


def test_a_mapping_given_is_copied() -> None:
    headers = {"X": "1"}
    options = Options.checked(headers=headers)
    headers["X"] = "2"
    assert options.headers == {"X": "1"}


SECRET = "c0ffee-secret"


def test_no_secret_is_shown_and_no_default_either() -> None:
    options = Options.checked(
        target=f"https://user:{SECRET}@host/up?token={SECRET}",
        test_target=f"https://host/?X-Amz-Signature={SECRET}",
        headers={"Authorization": SECRET},
        query={"token": SECRET},
        test_chunks=False,
        chunk_size=5,
    )
    assert repr(options) == (
        "Options(target='https://host/up?token=***', test_target='https://host/?X-Amz-Signature=***',"
        " chunk_size=5, query=<mappingproxy>, headers=<mappingproxy>, test_chunks=False)"
    )
    assert repr(Options.checked()) == repr(Options()) == "Options()"


def test_a_value_that_cannot_be_shown_is_refused_by_its_type() -> None:
    class Value:
        def __repr__(self) -> str:
            raise AttributeError("name")

    for value, kind in ((Value(), "Value"), (-(10**5000), "int")):
        with pytest.raises(OptionError, match=f"chunk_size must be an integer ≥ 1, got <{kind}>"):
            Options.checked(chunk_size=value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("target", f"ftp://user:{SECRET}@host/"),
        ("target", f"user:{SECRET}@host/"),
        ("target", f"http://user:{SECRET}/word@host/"),
        ("target", f"http://host:port/?api_key={SECRET}"),
        ("target", f"http://user:{SECRET}@host/".encode()),
        ("test_target", f"//user:{SECRET}@host/"),
        ("headers", [("Authorization", SECRET)]),
        ("headers", {"Authorization": SECRET + "\n"}),
        ("query", f"token={SECRET}"),
        ("session", SECRET),
        ("redirect_origins", f"https://user:{SECRET}@host"),
    ],
)
def test_no_secret_is_in_the_error_of_a_value_that_is_refused(name: str, value: Any) -> None:
    with pytest.raises(OptionError) as caught:
        Options.checked(**{name: value})
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)


@pytest.mark.parametrize(
    ("together", "option"),
    [
        ({"prioritize_first_and_last_chunk": True, "chunk_order": "sequential"}, "chunk_order"),
        ({"prioritize_first_and_last_chunk": True, "part": (1, 2)}, "prioritize_first_and_last_chunk"),
        ({"chunk_order": "strict", "part": (1, 2)}, "chunk_order"),
        ({"transport": SimpleNamespace(send=print, close=print), "session": requests.Session}, "session"),
    ],
)
def test_two_options_of_which_one_would_be_without_effect_are_refused(together: dict[str, Any], option: str) -> None:
    with pytest.raises(OptionError) as caught:
        Options.checked(target="http://a/", **together)
    assert caught.value.option == option
