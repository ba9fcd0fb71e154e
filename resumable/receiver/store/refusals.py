"""The refusals that all stores have in common, in one wording."""

from __future__ import annotations

from ..messages import Refusal

__all__ = [
    "Discarded",
    "begun_already",
    "cannot_check",
    "cannot_publish",
    "in_use",
    "name_taken",
    "other_bytes",
    "other_hash",
    "still_busy",
]


class Discarded(Refusal):
    """Raised if the upload of a request has been removed."""

    def __init__(self) -> None:
        super().__init__(409, "The upload was removed while the request was running: upload the file again.")


def other_hash(known: str, said: str) -> Refusal:
    """Return the refusal of a request that gives an upload another SHA-256 than an earlier one."""
    return Refusal(
        409,
        f"An unfinished upload with this identifier has the SHA-256 {known}, not {said}, so the file has changed: "
        "upload it under another identifier.",
    )


def other_bytes(index: int) -> Refusal:
    """Return the refusal of a chunk that is stored with other bytes."""
    return Refusal(
        409,
        f"Chunk {index + 1} is already stored with other bytes, so the file has changed since its upload began: "
        "upload it under another identifier.",
    )


def name_taken(name: str) -> Refusal:
    """Return the refusal of an upload whose name is taken."""
    return Refusal(409, f"A file named {_leaf(name)!r} exists already: upload this one under another name.")


def begun_already(name: str) -> Refusal:
    """Return the refusal of an upload whose name is reserved for another one."""
    return Refusal(409, f"Another upload named {_leaf(name)!r} has begun already: upload this file under another name.")


def in_use() -> Refusal:
    """Return the refusal to discard an upload that a request has open."""
    return Refusal(409, "Another request is in this upload: cancel it first.", ("Retry-After", "1"))


def still_busy(doing: str) -> Refusal:
    """Return the refusal of a request that has waited too long for another one, which is ``doing`` something."""
    return Refusal(503, f"Another request is still {doing} this upload: try again.", ("Retry-After", "1"))


def cannot_publish() -> Refusal:
    """Return the refusal of a file that nothing here can give a name, whatever the client does. The log says why.

    No client repeats a request after this status, while it would repeat it for an hour after 507.
    """
    return Refusal(501, "The server cannot store files in its directory: see its log for the reason.")


def cannot_check() -> Refusal:
    """Return the refusal of a request for a published file that cannot be looked for at the moment."""
    sentence = "The server cannot check whether it still has the file: try again."
    return Refusal(503, sentence, ("Retry-After", "5"))


def _leaf(name: str) -> str:
    return name.rpartition("/")[2]
