"""README's recipe for a provider, carried out in a copy of the tree: its result passes the lint."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _list_sources() -> list[str]:
    """The files that the recipe touches, or that the linter reads its rules and imports from."""
    places = ["functions", "infra/local/taskreel_local", "tests", "pyproject.toml"]
    listed = subprocess.run(
        ["git", "ls-files", "-z", *places], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return listed.stdout.rstrip("\0").split("\0")


def _read_recipe() -> tuple[list[str], str]:
    """The shell blocks of README's "Add a provider", and the row for the table of providers."""
    text = (ROOT / "README.md").read_text("utf-8")
    section = re.split(r"^## ", text.split("## Add a provider\n")[1], flags=re.MULTILINE)[0]
    scripts = re.findall(r"^ *```sh\n(.*?)^ *```", section, re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^ *(ProviderEntry\(.*\))$", section, re.MULTILINE)
    return scripts, rows[0]


def _run_shell(command: str, folder: Path) -> None:
    bin_folder = Path(sys.executable).parent
    command = command.replace(".venv/bin/", f"{bin_folder}/")
    done = subprocess.run(
        ["bash", "-euc", command],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "RUFF_NO_CACHE": "true"},
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("perl") is None, reason="the recipe uses perl")
def test_a_copied_provider_passes_the_checks_as_it_is(tmp_path: Path) -> None:
    for name in _list_sources():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    scripts, row = _read_recipe()
    copy, check = scripts

    _run_shell(copy, tmp_path)
    table = tmp_path / "functions/taskreel/adapters/providers/__init__.py"
    text = table.read_text("utf-8")
    first = text.index("ProviderEntry(", text.index("PROVIDERS:"))
    table.write_text(f"{text[:first]}{row},\n        {text[first:]}", "utf-8")

    # The first line of the step: the second runs the checks that are repeated here.
    _run_shell(check.splitlines()[0], tmp_path)
    _run_shell(".venv/bin/ruff format --check --quiet .", tmp_path)
    _run_shell(".venv/bin/ruff check .", tmp_path)
    _run_shell(".venv/bin/python -m pytest -q -p no:cacheprovider tests/providers/acme", tmp_path)
