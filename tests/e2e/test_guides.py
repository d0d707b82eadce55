"""The guides, followed literally: every shell block against a dev stack in a fresh folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from e2e.processes import environment, stack
from guide_snippets import read_blocks
from nightly_tests import skip_by_day


@skip_by_day("it starts a stack and makes every job of the guides")
@pytest.mark.parametrize("guide", ["pipelines.md", "providers.md"])
def test_every_block_of_a_guide_works_as_it_stands(guide: str, tmp_path: Path) -> None:
    with stack(tmp_path / ".taskreel"):
        for block in read_blocks(guide):
            done = subprocess.run(
                ["bash", "-euc", block.replace(".venv/bin/", f"{Path(sys.executable).parent}/")],
                cwd=tmp_path,
                check=False,
                capture_output=True,
                text=True,
                timeout=180,
                env=environment(),
            )
            assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
