"""Disks that are full, apart or read-only: real ones in memory, which root, or a user with namespaces, may mount."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support.stored_uploads import run_module

WAYS = (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"])


@pytest.fixture
def alone(tmp_path: Path) -> list[str]:
    """How to run a program that may mount, and whose mounts go when it ends."""
    problems = []
    for way in WAYS:
        try:
            command = [*way, "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)]
            tried = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60)
        except FileNotFoundError as error:
            pytest.skip(f"a program to mount with is missing: {error}")
        if tried.returncode == 0:
            return way
        problems.append(tried.stderr.strip())
    pytest.skip(f"this user can mount no file system: {'; '.join(problems)}")


@pytest.mark.once
@pytest.mark.parametrize("full_of", ["bytes", "files"])
def test_a_full_disk_refuses_what_needs_room_and_loses_nothing_and_goes_on_when_there_is_room(
    tmp_path: Path, alone: list[str], full_of: str
) -> None:
    assert run_module("full_disk", full_of, str(tmp_path), before=alone).splitlines()[-1] == "done"


@pytest.mark.once
def test_what_cannot_be_published_on_its_mount_is_refused_for_good_and_a_read_only_disk_for_the_moment(
    tmp_path: Path, alone: list[str]
) -> None:
    ran = run_module("other_mounts", str(tmp_path), before=alone)
    assert ran.splitlines()[-1] == "done"
