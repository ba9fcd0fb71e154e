"""Connect to an object store with boto3, which is imported only for that."""

from __future__ import annotations

import base64
from typing import Any

from .body import StreamedBody, new_digest

__all__ = ["connect"]

_CONNECTIONS = 64


def connect(endpoint_url: str | None = None, *, patience: float = 60.0, attempts: int = 3) -> Any:
    """Return a client of boto3 with the credentials and the region of the environment.

    ``patience`` is how many seconds an answer may take, ``attempts`` how often a request is sent. Raises
    ModuleNotFoundError if boto3 is missing, ValueError if the endpoint is no URL.
    """
    try:
        import boto3  # type: ignore[import-not-found, import-untyped, unused-ignore]
        from botocore.config import Config  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "the receiver stores into S3 with the package 'boto3'; install it with: pip install 'resumable[s3]'",
            name="boto3",
        ) from error
    config = Config(
        connect_timeout=4,
        read_timeout=patience,
        retries={"total_max_attempts": attempts, "mode": "standard"},
        max_pool_connections=_CONNECTIONS,
        # What is sent while it arrives can be read once only, so neither its hash nor its checksum goes in front.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"payload_signing_enabled": False},
    )
    client = boto3.session.Session().client("s3", endpoint_url=endpoint_url, config=config)
    client.meta.events.register("before-call.s3", _send_at_once)
    client.meta.events.register("before-call.s3.DeleteObjects", _send_md5)
    return client


def _send_at_once(params: dict[str, Any], **_: Any) -> None:
    """Send a small body without waiting for permission. For a large one waiting is worth it: if the store refuses it,
    it says why before it closes the connection."""
    if not isinstance(params["body"], StreamedBody):
        params["headers"].pop("Expect", None)


def _send_md5(params: dict[str, Any], **_: Any) -> None:
    """Send the checksum that a list of objects to delete must have, in the form that every store accepts."""
    digest = new_digest()
    digest.update(params["body"])
    params["headers"]["Content-MD5"] = base64.b64encode(digest.digest()).decode()
    params["context"].pop("checksum", None)
