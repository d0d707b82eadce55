"""Programs that tests use: without them a test is skipped on a laptop and fails in CI."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

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


def require_firestore_emulator() -> None:
    """Skip or fail where Google's Firestore emulator is not installed."""
    try:
        check_firestore_emulator()
    except EmulatorMissingError as missing:
        skip_or_fail(str(missing))
