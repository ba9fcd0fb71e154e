"""Turn the errors of boto3 into refusals, with a line for the log that says what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...protocol.headers import LIMIT_HEADER
from ..messages import Refusal

__all__ = [
    "Missing",
    "PreconditionFailed",
    "StoreFailure",
    "damaged",
    "no_object_store",
    "refused",
    "too_slow",
    "translate",
    "unfit",
]

_UNUSABLE = "The server cannot use its object store: see its log for the reason."
_CHECK_ENDPOINT = "check the endpoint URL and the network"
_CHECK_SCHEME = "check whether the endpoint URL begins with https:// or http://"
_CHECK_KEYS = "check the access key and its secret (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, or the profile)"
_CHECK_REGION = "set the region of the bucket (AWS_DEFAULT_REGION)"

_ADVICE = {
    "AccessDenied": "allow the access key what the documentation lists, on this bucket and prefix",
    "AuthorizationHeaderMalformed": _CHECK_REGION,
    "ExpiredToken": "the credentials have expired: renew them",
    "IllegalLocationConstraintException": _CHECK_REGION,
    "InvalidAccessKeyId": _CHECK_KEYS,
    "InvalidBucketName": "check the name of the bucket",
    "InvalidToken": "the session token is not valid: renew the credentials",
    "NoSuchBucket": "create the bucket, or check its name and the endpoint URL",
    "PermanentRedirect": _CHECK_REGION,
    "RequestTimeTooSkewed": "the clock of this machine is wrong: set it",
    "SignatureDoesNotMatch": _CHECK_KEYS,
    "TokenRefreshRequired": "the credentials have expired: renew them",
}
"""What to do about errors that do not end by themselves, by their code."""
_BARE = {
    "301": "PermanentRedirect",
    "400": "a bad request: the credentials may have expired, or the region may be wrong",
    "403": "AccessDenied",
}
"""What the status of an answer without a body, as to HEAD, stands for."""
# A part that another server has just made again has another ETag in some stores, until the parts are listed again.
_BUSY = {
    "InternalError",
    "InvalidPart",
    "OperationAborted",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
}
_CONDITIONAL = {"412", "409", "ConditionalRequestConflict", "PreconditionFailed"}
_MISSING = {"404", "NoSuchKey", "NoSuchUpload", "NotFound"}
_SETTINGS = ("Config", "Profile", "Region")
"""What is in the names of the errors of boto3 about its own settings."""
_LARGE = {"EntityTooLarge", "MaxMessageLengthExceeded"}
_FULL = {"InsufficientStorage", "QuotaExceeded", "StorageFull", "XMinioStorageFull"}


class PreconditionFailed(Exception):
    """Raised if ``If-None-Match`` or ``If-Match`` did not hold, so that nothing was written."""


class Missing(Exception):
    """Raised if the object, or the multipart upload, does not exist."""


class StoreFailure(Refusal):
    """Raised if the object store fails. ``detail`` says what happened and what to do, for the log."""

    def __init__(self, status: int, sentence: str, detail: str, *headers: tuple[str, str]) -> None:
        super().__init__(status, sentence, *headers)
        self.detail = detail


def translate(error: Exception, doing: str) -> Exception:
    """Return what to raise instead of an error of boto3 that came while ``doing`` something.

    That is :class:`PreconditionFailed`, :class:`Missing`, or a :class:`StoreFailure`.
    """
    response: dict[str, Any] = getattr(error, "response", None) or {}
    if not response:
        return _without_answer(error, doing)
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return refused(response.get("Error", {}), status, doing)


def refused(said: Mapping[str, Any], status: int, doing: str) -> Exception:
    """Return what to raise if the store says ``Code`` and ``Message``; see :func:`translate`."""
    code, message = str(said.get("Code", "")), str(said.get("Message", ""))
    if code in _CONDITIONAL:
        return PreconditionFailed(doing)
    if code in _MISSING:
        return Missing(doing)
    known = _BARE.get(code, code)
    happened = f"the object store answered {known or status} ({message.strip() or status}) to {doing}"
    if code in _LARGE:
        limit = (LIMIT_HEADER, "file")
        return StoreFailure(413, "The object store takes no file of this size.", happened, limit)
    if code in _FULL or status == 507:
        return StoreFailure(507, "The object store is full: free some space there.", f"{happened}: free some space")
    if code in _BUSY or (known not in _ADVICE and (status >= 500 or status == 429) and status != 501):
        return _busy(f"{happened}: it is busy, or fails for a while; try again later")
    if known in _ADVICE:
        return _broken(f"{happened}: {_ADVICE[known]}")
    # An object store says more than a number.
    return _broken(happened if code.isalpha() else f"{happened}: {_CHECK_ENDPOINT}")


def _without_answer(error: Exception, doing: str) -> StoreFailure:
    kind = type(error).__name__
    if kind in ("NoCredentialsError", "PartialCredentialsError"):
        return _broken(f"there are no credentials for the object store: {_CHECK_KEYS}")
    if "Credential" in kind or "Token" in kind or "SSO" in kind:
        return _broken(f"the credentials for the object store cannot be had ({error}): renew them")
    if any(word in kind for word in _SETTINGS):
        return _broken(f"the settings for the object store cannot be used ({error}): correct the region or the profile")
    if kind in ("ParamValidationError", "InvalidBucketName"):
        return _broken(f"{doing} is not possible: {error}")
    if kind == "RecursionError" or "maximum recursion depth" in str(error):
        # boto3 follows a redirect by asking for the region, and that was redirected, too.
        return _broken(f"the object store redirects the request to {doing}: {_CHECK_ENDPOINT}, and {_CHECK_REGION}")
    if kind == "UnseekableStreamError":
        return _busy(f"the request to {doing} has to be sent again: the object store is busy or slow, or redirects")
    if kind == "SSLError":
        return _broken(
            f"there is no TLS connection to the object store ({error}): {_CHECK_SCHEME}, and name a file with the "
            "authority of its certificate in AWS_CA_BUNDLE"
        )
    # What is left is the network. The text may name the endpoint, but never a credential.
    text = str(error).split(", context")[0]
    # A store that speaks TLS only closes a connection on which somebody does not.
    advice = f"{_CHECK_SCHEME}, and {_CHECK_ENDPOINT}" if kind == "ConnectionClosedError" else _CHECK_ENDPOINT
    return _busy(f"the object store does not answer to {doing} ({text}): {advice}")


def too_slow(bucket: str, seconds: float) -> StoreFailure:
    """Return the failure of an endpoint that does not answer a few small requests within so many seconds."""
    return _busy(
        f"what should be the object store with the bucket {bucket!r} needs more than {seconds:g} seconds for "
        f"a few small requests: {_CHECK_ENDPOINT}"
    )


def no_object_store(bucket: str) -> StoreFailure:
    """Return the failure of an endpoint that does not answer like an object store with this bucket."""
    return _broken(
        f"what answers instead of the object store with the bucket {bucket!r} is none, or one that keeps no ETags: "
        f"{_CHECK_ENDPOINT}, or tell it to keep them"
    )


def unfit(reason: str) -> StoreFailure:
    """Return the failure of an object store that does not do what is needed."""
    return StoreFailure(501, _UNUSABLE, reason)


def damaged(doing: str) -> StoreFailure:
    """Return the failure of a request of which the store received other bytes than were sent."""
    return _busy(
        f"the object store received other bytes than were sent to {doing}: they are not used, and may come again"
    )


def _busy(detail: str) -> StoreFailure:
    return StoreFailure(503, "The object store does not answer at the moment: try again.", detail, ("Retry-After", "2"))


def _broken(detail: str) -> StoreFailure:
    return StoreFailure(500, _UNUSABLE, detail)
