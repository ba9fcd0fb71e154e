"""The receiver in a project of Django under gunicorn: its users log in, and its model has their files."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests
from support.sample import Sample

from resumable import AuthenticationRefused, Resumable, UploadFailed

pytestmark = [pytest.mark.once, pytest.mark.slow]

CHUNK = 10_000


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="module")
def site(media: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The project, running."""
    environment = {"MEDIA": str(media), "DATABASE": str(tmp_path_factory.mktemp("database") / "db")}
    with socket.create_server(("127.0.0.1", 0)) as listening:
        command = (
            *(sys.executable, "-m", "gunicorn", "--threads=4", "--no-control-socket", "--log-level=warning"),
            *(f"--bind=fd://{listening.fileno()}", "django_project:application"),
        )
        process = subprocess.Popen(
            command,
            cwd=Path(__file__).parent,
            env={**os.environ, **environment, "PYTHONDONTWRITEBYTECODE": "1"},
            pass_fds=[listening.fileno()],
        )
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
    try:
        # Until Django has begun, which takes a busy machine a while, connections wait.
        requests.get(urljoin(url, "videos"), timeout=240)
        yield url
    finally:
        process.terminate()
        process.wait(60)


def cookie(site: str, name: str) -> dict[str, str]:
    """The header of somebody who has logged in."""
    answer = requests.get(urljoin(site, f"login/{name}"), timeout=60)
    return {"Cookie": f"sessionid={answer.cookies['sessionid']}"}


def test_who_is_logged_in_has_a_folder_and_a_file_in_the_model(site: str, media: Path) -> None:
    for number, name in enumerate(("ada", "grace"), 1):
        data = bytes([number]) * 3 * CHUNK
        with Resumable(urljoin(site, "deep/upload/"), CHUNK, headers=cookie(site, name)) as session:
            file = session.add_file(data, relative_path="holiday/Ü 1.mp4")
        assert file.result is not None
        assert file.result["url"] == f"/media/videos/{number}/holiday/%C3%9C%201.mp4"
        assert (media / "videos" / str(number) / "holiday" / "Ü 1.mp4").read_bytes() == data
    listed = requests.get(urljoin(site, "videos"), timeout=60).json()
    assert listed == {
        "videos/1/holiday/Ü 1.mp4": ["ada", 3 * CHUNK],
        "videos/2/holiday/Ü 1.mp4": ["grace", 3 * CHUNK],
    }


def test_who_is_not_logged_in_is_refused(site: str) -> None:
    with pytest.raises(UploadFailed) as caught, Resumable(urljoin(site, "deep/upload/"), CHUNK) as session:
        session.add_file(bytes(CHUNK), relative_path="a.bin")
    assert isinstance(caught.value.errors[0], AuthenticationRefused)


def test_a_page_of_another_site_cannot_use_the_login(site: str) -> None:
    sample = Sample(data=b"x" * 8)
    headers = {**cookie(site, "ada"), "Origin": "https://evil.example"}
    url = f"{urljoin(site, 'deep/upload/')}?{sample.query(1)}"
    assert requests.post(url, data=sample.chunk(1), headers=headers, timeout=60).status_code == 403


def test_it_is_found_where_it_is_mounted(site: str) -> None:
    url = urljoin(site, "deep/upload/")
    assert requests.get(url, timeout=60).headers["Content-Type"].startswith("text/html")
    assert requests.get(urljoin(url, "page.js"), timeout=60).headers["Content-Type"].startswith("text/javascript")
    assert requests.get(urljoin(site, "deep/upload"), timeout=60).url == url
    assert "'/deep/upload/'" in requests.get(urljoin(url, "nothing"), timeout=60).text
    assert requests.post(url, data=bytes(1_000_001), timeout=60).status_code == 413
