"""Both ways to the network: our own, and through a requests.Session that the user brings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests


@pytest.fixture(params=["own", "session"])
def way(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Options that choose one of the ways."""
    if request.param == "own":
        yield {}
        return
    with requests.Session() as session:
        yield {"session": session}
