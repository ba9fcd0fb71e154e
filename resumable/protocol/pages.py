"""Read what a server says to people: find the reason in a web page, and put any body on one short line.

A page of a framework or a proxy has its reason somewhere in the middle, behind a head of style sheets. It is found by
the marks of known pages, or else in the first sentences that say more than the title does.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

__all__ = [
    "asks_for_password",
    "is_web_page",
    "one_line",
    "strip_prefix",
    "strip_tags",
    "summary",
    "without_markup",
]

_LONGEST = 200
_MOST_SENTENCES = 2
_SENTENCE_WORDS = 4

_WEB_PAGE = re.compile(
    r"\A\s*(?:<!--(?:[^-]|-(?!->))*-->\s*|<\?xml[^<>]*>\s*)*"
    r"<(?:!doctype\s+html|html|head|body|title|meta|base|link|style|script|noscript|frameset|center|form|h1)(?![\w-])"
    r"|^[ \t]*<(?:!doctype\s+html|html)(?![\w-])",
    re.IGNORECASE | re.MULTILINE,
)
_PASSWORD = re.compile(r"<input\b[^<>]*\btype\s*=\s*[\"']?password\b", re.IGNORECASE)
_LOG_IN = re.compile(
    rf"<form\b|{_PASSWORD.pattern}|<a\b[^<>]{{0,300}}\bhref=[^<>\s]{{0,300}}\b(?:log|sign)[-_]?(?:in|on)\b",
    re.IGNORECASE,
)
_TITLE = re.compile(r"<title\b[^<>]*>([^<>]*)<", re.IGNORECASE)
_HIDDEN = re.compile(r"<(/?)(?:script|style|template)\b[^<>]*>", re.IGNORECASE)
_COMMENT = re.compile(r"<!--(?:[^-]|-(?!->))*-->")
_SIGNATURE = re.compile(r"<address\b[^<>]*>[^<>]*</address>", re.IGNORECASE)
_INLINE = re.compile(r"</?(?:a|b|code|em|font|i|ins|span|strong|tt|u)\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"<[!/?a-zA-Z][^<>]*>?")
_BREAK = re.compile(r"<br\b[^<>]*>", re.IGNORECASE)
_HEAD = re.compile(r"</head\s*>|<body\b[^<>]*>", re.IGNORECASE)

_REASONS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # Django's debug page, and its page about CSRF.
        r"<pre\b[^<>]*\bexception_value\b[^<>]*>([^<>]+)<",
        r"<p>(CSRF verification failed[^<>]*)</p>(?:(?!Reason given)[\s\S])*Reason given[^<>]*</p>\s*<pre>([^<>]+)<",
        # Bottle, Tomcat, and Spring.
        r"<h2>Exception:</h2>\s*<pre>([^<>]+)<",
        r"<b>Message</b>\s*([^<>]+)<",
        r"(There was an unexpected error[^<>]*)<(?:/div>\s*<div>([^<>]*)<)?",
    )
)
_EMPTY_TITLE = re.compile(r"(?:error|document|starlette debugger|untitled)?[.!]?\Z", re.IGNORECASE)
_DEBUGGER = re.compile(r"(.*?) // Werkzeug Debugger\Z")
_STACK = re.compile(r"\s+at [\w$.<>]+ ?\(.*|\s+at (?:async )?\S*[/\\]\S*:\d+.*")
_STACK_LINE = re.compile(r"\n[ \t]+at .*")
_TRACEBACK = re.compile(r"^Traceback \(most recent call last\):\n(?:[ \t].*\n|\n)*(?=\S)(.*)", re.MULTILINE)
_NO_REASON = re.compile(r"Traceback|File \"|Request |You(?:['\u2019]re| are) seeing|Django Version")
_SAYS = re.compile(r"\S:\s+\S|[.!]\Z")
_WORD = re.compile(r"\w+(?:[.']\w+)*")
_SAYS_NOTHING = {"a", "error", "http", "of", "the"}

# Byte order marks, as they are and as a server that does not know its own letters sends them; what keeps JSON from
# being run as a script, or has it run as one; and the element that JSON is put into for old browsers.
_PREFIX = re.compile(
    r"(?:\s|\ufeff|\xef\xbb\xbf)*(?:\)\]\}',?\s|while\s?\(1\);|for\s?\(;;\);"
    r"|(?:/\*\*/\s*)?[\w$.]{1,100}\((?=\s*\{)|<(?:pre|textarea)\b[^<>]*>(?=\s*\{))?\s*",
    re.IGNORECASE,
)


def is_web_page(text: str) -> bool:
    """Return whether the body is what a server shows to people. One that stores chunks may say so; more often the URL
    is wrong, or somebody has to log in.

    The type of the answer tells nothing: PHP says ``text/html`` of everything.
    """
    text = strip_prefix(text)
    return _WEB_PAGE.search(text) is not None or (text.startswith("<") and _LOG_IN.search(text) is not None)


def asks_for_password(text: str) -> bool:
    """Return whether there is a field for a password in the page."""
    return _PASSWORD.search(text) is not None


def summary(text: str) -> str:
    """Return the beginning of what a server said, on one line and without markup: of a page its title and reason."""
    text = strip_prefix(text)
    if is_web_page(text) and (reason := one_line(_joined(_reasons(text)))):
        return reason
    plain = strip_tags(text)
    raised = _TRACEBACK.search(plain)
    return one_line(raised[1] if raised else _STACK_LINE.sub("", plain))


def without_markup(text: str) -> str:
    """Return what a server said, as it is unless there is markup in it: then its :func:`summary`."""
    return summary(text) if _TAG.search(text) else text


def strip_prefix(text: str) -> str:
    """Return the body without what may stand before it for the sake of browsers."""
    # UTF-16 that was not declared has been read as UTF-8.
    text = text.replace("\0", "").lstrip("\ufffd")
    found = _PREFIX.match(text)
    return text[found.end() :] if found else text


def strip_tags(text: str) -> str:
    """Return the text as a browser shows it, one line for each block."""
    if "<" not in text:
        return text
    return html.unescape(_TAG.sub("\n", _INLINE.sub("", _visible(text))))


def one_line(text: str) -> str:
    """Return the beginning of the text, on one line, without control characters."""
    line = " ".join(text[: 4 * _LONGEST].split())
    line = "".join(letter if letter.isprintable() else "�" for letter in line)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _visible(text: str) -> str:
    pieces = _HIDDEN.split(text)
    return pieces[0] + "\n".join(text for slash, text in zip(pieces[1::2], pieces[2::2], strict=True) if slash)


def _reasons(page: str) -> Iterator[str]:
    """Give the title of a page, if it says anything, and what the page says besides."""
    found = _TITLE.search(page)
    title = one_line(html.unescape(found[1])) if found else ""
    if debugged := _DEBUGGER.match(title):
        # What follows is the source of the program.
        yield debugged[1]
        return
    title = "" if _EMPTY_TITLE.match(title) else title
    if title:
        yield title
    known = _SAYS_NOTHING.union(_WORD.findall(title.lower()))
    count = 0
    for sentence in _marked(page) or _sentences(page, least=_SENTENCE_WORDS if title else 2):
        words = set(_WORD.findall(sentence.lower()))
        if words and not words <= known:
            known |= words
            count += 1
            yield sentence
        if count == _MOST_SENTENCES:
            return


def _joined(reasons: Iterator[str]) -> str:
    text = next(reasons, "")
    for reason in reasons:
        text += f" {reason}" if text[-1] in ".:!?" else f": {reason}"
    return text


def _marked(page: str) -> list[str]:
    found = next((found for pattern in _REASONS if (found := pattern.search(page))), None)
    return [one_line(html.unescape(group)) for group in found.groups() if group] if found else []


def _sentences(page: str, *, least: int) -> Iterator[str]:
    """Give the blocks of the body that may be a reason; names of menus and signatures of servers are none."""
    body = _SIGNATURE.sub("", _visible(_COMMENT.sub("", _HEAD.split(page)[-1])))
    flat = _BREAK.sub(" ", _INLINE.sub("", " ".join(body.split())))
    for block in _TAG.split(flat):
        text = " ".join(_STACK.sub("", html.unescape(block).replace("\xa0", " ")).split())
        if not _NO_REASON.match(text) and (len(text.split()) >= least or _SAYS.search(text)):
            yield text
