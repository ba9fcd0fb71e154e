"""What was public stays so: nothing in the snapshot is gone or has another signature."""

from __future__ import annotations

import public_api

PUBLIC = public_api.public()
SNAPSHOT = public_api.SNAPSHOT.read_text(encoding="utf-8").splitlines()


def test_nothing_public_is_removed_or_has_another_signature() -> None:
    # If it has to be: deprecate it first, see docs/reference/public.rst; after that, make api.
    assert [line for line in SNAPSHOT if line not in PUBLIC] == []


def test_everything_public_is_in_the_snapshot() -> None:
    # make api adds what is new.
    assert [line for line in PUBLIC if line not in SNAPSHOT] == []


def test_the_snapshot_tells_two_signatures_apart() -> None:
    def before(first: int, second: int = 2) -> None: ...
    def after(first: int, second: int = 3) -> None: ...

    assert public_api.signature(before) == "(first, second=2)"
    assert public_api.signature(after) != public_api.signature(before)
