"""fal's and Replicate's released clients in JavaScript."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from installed_programs import find_program, skip_or_fail
from other_apis.conftest import HERE, OtherApis

PACKAGES = ["@fal-ai/client@1", "replicate@1"]
PNG = [0x89, 0x50, 0x4E, 0x47]


@pytest.fixture(scope="module")
def node_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the released clients, unmodified."""
    find_program("node", "apt-get install nodejs npm")
    find_program("npm", "apt-get install nodejs npm")
    folder = tmp_path_factory.mktemp("other-apis")
    command = ["npm", "install", "--silent", "--no-fund", "--no-audit", "--ignore-scripts"]
    done = subprocess.run(
        [*command, *PACKAGES], cwd=folder, capture_output=True, text=True, check=False, timeout=180
    )
    if done.returncode:
        skip_or_fail(f"npm cannot install {PACKAGES}: {done.stderr.strip()[-200:]}")
    shutil.copy(HERE / "released_clients.mjs", folder)
    return folder


async def test_the_javascript_clients_run_models_follow_and_cancel(
    apis: OtherApis, node_project: Path
) -> None:
    found = await apis.run_client(["node", "released_clients.mjs"], {}, node_project)

    fal = found["fal"]
    assert fal["polled"]["id"].startswith("job_")
    assert fal["polled"] | {"id": ""} == {
        "id": "",
        "seen": "COMPLETED",
        "type": "image/png",
        "width": 64,
    }
    assert fal["streamed"] == fal["ran"] == 1
    assert fal["cancelled"] == "cancelled"
    assert fal["invalid"] == {
        "status": 422,
        "name": "ValidationError",
        "fields": [["body", "options", "width"]],
    }
    assert fal["failed"]["status"] == 422
    assert "fails permanently" in fal["failed"]["detail"]

    replicate = found["replicate"]
    assert replicate["begins"] == PNG
    assert replicate["ended"] == "succeeded"
    assert replicate["polled"] == "https:"
    assert replicate["cancelled"] == "canceled"
    assert replicate["listed"] >= 3
    assert "fails permanently" in replicate["failed"]
    assert replicate["invalid"] == 422
