"""Say what to do about an answer: from what the server said first, and only then from its status.

A hint has to work if it is followed. So what is known of the server and of the file decides: a limit that is not about
requests is not helped by smaller chunks, and a page about a missing CSRF token not by another password.
"""

from __future__ import annotations

import re

from .. import statuses
from ..core.records import Lease
from ..dispatch.registry import FileRecord
from ..options import Options
from ..protocol.headers import CHUNK_SIZE_HEADER, LIMIT_HEADER, from_receiver
from ..protocol.pages import summary
from ..transport.base import Reply
from . import messages

__all__ = ["EMPTY_FILE", "hint", "redirect_hint", "smaller_chunks"]

EMPTY_FILE = "the file is empty, and servers of this kind often take no empty files: min_file_size=1 leaves them out"

_SMALL = 1024
_RAISE = "the operator of the server can raise its limit"
_LIMITS = {
    "file": _RAISE,
    "chunks": "raise chunk_size",
    "quota": "finish other uploads first, or have the quota raised",
}
_DIALECT = (
    "the server may expect other parameters: see params_in, method and the ..._parameter_name options; "
    "the command `resumable doctor URL` finds out"
)
_TLS = "use https:// in the target"
_CSRF = "send the CSRF token that the server wants (headers and cookie), or exempt the address of uploads from it"
_LOG_IN = "that looks like a log-in page: send the token or cookie that the server wants"

_REFUSES_EMPTY = frozenset({400, 404, 406, 409, 411, 412, 415, 422, 500, 501})
_MAY_BE_CSRF = frozenset({400, 401, 403, 419, 422})
_MAY_BE_DIALECT = frozenset({400, 422, 500})
_MAY_BE_LIMIT = frozenset({400, 404, 413, 500})

_SAYS_CSRF = re.compile(r"\bcsrf|xsrf|authenticity[ _]?token|antiforgery", re.IGNORECASE)
_SAYS_TLS = re.compile(
    r"(?:plain )?http request (?:was sent )?to (?:an )?https|plain HTTP to an SSL|only speaks HTTPS", re.IGNORECASE
)
_SAYS_QUOTA = re.compile(r"\bquota|insufficient storage|no space left|storage limit", re.IGNORECASE)
_SAYS_FILE = re.compile(
    r"file[ _]?(?:size )?(?:is )?(?:too (?:large|big)|exceeds|larger than)"
    r"|max(?:imum)?[ _]?(?:upload )?file[ _]?size",
    re.IGNORECASE,
)
_SAYS_REQUEST = re.compile(
    r"request content length|request length exceeded|request (?:body|entity)|entity too large|payload ?too ?large"
    r"|content too large|request data too ?big|body (?:is )?too (?:large|big)|DATA_UPLOAD_MAX_MEMORY_SIZE",
    re.IGNORECASE,
)
_SAYS_DIALECT = re.compile(
    r"multipart|\bboundary\b|\bform[- ]?data\b|unexpected field|request\.(?:get|post|files|form|args|values)\b"
    r"|(?:resumable|flow)[A-Z]\w+|\bKeyError\b|\bMultiValueDictKeyError\b|undefined (?:index|array key)"
    r"|(?:missing|required|absent)\W[^.]{0,60}\b(?:parameter|param|field|part|file|argument|key)\b"
    r"|\b(?:parameter|param|field|part|file|argument|key)\b[^.]{0,60}\b(?:missing|required|not (?:present|found))\b"
    r"|no file|cannot read propert|of (?:undefined|null)\b|NoneType|NullPointer",
    re.IGNORECASE,
)


def hint(reply: Reply, options: Options, record: FileRecord, lease: Lease) -> str | None:
    """Return what can be done about the refusal of a chunk, or None if nobody knows."""
    if from_receiver(reply.headers):
        return _of_receiver(reply, options, lease)
    advice = _of_foreign(reply, lease)
    if record.size == 0 and reply.status in _REFUSES_EMPTY:
        return f"{advice}; {EMPTY_FILE}" if reply.status == 404 and advice else EMPTY_FILE
    return advice


def _of_receiver(reply: Reply, options: Options, lease: Lease) -> str | None:
    """Return what can be done about a refusal of a receiver of this package, whose sentence says what is wrong."""
    status = reply.status
    if status in (413, 507):
        limit = reply.headers.get(LIMIT_HEADER.lower(), "")
        return smaller_chunks(lease) if limit == "request" else _LIMITS.get(limit)
    if status == 409:
        return _same_cut(reply.headers.get(CHUNK_SIZE_HEADER.lower(), ""), options)
    return None if status in (400, 403, 500) else statuses.hint(status)


def _same_cut(said: str, options: Options) -> str | None:
    """Return how to cut the file as the upload was cut that began before; None if it is not about that."""
    if not said.isascii() or not said.isdigit() or len(said) > 19:
        return None
    if int(said) != options.chunk_size:
        go_on = f"chunk_size={int(said)} continues it"
    elif options.force_chunk_size:
        go_on = "leaving out force_chunk_size=True continues it"
    else:
        go_on = "force_chunk_size=True continues it"
    return f"{go_on}; another identifier (generate_unique_identifier) starts over"


def _of_foreign(reply: Reply, lease: Lease) -> str | None:
    status, said = reply.status, summary(reply.text)
    if status in _MAY_BE_CSRF and _SAYS_CSRF.search(reply.text):
        return _CSRF
    if status == 400 and _SAYS_TLS.search(said):
        return _TLS
    if status in _MAY_BE_LIMIT:
        if _SAYS_QUOTA.search(said):
            return _LIMITS["quota"]
        if _SAYS_FILE.search(said):
            return f"the limit may be one of the whole file: {_RAISE}"
        if status == 413 or _SAYS_REQUEST.search(said):
            return smaller_chunks(lease)
    if status in _MAY_BE_DIALECT and _SAYS_DIALECT.search(said):
        return _DIALECT
    return statuses.hint(status)


def smaller_chunks(lease: Lease) -> str | None:
    """Return how to make this chunk smaller; there is no use in that if it is small already."""
    size = lease.end - lease.start
    if size < _SMALL:
        return f"a smaller chunk_size does not help, as this chunk has {size} bytes: {_RAISE}"
    apart = "; another identifier (generate_unique_identifier) keeps it apart from the chunks that are stored already"
    return f"{statuses.hint(413)}{apart if lease.index else ''}"


def redirect_hint(there: str, status: int) -> str:
    """Return what can be done about a redirect that is not followed; ``there`` is empty if it leads nowhere."""
    if not there:
        return "check the target"
    if messages.is_log_in(there):
        return _LOG_IN
    place = messages.redacted(there)
    if status in (301, 308):
        return f"use {place} as the target"
    return f"use {place} as the target if uploads are taken there"
