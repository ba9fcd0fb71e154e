"""What happens after each status that a server may answer to a chunk: one row each.

The option ``permanent_errors``, the hints of errors and a page of the documentation are made from these rows. What a
status means for a test, and which statuses are success, is decided in :mod:`resumable.protocol.verdict`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

__all__ = ["FEW_ATTEMPTS", "PERMANENT_ERRORS", "STATUSES", "Decision", "Status", "decide", "hint", "most_attempts"]

FEW_ATTEMPTS = 5
"""Attempts at a chunk after an answer that another attempt is unlikely to change."""


class Decision(Enum):
    """What happens after an answer with a status."""

    STORED = "stored"
    """The chunk is stored."""
    PERMANENT = "permanent"
    """The file fails at once."""
    FEW = "few attempts"
    """The chunk is sent again, a few times."""
    RETRY = "retry"
    """The chunk is sent again, ``max_chunk_retries`` times."""
    ASK = "ask, then retry"
    """The server is asked for the chunk, which is sent again if it is not there, ``max_chunk_retries`` times."""
    BUSY = "wait, then retry"
    """The chunk is sent again after ``Retry-After``, and others wait, too."""


class Status(NamedTuple):
    """One row: the status, its name, what happens, why, and what the user can do."""

    code: int
    name: str
    decision: Decision
    reason: str
    hint: str | None = None


_STORED, _PERMANENT, _FEW, _RETRY, _ASK, _BUSY = Decision

_NO_SUCCESS = "It does not promise that the chunk is stored."
_ADD_SUCCESS = "list it in success_statuses if this server means that the chunk is stored"
_NEW_ADDRESS = "use the new address as the target"
_TRUST = "list its origin in redirect_origins if you trust it"
_IN_FORM = 'params_in="form" takes the parameters out of the URL of a multipart upload'
_CREDENTIALS = "check the credentials"
_LOG_IN = "log in again, and send the new token or cookie"
_OLD_LOGIN = "Headers that are made for each attempt may hold a newer log-in."
_GATEWAY = "The server behind the proxy may come back."
_LOST = "The server behind the proxy may have taken the chunk."
_CONDITION = "The next attempt would have the same headers."

_ROWS = (
    Status(100, "Continue", _FEW, "It is not a final answer; something between client and server is broken."),
    Status(101, "Switching Protocols", _FEW, "The client did not ask for it."),
    Status(102, "Processing", _FEW, "It is not a final answer; something between client and server is broken."),
    Status(103, "Early Hints", _FEW, "It is not a final answer; something between client and server is broken."),
    Status(200, "OK", _STORED, "As in resumable.js."),
    Status(201, "Created", _STORED, "As in resumable.js."),
    Status(202, "Accepted", _FEW, "Some servers say so when a chunk is missing.", _ADD_SUCCESS),
    Status(203, "Non-Authoritative Information", _FEW, "A proxy has changed the answer.", _ADD_SUCCESS),
    Status(204, "No Content", _FEW, _NO_SUCCESS, _ADD_SUCCESS),
    Status(205, "Reset Content", _FEW, _NO_SUCCESS, _ADD_SUCCESS),
    Status(206, "Partial Content", _FEW, _NO_SUCCESS, _ADD_SUCCESS),
    Status(207, "Multi-Status", _FEW, _NO_SUCCESS, _ADD_SUCCESS),
    Status(208, "Already Reported", _FEW, _NO_SUCCESS, _ADD_SUCCESS),
    Status(226, "IM Used", _FEW, _NO_SUCCESS, _ADD_SUCCESS),
    Status(300, "Multiple Choices", _PERMANENT, "The user has to choose.", _NEW_ADDRESS),
    Status(301, "Moved Permanently", _PERMANENT, "It would turn the upload into a GET.", _NEW_ADDRESS),
    Status(302, "Found", _PERMANENT, "It would turn the upload into a GET.", _NEW_ADDRESS),
    Status(303, "See Other", _PERMANENT, "It would turn the upload into a GET.", _NEW_ADDRESS),
    Status(304, "Not Modified", _PERMANENT, "It answers a question that an upload does not ask."),
    Status(305, "Use Proxy", _PERMANENT, "A server may not choose the client's proxy.", "check the proxy settings"),
    Status(307, "Temporary Redirect", _PERMANENT, "Following it was not allowed.", _TRUST),
    Status(308, "Permanent Redirect", _PERMANENT, "Following it was not allowed.", _TRUST),
    Status(
        400,
        "Bad Request",
        _PERMANENT,
        "As in resumable.js.",
        "the server may want other parameters, or force_chunk_size=True",
    ),
    Status(401, "Unauthorized", _PERMANENT, "As in resumable.js.", _CREDENTIALS),
    Status(402, "Payment Required", _PERMANENT, "The user has to pay first.", "ask the operator of the server"),
    Status(
        403,
        "Forbidden",
        _PERMANENT,
        "As in resumable.js.",
        "check the credentials and whether they allow uploads here",
    ),
    Status(404, "Not Found", _PERMANENT, "As in resumable.js.", "check the target"),
    Status(405, "Method Not Allowed", _PERMANENT, "The method stays the same.", "check the target and upload_method"),
    Status(
        406,
        "Not Acceptable",
        _PERMANENT,
        "The request stays the same, and a firewall may have refused it.",
        "check the target and the headers",
    ),
    Status(
        407,
        "Proxy Authentication Required",
        _PERMANENT,
        "The credentials stay the same.",
        "check the credentials of the proxy",
    ),
    Status(408, "Request Timeout", _RETRY, "The next attempt may be faster."),
    Status(409, "Conflict", _PERMANENT, "As in resumable.js: the upload contradicts one that began before."),
    Status(410, "Gone", _PERMANENT, "It will not come back.", "check the target"),
    Status(
        411,
        "Length Required",
        _PERMANENT,
        "The client sent the length; something between client and server dropped it.",
        "check whether a proxy changes requests on their way",
    ),
    Status(412, "Precondition Failed", _PERMANENT, _CONDITION, "check the headers"),
    Status(
        413,
        "Content Too Large",
        _PERMANENT,
        "The next attempt would be just as large.",
        "lower chunk_size; the last chunk may be up to twice it, unless force_chunk_size=True",
    ),
    Status(414, "URI Too Long", _PERMANENT, "The next attempt would have the same URL.", _IN_FORM),
    Status(
        415, "Unsupported Media Type", _PERMANENT, "As in resumable.js.", "the server does not take files of this type"
    ),
    Status(416, "Range Not Satisfiable", _PERMANENT, _CONDITION, "check the headers"),
    Status(417, "Expectation Failed", _PERMANENT, _CONDITION, "check the headers"),
    Status(418, "I'm a Teapot", _FEW, "It is a joke, or a block against programs that may be lifted."),
    Status(419, "Page Expired", _FEW, _OLD_LOGIN, _LOG_IN),
    Status(420, "Enhance Your Calm", _RETRY, "An old form of 429."),
    Status(421, "Misdirected Request", _FEW, "A new connection may reach the right server.", "check the target"),
    Status(422, "Unprocessable Content", _PERMANENT, "The server read the request and does not want it."),
    Status(423, "Locked", _RETRY, "Locks are released."),
    Status(424, "Failed Dependency", _FEW, "What it depends on may work next time."),
    Status(425, "Too Early", _RETRY, "The server asks for another attempt."),
    Status(426, "Upgrade Required", _PERMANENT, "The protocol stays the same.", "the server may want https://"),
    Status(428, "Precondition Required", _PERMANENT, _CONDITION, "the server wants a header such as If-Match"),
    Status(429, "Too Many Requests", _BUSY, "The server says that it is busy."),
    Status(
        431,
        "Request Header Fields Too Large",
        _PERMANENT,
        "The next attempt would have the same headers and URL.",
        f"{_IN_FORM}; send fewer headers and cookies",
    ),
    Status(440, "Login Time-out (IIS)", _FEW, _OLD_LOGIN, _LOG_IN),
    Status(444, "No Response (nginx)", _ASK, "The server closed the connection behind a proxy."),
    Status(449, "Retry With (IIS)", _FEW, "It asks for something that the next attempt may have."),
    Status(450, "Blocked by Parental Controls", _PERMANENT, "Somebody has to allow it."),
    Status(451, "Unavailable For Legal Reasons", _PERMANENT, "Waiting does not change it."),
    Status(
        460,
        "The chunk differs from its hash (resumable)",
        _FEW,
        "Its bytes, or what the request says of it, were changed on the way, which rarely happens twice in a row.",
        "something between client and server changes the data",
    ),
    Status(463, "Too Many Forwarded Addresses (AWS)", _PERMANENT, "The path to the server stays the same."),
    Status(464, "Incompatible Protocol (AWS)", _PERMANENT, "The protocol stays the same."),
    Status(494, "Request Header Too Large (nginx)", _PERMANENT, "As 431.", f"{_IN_FORM}; send fewer headers"),
    Status(
        495, "TLS Certificate Error (nginx)", _PERMANENT, "The certificate stays the same.", "check your certificate"
    ),
    Status(
        496,
        "TLS Certificate Required (nginx)",
        _PERMANENT,
        "The next attempt has none either.",
        "the server wants a client certificate",
    ),
    Status(
        497,
        "HTTP Request Sent to HTTPS Port (nginx)",
        _PERMANENT,
        "The URL stays the same.",
        "use https:// in the target",
    ),
    Status(498, "Invalid Token (Esri)", _FEW, _OLD_LOGIN, _LOG_IN),
    Status(499, "Client Closed Request (nginx)", _ASK, "The connection was cut behind a proxy."),
    Status(
        500,
        "Internal Server Error",
        _PERMANENT,
        "As in resumable.js, whose servers use it to end an upload.",
        "the log of the server says why; leave 500 out of permanent_errors to have it retried",
    ),
    Status(501, "Not Implemented", _PERMANENT, "As in resumable.js."),
    Status(502, "Bad Gateway", _ASK, _LOST),
    Status(503, "Service Unavailable", _BUSY, "The server says that it will be back."),
    Status(504, "Gateway Timeout", _ASK, _LOST),
    Status(505, "HTTP Version Not Supported", _PERMANENT, "The version stays the same."),
    Status(
        506, "Variant Also Negotiates", _PERMANENT, "The server is misconfigured, and retrying does not change that."
    ),
    Status(507, "Insufficient Storage", _RETRY, "Space may be freed."),
    Status(508, "Loop Detected", _FEW, "The server is misconfigured, which may be about to be fixed."),
    Status(509, "Bandwidth Limit Exceeded", _RETRY, "The limit may be over later."),
    Status(510, "Not Extended", _PERMANENT, "The request stays the same."),
    Status(
        511,
        "Network Authentication Required",
        _RETRY,
        "After a log-in to the network it will work.",
        "log in to the network that you are connected to",
    ),
    Status(520, "Unknown Error (Cloudflare)", _ASK, _LOST),
    Status(521, "Web Server Is Down (Cloudflare)", _RETRY, _GATEWAY),
    Status(522, "Connection Timed Out (Cloudflare)", _ASK, _LOST),
    Status(523, "Origin Is Unreachable (Cloudflare)", _RETRY, _GATEWAY),
    Status(
        524,
        "A Timeout Occurred (Cloudflare)",
        _ASK,
        "The server may have taken the chunk all the same.",
        "lower chunk_size if the server needs long for a chunk",
    ),
    Status(525, "TLS Handshake Failed (Cloudflare)", _RETRY, _GATEWAY),
    Status(526, "Invalid TLS Certificate (Cloudflare)", _FEW, "A certificate is rarely renewed in the meantime."),
    Status(527, "Railgun Error (Cloudflare)", _ASK, _LOST),
    Status(529, "Site Is Overloaded", _RETRY, "It may be less busy later."),
    Status(530, "Site Is Frozen, or Its Name Is Unknown", _RETRY, _GATEWAY),
    Status(561, "Unauthorized (AWS)", _PERMANENT, "The credentials stay the same.", _CREDENTIALS),
    Status(598, "Network Read Timeout", _ASK, _LOST),
    Status(599, "Network Connect Timeout", _RETRY, _GATEWAY),
)

STATUSES: Mapping[int, Status] = MappingProxyType({row.code: row for row in _ROWS})
"""The rows by status."""

PERMANENT_ERRORS = tuple(row.code for row in _ROWS if row.decision is _PERMANENT and row.code >= 400)
"""The default of ``permanent_errors``. Redirects that are not followed are always permanent."""

_UNKNOWN = {2: _FEW, 3: _PERMANENT, 4: _FEW, 5: _RETRY}


def decide(status: int) -> Decision:
    """Return what happens by default after an answer with this status, also if it is in no row.

    Redirects are permanent, server errors are retried, and anything unknown gets a few attempts.
    """
    row = STATUSES.get(status)
    return row.decision if row is not None else _UNKNOWN.get(status // 100, _FEW)


def hint(status: int) -> str | None:
    """Return what the user can do about this status, or None if nothing is known."""
    row = STATUSES.get(status)
    return None if row is None else row.hint


def most_attempts(status: int) -> int | None:
    """Return how often a chunk is sent that is answered with this status; None if ``max_chunk_retries`` decides."""
    return FEW_ATTEMPTS if decide(status) is _FEW else None
