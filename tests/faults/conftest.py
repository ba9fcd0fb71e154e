"""Both ways to the network, our own and through a requests.Session that the user brings, and an authority to trust."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import trustme


@pytest.fixture(params=["own", "session"])
def way(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Options that choose one of the ways."""
    if request.param == "own":
        yield {}
        return
    with requests.Session() as session:
        yield {"session": session}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def bundle(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of the certificate that a client has to trust."""
    path = tmp_path_factory.mktemp("trust") / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)
