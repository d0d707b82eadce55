"""The typed client, installed without the server's dependencies."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from installed_programs import skip_or_fail
from other_apis.conftest import HERE, OtherApis

SOURCE = Path(__file__).resolve().parents[2] / "infra" / "python_client"


def install(folder: Path) -> Path:
    """The Python of an environment with the client."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=120)
    python = folder / "bin" / "python"
    command = [str(python), "-m", "pip", "install", "--quiet", "--no-input", str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    if done.returncode:
        skip_or_fail(f"pip cannot install the client: {done.stderr.strip()[-300:]}")
    return python


@pytest.mark.slow
async def test_it_runs_with_httpx_and_pydantic_alone(apis: OtherApis, tmp_path: Path) -> None:
    python = await asyncio.to_thread(install, tmp_path / "environment")
    script = HERE / "taskreel_client.py"
    found = await apis.run_client([str(python), str(script)], {}, tmp_path)
    assert len(found["absent"]) == 5
    assert found["files"] == [["image.png", "image/png"]]
    assert found["streamed"][-1] == "COMPLETED"
    assert len(found["listed"]) == 2
    assert found["folder"] == "image.png"
    assert found["cancelled"] == "COMPLETED"
    assert found["cost"] == 5
