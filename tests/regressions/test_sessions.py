"""A requests.Session of the user, whatever was done with it before and whatever it sends with."""

from __future__ import annotations

from typing import Any

import requests
from faults.client import CHUNK, content, upload
from faults.script import Script, Store, answer

BLIND: dict[str, Any] = {"test_chunks": False}


def test_a_session_that_was_used_before_uploads_each_chunk_once() -> None:
    store = Store()
    data = content(3 * CHUNK)
    with Script(answer(), otherwise=store) as server, requests.Session() as session:
        assert session.get(server.url).status_code == 200
        run = upload(server.url, data, session=session, **BLIND)
    assert run.count("chunk_retry") == 0
    assert [request.number for request in server.uploads] == [1, 2, 3]
    assert {request.connection for request in server.requests} == {0}
    assert store.content(run.files[0].unique_identifier or "") == data
