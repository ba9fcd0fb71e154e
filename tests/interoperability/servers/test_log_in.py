"""Where a log-in is wanted, nobody else's upload is a success."""

from __future__ import annotations

import pytest

from resumable import AuthenticationRefused, RedirectRefused

from .client import CHUNK, Client
from .log_in import log_in, log_out

pytestmark = [pytest.mark.timeout(300), pytest.mark.only(lambda record: record.log_in)]


def test_who_has_not_logged_in_uploads_nothing(client: Client) -> None:
    path = client.source(3 * CHUNK)
    result = client.upload(path, session=None)
    assert not result.succeeded
    assert [type(error) for error in result.errors] == [AuthenticationRefused]
    assert client.copies(path) == 0
    assert len(client.tap.uploads()) == 1


def test_who_has_logged_in_with_a_wrong_password_uploads_nothing(client: Client) -> None:
    path = client.source(3 * CHUNK)
    result = client.upload(path, **log_in(client.tap.url, "wrong"))
    assert not result.succeeded
    assert [type(error) for error in result.errors] == [RedirectRefused]
    assert client.copies(path) == 0


def test_a_log_in_that_expires_in_the_middle_is_an_error_and_a_new_one_goes_on(client: Client) -> None:
    path = client.source(12 * CHUNK)
    options = log_in(client.tap.url)
    with client.session(**options) as session:
        file = session.add_file(path)
        file.on(
            "chunk_success", lambda chunk, message: log_out(client.server.url, options) if chunk.index == 4 else None
        )
        result = session.join(raise_errors=False)
    assert not result.succeeded
    assert [type(error) for error in result.errors] == [RedirectRefused]
    assert client.copies(path) == 0
    stored = {upload.number for upload in client.tap.uploads() if upload.status == 200}
    client.tap.clear()
    result = client.upload(path)
    assert result, result.errors
    assert client.copies(path) == 1
    assert not stored & {upload.number for upload in client.tap.uploads()}
