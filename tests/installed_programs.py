"""Programs that tests use: without them a test is skipped on a laptop and fails in CI."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from shared_by_run import share_in_run
from taskreel_local.emulators.google_emulators import (
    EmulatorMissingError,
    check_firestore_emulator,
)

GCLOUD_INSTALL = "https://cloud.google.com/sdk/docs/install"


def skip_or_fail(reason: str) -> NoReturn:
    """Skip the test, or fail it in CI, where everything must be installed."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def find_program(name: str, install: str) -> str:
    """The path of a program; `install` says how to get it."""
    return shutil.which(name) or skip_or_fail(f"{name} is not installed: {install}")


def install_npm_packages(folder: Path, *packages: str) -> None:
    """Install packages into the folder, unmodified; without npm the test is skipped, or fails."""
    find_program("node", "apt-get install nodejs npm")
    find_program("npm", "apt-get install nodejs npm")
    if not (folder / "package.json").exists():
        (folder / "package.json").write_text('{"private": true}')
    options = ("--silent", "--no-fund", "--no-audit", "--ignore-scripts", "--prefer-offline")
    done = subprocess.run(
        ["npm", "install", *options, *packages],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    if done.returncode:
        skip_or_fail(f"npm cannot install {packages}: {done.stderr.strip()[-200:]}")


@contextmanager
def share_npm_packages(
    factory: pytest.TempPathFactory, name: str, *packages: str, programs: Sequence[Path] = ()
) -> Iterator[Path]:
    """A folder with packages, unmodified, and programs, which all processes of the run share."""

    @contextmanager
    def install() -> Iterator[str]:
        folder = factory.mktemp(name)
        install_npm_packages(folder, *packages)
        for program in programs:
            shutil.copy(program, folder)
        yield str(folder)

    with share_in_run(factory, name, install) as folder:
        yield Path(folder)


def require_firestore_emulator() -> None:
    """Skip or fail where Google's Firestore emulator is not installed."""
    try:
        check_firestore_emulator()
    except EmulatorMissingError as missing:
        skip_or_fail(str(missing))
