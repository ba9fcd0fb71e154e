"""Uploads with a token, through a requests.Session of one's own: python examples/custom_session.py URL FILE

The token is read from the environment, UPLOAD_TOKEN, because everybody on a machine sees the arguments of its programs.
"""

from __future__ import annotations

import os
import sys

import requests

from resumable import Resumable
from resumable.errors import AuthenticationRefused, UploadFailed


class Bearer(requests.auth.AuthBase):
    """Puts the token into each request; a token that expires would be renewed here."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


def main(url: str, path: str) -> int:
    account = requests.Session()
    account.auth = Bearer(os.environ["UPLOAD_TOKEN"])
    account.headers["User-Agent"] = "example/1.0"
    try:
        with Resumable(url, session=account) as session:
            session.add_file(path)
    except UploadFailed as failure:
        refused = any(isinstance(error, AuthenticationRefused) for error in failure.errors)
        print("the server did not take the token" if refused else failure, file=sys.stderr)
        return 1
    print("uploaded")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
