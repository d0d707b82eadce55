"""The dashboard's pure modules, tested in their own language."""

from __future__ import annotations

import subprocess
from pathlib import Path

from installed_programs import find_program

TESTS = Path(__file__).with_name("dashboard_modules")


def test_the_pure_modules_pass_their_tests() -> None:
    node = find_program("node", "https://nodejs.org")
    command = [node, "--test", *map(str, sorted(TESTS.glob("*.test.mjs")))]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-4000:]
