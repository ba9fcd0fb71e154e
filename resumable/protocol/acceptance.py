"""Judge an answer with a success status by its body, because a 200 can be a refusal.

Some servers say only in the body what went wrong, and log-ins, portals and proxies before a server answer 200 with a
page of their own. False alarms are as bad as misses. So a body counts as a refusal only if it is a known one or says so
in JSON. A web page proves nothing in either direction, nor does JSON that sounds like a no.
"""

from __future__ import annotations

import hashlib
import json
import re
from enum import Enum
from functools import lru_cache
from typing import Any, NamedTuple

from .pages import asks_for_password, is_web_page, one_line, strip_prefix, strip_tags, summary

__all__ = ["Acceptance", "Judgement", "Remedy", "judge", "quoted"]


class Acceptance(Enum):
    """What a body says about the chunk that it answers."""

    ACCEPTED = "accepted"
    """Nothing speaks against it."""
    REFUSED = "refused"
    """The server did not take the chunk."""
    UNPROVEN = "unproven"
    """It proves nothing: a web page, a notice of PHP, JSON that sounds like a no, or a body that was cut."""


class Remedy(Enum):
    """What may help after a refusal."""

    NONE = "none"
    """Nothing: the same request will be refused again."""
    SMALLER_CHUNKS = "smaller chunks"
    """Nothing but smaller chunks: a limit of the server was exceeded."""
    RETRY = "retry"
    """Another attempt, but not many."""
    RENEWAL = "renewal"
    """Another attempt with new credentials."""


class Judgement(NamedTuple):
    """What :func:`judge` found. ``reason`` goes on from "POST URL → 200, ": it is one line, without markup.

    ``kind`` is equal for answers that are unproven and look alike, whatever numbers and file names are in them.
    ``remedy`` says what may help if the chunk turns out not to be stored. ``unfinished``: it is an acceptance, and says
    that the server has not all chunks of the file yet.
    """

    acceptance: Acceptance
    reason: str = ""
    remedy: Remedy = Remedy.NONE
    kind: str = ""
    unfinished: bool = False


_ACCEPTED = Judgement(Acceptance.ACCEPTED)

# What known servers say of a chunk, and not of the one that completes the file.
_UNFINISHED = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        # The Node samples of resumable.js and flow.js, which look for all chunks after each; else they say "done".
        r"partly_done\s*\Z",
        # What python-resumable's documentation answers; else it is "fileUploadStatus".
        r'\{(?!.*"fileUploadStatus"\s*:\s*true\b).*"chunkUploadStatus"\s*:\s*true\b',
    )
)

# What known servers say, at the beginning of a line, when they did not store a chunk.
_REFUSALS = tuple(
    (re.compile(pattern, re.MULTILINE), remedy)
    for pattern, remedy in (
        # The Node samples of resumable.js and flow.js: cut otherwise than they expect, too large, or no chunk at all.
        (r"\A\s*(?:invalid_(?:resumable|flow)_request[0-9]*|non_(?:resumable|flow)_request)(?![\w.])", Remedy.NONE),
        # The PHP sample of resumable.js, behind the date. The number is PHP's UPLOAD_ERR_…; 1 and 2 are limits.
        (r"^(?:[0-9]{2}\.[0-9]{2}\.[0-9]{4}: )?error [12] in file ", Remedy.SMALLER_CHUNKS),
        (r"^(?:[0-9]{2}\.[0-9]{2}\.[0-9]{4}: )?error [3-9] in file ", Remedy.RETRY),
        (r"^(?:[0-9]{2}\.[0-9]{2}\.[0-9]{4}: )?Error saving \(move_uploaded_file\) chunk ", Remedy.RETRY),
        (r"^(?:[0-9]{2}\.[0-9]{2}\.[0-9]{4}: )?cannot create the destination file\s*$", Remedy.RETRY),
        # Storages that speak S3's XML begin a 200 before they know the end.
        (r"\A\s*(?:<\?xml[^<>]*>\s*)?<Error>\s*<Code>", Remedy.RETRY),
        (r"^Traceback \(most recent call last\):", Remedy.RETRY),
        # A script that was sent to us instead of being run.
        (r"\A\s*(?:<\?php\b|<%@|#!/)", Remedy.NONE),
    )
)

# PHP writes its messages on lines of their own, Xdebug with "( ! )" before them; all end with "in FILE on line N".
_PHP = re.compile(
    r"^[ \t]*(?:\( ! \)[ \t]*)?(?:PHP )?(?:(?P<fatal>(?:(?:Recoverable |Catchable )?fatal error|Parse error)[ \t]*:"
    r"|Uncaught [\w\\]*(?:Exception|Error)\b)|(?P<level>Warning|Notice|Deprecated|Strict Standards)[ \t]*:)"
    r"(?P<words>[^\r\n]*)",
    re.MULTILINE | re.IGNORECASE,
)
_ON_LINE = re.compile(r" on line [0-9]+")
_PHP_LIMIT = re.compile(r"POST Content-Length of [0-9]+ bytes exceeds")
# A log that cannot be opened is no lost chunk; a part that cannot be read is missing in the file.
_PHP_LOST = re.compile(
    r"\b(?:move_uploaded_file|fwrite|fputs)\(|\b(?:fopen|file_put_contents)\((?![^)]*log)"
    r"|\bfile_get_contents\([^)]*\.part"
    r"|(?i:\bfile upload error)"
)

_DECODER = json.JSONDecoder(strict=False)
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
_OBJECT = re.compile(r"^[ \t]*\{", re.MULTILINE)
_NO = ("false", "0")
_FAILED = ("error", "fail", "failed", "failure")
_SOUNDS_LIKE_NO = ("denied", "forbidden", "invalid", "refused", "rejected", "unauthorized")


# A server says the same of most chunks. Few answers are kept, because one may have 64 KiB.
@lru_cache(maxsize=16)
def judge(text: str, *, cut: bool = False) -> Judgement:
    """Return what the body of an answer with a success status says. ``cut``: it is only the beginning of the body."""
    text = strip_prefix(text)
    value, rest = _first_json(text)
    if isinstance(value, str) and not rest:
        # A sentence as JSON, or JSON that was encoded twice.
        return judge(value, cut=cut)
    judgement = _judge_object(value) or _judge_lines(rest)
    if judgement is not None and judgement.acceptance is Acceptance.REFUSED:
        return judgement
    if is_web_page(rest):
        if asks_for_password(rest):
            return _unproven("a log-in page", rest, Remedy.RENEWAL)
        return _unproven("a web page", rest)
    if judgement is not None:
        return judgement
    if cut:
        return _unproven("more than can be read", text)
    return _ACCEPTED._replace(unfinished=any(pattern.match(text) for pattern in _UNFINISHED))


def _judge_lines(text: str) -> Judgement | None:
    """Return the judgement if the text has a line that a known server, or PHP, writes in case of trouble."""
    for pattern, remedy in _REFUSALS:
        found = pattern.search(text)
        if found is not None:
            words = text[found.start() :].lstrip()
            return _refused(summary(words) if words.startswith("Traceback") else words.partition("\n")[0], remedy)
    notice = None
    for message in _PHP.finditer(strip_tags(text)):
        level, words = (message["level"] or "").lower(), message["words"]
        if _PHP_LIMIT.search(words):
            return _refused(message[0], Remedy.SMALLER_CHUNKS)
        if message["fatal"] or (level in ("warning", "notice") and _PHP_LOST.search(words)):
            return _refused(message[0], Remedy.RETRY)
        if notice is None and _ON_LINE.search(words):
            notice = _unproven("a message of PHP", message[0])
    answer = _OBJECT.search(text) if notice is not None else None
    return (_judge_object(_first_json(text[answer.end() - 1 :])[0]) if answer else None) or notice


def _judge_object(value: Any) -> Judgement | None:
    """Return the judgement if the value is a JSON object that says of itself that something failed.

    Objects in it are not searched: they may be about other things. What only sounds like a no proves nothing.
    """
    doubtful = certain = False
    for name, said in value.items() if isinstance(value, dict) else ():
        refused, remedy = False, Remedy.RETRY
        match name.lower():
            case "error" | "errors":
                refused = bool(said) and not _says_no(said.get("code") if isinstance(said, dict) else said)
            case "success" | "ok":
                refused = _says_no(said)
                certain |= bool(said)
            case "status" | "statuscode" | "result":
                word = said.strip().lower() if isinstance(said, str) else ""
                refused = name.lower() == "status" and word in _FAILED
                # RFC 9457, and frameworks that put the status into the body and not on the answer.
                status = isinstance(said, int) and 400 <= said < 600 and name.lower() != "result"
                doubtful |= said is False or status or word in (*_FAILED, *_SOUNDS_LIKE_NO)
            case "errormessage":  # a function of AWS Lambda that raised
                doubtful |= bool(said)
            case "files":  # jQuery File Upload: the reason is beside the name of the file
                doubtful |= isinstance(said, list) and bool(said) and all(map(_has_error, said))
            case "csrf_expired":  # FileRise
                refused, remedy = said is True, Remedy.RENEWAL
            case "data":  # FileGator, if it could not put the file together
                refused = isinstance(said, str) and said.startswith("Error storing file")
        if refused:
            return _refused(strip_tags(json.dumps(value, ensure_ascii=False)), remedy)
    if certain or not doubtful:
        return None
    return _unproven("JSON that may be a no", json.dumps(value, ensure_ascii=False))


def _has_error(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("error"), str) and not _says_no(value["error"] or "0")


def _says_no(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in _NO
    return isinstance(value, (bool, int, float)) and value == 0


def _first_json(text: str) -> tuple[Any, str]:
    """Return the JSON object or string with which the text begins, if it does, and the text behind it.

    Something often follows: the 0 of a WordPress, a comment of whatever rendered the page, a message of PHP.
    """
    if text.startswith(("{", '"')):
        try:
            value, end = _DECODER.raw_decode(text)
        except (ValueError, RecursionError):
            pass
        else:
            return value, text[end:].strip()
    return None, text


def _refused(words: str, remedy: Remedy) -> Judgement:
    return Judgement(Acceptance.REFUSED, f"but it says {quoted(words)}", remedy)


def _unproven(what: str, text: str, remedy: Remedy = Remedy.RETRY) -> Judgement:
    """Return a judgement whose kind is made of all words that are the same whatever file is sent."""
    words = [word.strip(".,:;!?()[]{}\"'").lower() for word in strip_tags(text).split()]
    plain = " ".join(word for word in words if _WORD.fullmatch(word))
    kind = f"{what} {hashlib.sha256(plain.encode('utf-8', 'replace')).hexdigest()}"
    said = summary(text)
    return Judgement(Acceptance.UNPROVEN, f"{what}: {quoted(said)}" if said else what, remedy, kind)


def quoted(text: str) -> str:
    """Return the beginning of the text as it is shown within a message: in quotes, unless it is an object of JSON."""
    return json.dumps(one_line(text), ensure_ascii=False) if not text.startswith("{") else one_line(text)
