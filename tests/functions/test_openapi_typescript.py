"""TypeScript and the OpenAPI document: its types admit documented bodies, and a client runs."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from functions import documents_text as documents
from functions.openapi_fuzz import passing_time, serving
from installed_programs import install_npm_packages
from simulation.world import World, token
from taskreel.jobtypes import JOB_TYPES

pytestmark = pytest.mark.slow

CLIENT = Path(__file__).with_name("typescript") / "client.ts"
PACKAGES = ["openapi-typescript@7", "openapi-fetch@0", "typescript@5", "@types/node@20"]
CONFIG = {
    "compilerOptions": {
        "strict": True,
        "noUncheckedIndexedAccess": True,
        "exactOptionalPropertyTypes": True,
        "module": "nodenext",
        "target": "es2022",
        "skipLibCheck": True,
        "types": ["node"],
    },
    "include": ["*.ts"],
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages installed."""
    folder = tmp_path_factory.mktemp("typescript")
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "tsconfig.json").write_text(json.dumps(CONFIG))
    install_npm_packages(folder, *PACKAGES)
    return folder


def list_bodies() -> list[tuple[str, Any]]:
    """Path and body of every request of documents 1 and 2, and of each job type's example."""
    found = [(f"/api/jobs/{name}", dict(one.example)) for name, one in JOB_TYPES.items()]
    for key, text in documents.fences().items():
        if text.startswith("POST /api/jobs/"):
            _, path, body = documents.http_request(text)
            found.append((path, body))
        elif key.startswith("2 ") and "JSON.stringify" in text and "fetch(" in text:
            found.append(documents.fetch_request(text))
    return [(path, body) for path, body in found if path.rpartition("/")[2] in JOB_TYPES]


def write_bodies(bodies: list[tuple[str, Any]]) -> str:
    """A module in which each body has the type of its route's request."""
    lines = ['import type { paths } from "./schema.js";']
    for number, (path, body) in enumerate(bodies):
        kind = f'paths["{path}"]["post"]["requestBody"]["content"]["application/json"]'
        lines.append(f"export const body{number}: {kind} = {json.dumps(body)};")
    return "\n".join(lines)


def run_tool(project: Path, name: str, *arguments: str) -> None:
    """Run a package's program; fail with its report."""
    done = subprocess.run(
        [str(project / "node_modules" / ".bin" / name), *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr


async def test_the_types_admit_every_documented_body_and_a_client_runs(
    world: World, project: Path
) -> None:
    document = (await world.api.get("/api/openapi.json")).text
    (project / "openapi.json").write_text(document)
    run_tool(project, "openapi-typescript", "openapi.json", "--output", "schema.ts")
    bodies = list_bodies()
    assert len(bodies) > len(JOB_TYPES) + 3
    (project / "bodies.ts").write_text(write_bodies(bodies))
    shutil.copy(CLIENT, project / "client.ts")
    run_tool(project, "tsc")

    async with serving(world) as url, passing_time(world):
        client = await asyncio.create_subprocess_exec(
            "node",
            "client.js",
            url,
            token("ada"),
            cwd=project,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, errors = await asyncio.wait_for(client.communicate(), 60)
    assert client.returncode == 0, errors.decode()
    assert json.loads(out) == {
        "status": "COMPLETED",
        "files": ["image/png"],
        "listed": [True],
        "refused": "not_found",
    }


async def test_a_body_with_a_misspelled_field_is_refused_by_the_types(
    world: World, project: Path
) -> None:
    (project / "openapi.json").write_text((await world.api.get("/api/openapi.json")).text)
    run_tool(project, "openapi-typescript", "openapi.json", "--output", "schema.ts")
    wrong = [("/api/jobs/image-generation", {"promt": "a kite"})]
    (project / "bodies.ts").write_text(write_bodies(wrong))
    with pytest.raises(AssertionError, match="promt"):
        run_tool(project, "tsc", "--noEmit")
