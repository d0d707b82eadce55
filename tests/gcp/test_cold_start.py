"""A cold start loads no Google library before the first call to a Google adapter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = ROOT / "functions"

#: google.cloud.functions belongs to the framework; the namespaces exist before any code runs.
WATCHED = """
import json, sys
own = lambda name: name.startswith("google.cloud.functions") or name in {"google", "google.cloud"}
roots = {"google", "grpc", "proto"}
print(json.dumps([name for name in sys.modules if name.split(".")[0] in roots and not own(name)]))
"""

FIRST_REQUEST = """
import asyncio, httpx
from functions_framework.aio import create_asgi_app

async def ask():
    app = httpx.ASGITransport(create_asgi_app("{function}", "{main}"))
    async with httpx.AsyncClient(transport=app, base_url="http://test") as client:
        answer = await client.{request}
        assert answer.status_code == {status}, answer.text

asyncio.run(ask())
"""


def list_google_modules(code: str, folder: Path) -> list[str]:
    """The modules of Google's libraries that a fresh process has after running `code`."""
    return list_modules(code + WATCHED, folder)


def list_modules(code: str, folder: Path) -> list[str]:
    """The list that `code` prints at its end, in a fresh process."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(FUNCTIONS),
        "STORE_URL": f"sqlite:///{folder}/store.db",
        "BLOBS_URL": f"file:///{folder}/files",
        "INTERNAL_API_KEY": "an-internal-key-of-this-test",
        "JWT_SECRET": "a-jwt-secret-of-this-test-is-long",
        "FILES_SECRET": "a-files-secret",
        "SCRATCH_DIR": str(folder / "scratch"),
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    modules: list[str] = json.loads(done.stdout.splitlines()[-1])
    return modules


@pytest.mark.parametrize(
    ("function", "request_", "status"),
    [
        ("jobs_api", 'get("/api/jobs/health")', 200),
        ("jobs_api", 'get("/api/jobs/types")', 200),
        ("task_processor", 'post("/tasks/process")', 401),
        ("maintenance", 'post("/tasks/sweep")', 401),
    ],
)
def test_the_first_answer_on_the_embedded_adapters_loads_no_google_library(
    tmp_path: Path, function: str, request_: str, status: int
) -> None:
    code = FIRST_REQUEST.format(
        function=function, main=FUNCTIONS / "main.py", request=request_, status=status
    )
    assert list_google_modules(code, tmp_path) == []


FASTAPI = """
import json, sys
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules} & {"fastapi"})))
"""


@pytest.mark.parametrize(
    ("request_", "status", "loaded"),
    [
        ('post("/api/jobs/image-generation", json={})', 401, []),
        ('get("/api/jobs/job_of_nobody")', 401, []),
        ('get("/api/jobs/types")', 200, ["fastapi"]),
    ],
)
def test_the_hot_routes_are_answered_without_fastapi(
    tmp_path: Path, request_: str, status: int, loaded: list[str]
) -> None:
    code = FIRST_REQUEST.format(
        function="jobs_api", main=FUNCTIONS / "main.py", request=request_, status=status
    )
    assert list_modules(code + FASTAPI, tmp_path) == loaded


ALL = """
import json, sys
print(json.dumps(sorted(sys.modules)))
"""
BARE = ROOT / "infra" / "local" / "taskreel_local" / "bench" / "bare.py"
KEY = '"X-Internal-Api-Key": "an-internal-key-of-this-test"'


@pytest.mark.parametrize(
    ("function", "request_", "status", "most"),
    [
        # Twelve are msgspec's, of 3 ms together: classes of records compile no methods.
        ("jobs_api", 'get("/api/jobs/job_of_nobody")', 401, 185),
        ("jobs_api", 'get("/api/jobs/health")', 200, 174),
        ("jobs_api", 'post("/api/jobs/image-generation", json={})', 401, 213),
        (
            "task_processor",
            f'post("/tasks/process", json={{"jobId": "job_of_nobody"}}, headers={{{KEY}}})',
            200,
            227,
        ),
    ],
)
def test_a_cold_start_imports_few_modules_more_than_a_bare_function(
    tmp_path: Path, function: str, request_: str, status: int, most: int
) -> None:
    """Their number is the same on every machine, and most of the time goes there."""
    bare = FIRST_REQUEST.format(function="bare", main=BARE, request='get("/")', status=200)
    ours = FIRST_REQUEST.format(
        function=function, main=FUNCTIONS / "main.py", request=request_, status=status
    )
    added = set(list_modules(ours + ALL, tmp_path)) - set(list_modules(bare + ALL, tmp_path))
    assert not [name for name in added if name.startswith(("opentelemetry.sdk", "requests"))]
    assert len(added) <= most, sorted(added)


MODELS = """
import json
from pydantic import BaseModel

def list_models(kind):
    for one in kind.__subclasses__():
        yield one
        yield from list_models(one)

found = set(list_models(BaseModel))
print(json.dumps([
    sorted(one.__name__ for one in found),
    sorted(one.__name__ for one in found if one.__pydantic_complete__),
]))
"""


@pytest.mark.parametrize(
    ("request_", "status", "most_classes", "most_built"),
    [
        ('get("/api/jobs/health")', 200, 35, 7),
        ('get("/api/jobs/job_of_nobody")', 401, 48, 1),
        ('post("/api/jobs/image-generation", json={})', 401, 65, 2),
    ],
)
def test_a_cold_start_builds_few_models(
    tmp_path: Path, request_: str, status: int, most_classes: int, most_built: int
) -> None:
    """A class takes a third of a millisecond, and its validator as long again, on first use."""
    code = FIRST_REQUEST.format(
        function="jobs_api", main=FUNCTIONS / "main.py", request=request_, status=status
    )
    classes, built = list_modules(code + MODELS, tmp_path)
    assert len(classes) <= most_classes, classes
    assert len(built) <= most_built, built


@pytest.mark.parametrize(
    "making",
    [
        "from taskreel.adapters.gcp.firestore import FirestoreStore as It; It('project')",
        (
            "from taskreel.adapters.gcp.cloud_tasks import CloudTasks as It; "
            "It(project='p', location='l', target_url='http://x', internal_key='k')"
        ),
        "from taskreel.adapters.gcp.cloud_storage import CloudStorage as It; It('bucket')",
    ],
    ids=["firestore", "cloud_tasks", "gcs"],
)
def test_making_a_google_adapter_loads_nothing_before_its_first_call(
    tmp_path: Path, making: str
) -> None:
    assert list_google_modules(making, tmp_path) == []
