"""The tree of exceptions: its shape, what each one carries, that it pickles, and that it shows no secret."""

from __future__ import annotations

import copy
import errno
import pickle
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.texts import LETTERS, texts

from resumable import errors
from resumable.errors import (
    AuthenticationRefused,
    BlockedLoop,
    FileRejected,
    HookError,
    IncompleteUpload,
    OptionError,
    PluginError,
    RedirectRefused,
    ResumableError,
    RetriesExhausted,
    ServerRefused,
    SourceChanged,
    SourceError,
    StateError,
    TransportError,
    UnfinishedUpload,
    UnknownEvent,
    UnknownOption,
    UploadCancelled,
    UploadError,
    UploadFailed,
    UsageError,
    WaitTimeout,
    redact_option,
    redact_url,
)


@dataclass(frozen=True)
class Record:
    """What stands for a file or a chunk."""

    name: str


FACTS: dict[str, Any] = {
    "file": Record("a.txt"),
    "chunk": Record("3"),
    "status": 503,
    "body": "busy",
    "attempts": 4,
}

EXAMPLES: list[ResumableError] = [
    ResumableError("anything"),
    UsageError("wrong"),
    OptionError("chunk_size", 0, "a whole number, 1 or more"),
    UnknownOption("chunksize", ["chunk_size"]),
    UnknownEvent("fileSucess", ["file_success"]),
    PluginError("audit", "shipped 1.0", "cannot be made: ValueError"),
    StateError("upload", "the session is closed"),
    FileRejected("a.exe", "file_type", "its type is none of txt"),
    SourceError("a.txt", "Permission denied", errno=errno.EACCES),
    SourceChanged("a.txt", "size 10 -> 5 bytes"),
    UploadError("not uploaded", **FACTS),
    TransportError("no answer", **FACTS),
    ServerRefused("no", **FACTS),
    AuthenticationRefused("who?", **FACTS),
    RedirectRefused("elsewhere", **FACTS),
    RetriesExhausted("all failed", **FACTS),
    HookError("preprocess raised", hook="preprocess", plugin="audit", **FACTS),
    IncompleteUpload("not whole", stored=4, total=12, **FACTS),
    UploadFailed([UploadError("first", **FACTS), SourceError("b", "gone", errno=2)], Record("result")),
    UploadCancelled("cancelled"),
    WaitTimeout("still going on"),
    BlockedLoop("join() blocks the asyncio loop"),
    UnfinishedUpload("1 file was not uploaded", ["a.txt"]),
]


def facts(error: BaseException) -> dict[str, Any]:
    """What an exception says, with the exceptions within as what they say."""
    held = {**vars(error), "errno": getattr(error, "errno", None)}
    held["errors"] = [facts(each) for each in held.get("errors", ())]
    return {"type": type(error), "text": str(error), "args": error.args, **held}


def test_there_is_an_example_of_every_exception() -> None:
    named = {getattr(errors, name) for name in errors.__all__}
    assert {type(error) for error in EXAMPLES} == {each for each in named if isinstance(each, type)}


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    parents: dict[int, str] = {}
    assert errors.__doc__ is not None
    drawn = {}
    for line in errors.__doc__.splitlines():
        bare = line.lstrip(" │├└─")
        name = bare.partition(" ")[0]
        if isinstance(getattr(errors, name, None), type):
            depth = len(line) - len(bare)
            parents[depth] = name
            drawn[name] = parents.get(depth - 4)
            if bare[len(name) :].strip().startswith("("):
                builtin = bare.partition("(")[2].partition(")")[0]
                assert issubclass(getattr(errors, name), getattr(__import__("builtins"), builtin))
    actual = {type(error).__name__: type(error).__bases__[0].__name__ for error in EXAMPLES}
    assert {name: parent or "Exception" for name, parent in drawn.items()} == actual


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_every_exception_pickles_with_all_that_it_carries(error: ResumableError, protocol: int) -> None:
    error.__cause__ = ConnectionResetError(errno.ECONNRESET, "reset")
    restored = pickle.loads(pickle.dumps(error, protocol))
    assert facts(restored) == facts(error)
    assert facts(restored.__cause__) == facts(error.__cause__)
    error.__cause__ = None
    assert pickle.loads(pickle.dumps(error, protocol)).__cause__ is None


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_every_exception_can_be_copied(error: ResumableError) -> None:
    assert facts(copy.copy(error)) == facts(copy.deepcopy(error)) == facts(error)


class Unpicklable(Exception):
    """As foreign exceptions often are: it has another signature than what it hands on."""

    def __init__(self, code: int, *, reason: str) -> None:
        super().__init__(f"{code} {reason}")


def test_a_cause_that_does_not_pickle_arrives_as_its_text() -> None:
    error = HookError("preprocess raised", hook="preprocess")
    error.__cause__ = Unpicklable(5, reason="bucket")
    restored = pickle.loads(pickle.dumps(error))
    assert str(restored.__cause__) == "Unpicklable: 5 bucket"
    assert isinstance(error.__cause__, Unpicklable)


def test_a_chain_of_our_own_causes_pickles() -> None:
    error: ResumableError = SourceError("a", "gone", errno=2)
    for _ in range(20):
        outer = UploadError("outer")
        outer.__cause__ = error
        error = outer
    restored: BaseException | None = pickle.loads(pickle.dumps(error))
    depth = 0
    while restored is not None and restored.__cause__ is not None:
        restored = restored.__cause__
        depth += 1
    assert depth == 20
    assert isinstance(restored, SourceError)
    assert restored.errno == 2


def test_an_upload_error_carries_the_facts_of_what_happened() -> None:
    for kind in (UploadError, TransportError, ServerRefused, AuthenticationRefused, RedirectRefused, RetriesExhausted):
        error = kind("message", **FACTS)
        assert {name: getattr(error, name) for name in FACTS} == FACTS
        assert str(error) == "message"
        bare = kind("message")
        assert (bare.file, bare.chunk, bare.status, bare.body, bare.attempts) == (None, None, None, "", 0)


def test_a_source_error_is_an_os_error_with_its_number() -> None:
    error = SourceError("a.txt", "Permission denied", errno=errno.EACCES)
    assert isinstance(error, OSError)
    assert error.errno == errno.EACCES
    assert str(error) == "cannot read 'a.txt': Permission denied"
    assert SourceError("a.txt", "gone").errno is None


def test_a_changed_source_says_what_changed_and_what_to_do() -> None:
    assert str(SourceChanged("a.txt", "size 10 -> 5 bytes")) == (
        "cannot read 'a.txt': it changed while it was being sent (size 10 -> 5 bytes); "
        "add it again when nothing writes to it any more"
    )


def test_a_failed_run_says_what_failed_first_and_how_many_more() -> None:
    first, second, third = UploadError("first"), UploadError("second"), SourceError("c", "gone")
    assert str(UploadFailed([first])) == "first"
    assert str(UploadFailed([first, second])) == "first (and 1 more file)"
    several = UploadFailed(iter([first, second, third]), "result")
    assert str(several) == "first (and 2 more files)"
    assert several.errors == (first, second, third)
    assert several.result == "result"
    assert str(UploadFailed([])) == "nothing"


def test_a_wrong_call_says_what_was_tried_and_why_not() -> None:
    assert str(StateError("upload", "the session is closed")) == "cannot upload: the session is closed"
    rejected = FileRejected("a.exe", "file_type", "its type is none of txt")
    assert str(rejected) == "'a.exe' was not added: its type is none of txt"
    assert (rejected.source, rejected.option) == ("a.exe", "file_type")
    assert str(UnknownOption("x")) == "there is no option 'x'"


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("http://host/path?a=1#part", "http://host/path?a=1#part"),
        ("https://user:word@host:8443/p", "https://host:8443/p"),
        ("https://user@host/", "https://host/"),
        ("https://us:er:w@rd@host/", "https://host/"),
        ("https://user:wo/rd@host/", "https://host/"),
        ("https://user:wo?rd@host/", "https://host/"),
        ("https://user:wo#rd@host/", "https://host/"),
        ("user:word@host/up", "host/up"),
        ("//user:word@host/up", "//host/up"),
        ("http://[::1]:80/mail@host", "http://[::1]:80/mail@host"),
        ("http://host:80/mail@host?q=a@b", "http://host:80/mail@host?q=a@b"),
        ("http://h/?next=https://user:word@other/", "http://h/?next=https://other/"),
        ("http://h/?token=1&a=2&API_KEY=3", "http://h/?token=***&a=2&API_KEY=***"),
        ("http://h/?X-Amz-Credential=1&X-Amz-Signature=2&X-Amz-Date=3", None),
        ("http://h/?sig=1;password=2;se=3", "http://h/?sig=***;password=***;se=3"),
        ("http://h/?t%6Fken=1", "http://h/?t%6Fken=***"),
        ("http://h/#access_token=1&state=2", "http://h/#access_token=***&state=2"),
        ("http://h/?token", "http://h/?token"),
        ("http://h/?code=1&country_code=2", "http://h/?code=***&country_code=2"),
        ("", ""),
        ("no url at all", "no url at all"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, safe: str | None) -> None:
    expected = "http://h/?X-Amz-Credential=***&X-Amz-Signature=***&X-Amz-Date=3" if safe is None else safe
    assert redact_url(url) == expected


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "access_token",
        "apikey",
        "key",
        "signature",
        "sig",
        "secret",
        "client_secret",
        "password",
        "passwd",
        "pwd",
        "auth",
        "Authorization",
        "credential",
        "session_id",
        "sid",
        "jwt",
        "bearer",
        "csrf",
        "code",
        "pin",
    ],
)
def test_the_names_that_smell_of_a_secret(name: str) -> None:
    assert redact_url(f"http://h/?{name}=c0ffee") == f"http://h/?{name}=***"


@given(texts() | st.from_regex(r"https?://[a-z:@/?#&=]*", alphabet=LETTERS))
def test_any_text_can_be_shown(url: str) -> None:
    once = redact_url(url)
    assert len(once) <= len(url) + 3 * (url.count("=") + 1)


def test_the_value_of_an_option_is_shown_unless_it_may_be_secret() -> None:
    assert redact_option("chunk_size", 5) == "5"
    assert redact_option("target", "http://a:b@h/") == "'http://h/'"
    assert redact_option("target", print) == "<builtin_function_or_method>"
    assert redact_option("headers", {"Authorization": "x"}) == "<dict>"
