"""The scripts, the real gcloud, and a fake Google that it calls."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from taskreel_cloud_tasks.engine_config import EngineConfig
from taskreel_cloud_tasks.queues_file import load_queues
from taskreel_cloud_tasks.service import LocalCloudTasks, ServiceConfig
from taskreel_local.emulators.google_emulators import firestore_emulator, storage_emulator
from taskreel_local.stack.local_stack import Stack, StackConfig
from taskreel_local.stack.repository_paths import QUEUES

from . import (  # noqa: F401 - for their routes
    fake_billing,
    fake_firestore,
    fake_monitoring,
    fake_run,
    fake_services,
    fake_storage,
)
from .fake_google import LOCATION, PROJECT, FakeGoogle, serve

ROOT = Path(__file__).parents[2]

#: gcloud's own names of the services, for its endpoint overrides.
SERVICES = (
    *(
        "artifactregistry",
        "cloudbuild",
        "cloudkms",
        "cloudquotas",
        "cloudresourcemanager",
        "cloudscheduler",
        "cloudtasks",
        "firestore",
    ),
    *("iam", "run", "secretmanager", "serviceusage"),
)


@dataclass(frozen=True)
class Cloud:
    """A fake project, and methods that run a script against it."""

    google: FakeGoogle
    env: Mapping[str, str]

    def run(
        self, script: str, *args: str, stdin: str = "", **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a script and return its result."""
        return subprocess.run(
            [str(ROOT / "scripts" / script), *args],
            env={**self.env, **env},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )

    def ok(self, script: str, *args: str, **env: str) -> str:
        """Run a script that must succeed and return its output."""
        done = self.run(script, *args, **env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def list_differences(self) -> list[str]:
        """Return the lines of the doctor that are neither a part in order nor a hint."""
        lines = self.ok("doctor").splitlines()
        return [line for line in lines if not line.startswith(("ok ", "hint "))]

    def gcloud(self, *args: str) -> None:
        """Change the project as a person would."""
        flags = (f"--location={LOCATION}", f"--project={PROJECT}", "--quiet")
        subprocess.run(
            ["gcloud", *args, *flags],
            env=dict(self.env),
            check=True,
            capture_output=True,
            timeout=60,
        )

    def list_serving(self, service: str) -> list[str]:
        """Return the revisions of a service that get its traffic."""
        traffic = self.google.of("run")[service]["status"]["traffic"]
        return [each["revisionName"] for each in traffic]

    def read_secret(self, name: str) -> str:
        """Return the value of a secret with one version."""
        versions = self.google.of("versions").items()
        (version,) = (each for path, each in versions if f"/{name}/" in path)
        return base64.b64decode(version["payload"]["data"]).decode()

    def writes(self) -> list[str]:
        """Return the changes since the last call."""
        found = list(self.google.writes)
        self.google.writes.clear()
        return found


def environment(port: int, home: Path, gcloud: Mapping[str, str]) -> dict[str, str]:
    """Return gcloud's settings: all calls go to the fake, no settings of the user."""
    token = home / "token"
    token.write_text("fake-access-token")
    return {
        "PATH": os.environ["PATH"],
        "TASKREEL_PYTHON": sys.executable,
        **gcloud,
        "HOME": str(home),
        "CLOUDSDK_CONFIG": str(home / "gcloud"),
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(token),
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
        "CLOUDSDK_PROXY_TYPE": "http",
        "CLOUDSDK_PROXY_ADDRESS": "127.0.0.1",
        "CLOUDSDK_PROXY_PORT": str(port),
        **{
            f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name.upper()}": f"http://{name}.fake/"
            for name in SERVICES
        },
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": "http://storage.fake/storage/v1/",
        "FIREBASE_RULES_ENDPOINT": f"http://127.0.0.1:{port}/firebaserules",
        "MONITORING_ENDPOINT": f"http://127.0.0.1:{port}/monitoring",
        "LOGGING_ENDPOINT": f"http://127.0.0.1:{port}/logging",
        "BILLING_ENDPOINT": f"http://127.0.0.1:{port}/billing",
        "BUDGETS_ENDPOINT": f"http://127.0.0.1:{port}/budgets",
        "IDENTITY_TOOLKIT_ENDPOINT": f"http://127.0.0.1:{port}/identitytoolkit",
        "TASKREEL_API_SECONDS": "0",
        "FIRESTORE_ENDPOINT": f"http://127.0.0.1:{port}/firestore",
        "TASKREEL_RETRY_SECONDS": "0",
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "GOOGLE_CLOUD_LOCATION": LOCATION,
    }


def small_infra(folder: Path) -> Path:
    """Copy infra/ with one or two resources of each kind: each takes some calls of gcloud."""
    shutil.copytree(ROOT / "infra", folder, ignore=shutil.ignore_patterns("local", "*.md"))

    def edit(name: str, **changes: object) -> None:
        path = folder / name
        if name.endswith(".json"):
            path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        else:
            # The order of the services is that of their deployment.
            text = yaml.safe_dump(yaml.safe_load(path.read_text()) | changes, sort_keys=False)
            path.write_text(text)

    queues = yaml.safe_load((folder / "queues.yaml").read_text())["queues"]
    edit(
        "queues.yaml",
        queues={name: queues[name] for name in ("image-upscale-queue", "image-generation-queue")},
    )
    iam = yaml.safe_load((folder / "iam.yaml").read_text())["accounts"]
    accounts = {
        "taskreel-invoker": {
            **iam["taskreel-invoker"],
            "services": {"task-processor": ["roles/run.invoker"]},
        },
        "taskreel-build": {"title": "Builds"},
        "taskreel-api": {**iam["taskreel-api"], "project": ["taskreelLaneReader"]},
    }
    edit(
        "iam.yaml",
        accounts=accounts,
        local={"taskreel-dev": {"title": "dev", "project": ["roles/datastore.user"]}},
    )
    services = yaml.safe_load((folder / "services.yaml").read_text())["services"]
    edit(
        "services.yaml", services={name: services[name] for name in ("task-processor", "jobs-api")}
    )
    secrets = yaml.safe_load((folder / "secrets.yaml").read_text())["secrets"]
    del secrets["JWT_SECRET"]["readers"], secrets["SMOKE_LOGIN"]["readers"]
    edit("secrets.yaml", secrets=secrets)
    declared = json.loads((folder / "firestore.indexes.json").read_text())
    overrides = [
        each for each in declared["fieldOverrides"] if each["fieldPath"] in {"payload", "expireAt"}
    ]
    edit("firestore.indexes.json", indexes=declared["indexes"][-1:], fieldOverrides=overrides)
    return folder


@contextmanager
def running(service: AbstractAsyncContextManager[object]) -> Iterator[None]:
    """Run an asynchronous service on its own thread and loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(_enter(service), loop).result(timeout=90)
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(_leave(service), loop).result(timeout=60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=30)
        loop.close()


async def _enter(service: AbstractAsyncContextManager[object]) -> None:
    await service.__aenter__()


async def _leave(service: AbstractAsyncContextManager[object]) -> None:
    await service.__aexit__(None, None, None)


@contextmanager
def local_cloud_tasks() -> Iterator[str]:
    """Run the Cloud Tasks emulator; yield its REST address."""
    service = LocalCloudTasks(
        ServiceConfig(rest_port=0, engine=EngineConfig(locations=(LOCATION, "europe-west1")))
    )
    with running(service):
        yield f"http://127.0.0.1:{service.rest_port}"


@contextmanager
def running_stack(data: Path, **environ: str) -> Iterator[str]:
    """Run the whole stack; yield its URL."""
    stack = Stack(StackConfig(data=data, servers=1, environ=environ))
    with running(stack):
        yield stack.url


@contextmanager
def emulated(settings: Mapping[str, str], public_key: bytes) -> Iterator[dict[str, str]]:
    """Yield the settings with an emulator in place of each Google service they name."""
    project, location = settings["TASKS_URL"].removeprefix("cloudtasks://").split("/")
    queues = load_queues(QUEUES, f"projects/{project}/locations/{location}")
    tasks = LocalCloudTasks(
        ServiceConfig(grpc_port=0, queues=queues, engine=EngineConfig(locations=(location,)))
    )
    bucket = settings["BLOBS_URL"].removeprefix("gs://")
    key = json.loads(Path(settings["SIGNING_KEY_FILE"]).read_text())
    with (
        firestore_emulator() as firestore,
        storage_emulator([bucket], key=(key, public_key)) as storage,
        running(tasks),
    ):
        yield {
            **settings,
            "STORE_URL": f"{settings['STORE_URL']}?emulator={firestore}",
            "TASKS_URL": f"{settings['TASKS_URL']}?emulator=127.0.0.1:{tasks.grpc_port}",
            "BLOBS_URL": f"{settings['BLOBS_URL']}?emulator={storage.url}",
        }


def write_settings(path: Path, settings: Mapping[str, str]) -> None:
    """Write a file of settings as scripts/setup-local-auth.sh does."""
    path.write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items()))


@contextmanager
def project(folder: Path, infra: Path, gcloud: Mapping[str, str]) -> Iterator[Cloud]:
    """Yield an empty project for the given declarations."""
    google = FakeGoogle()
    with serve(google) as port, local_cloud_tasks() as cloudtasks:
        google.elsewhere["cloudtasks"] = cloudtasks
        (folder / "home").mkdir()
        (folder / "functions").mkdir()
        (folder / "functions" / "main.py").write_text(
            "def jobs_api(request): return 'not the real one'\n"
        )
        env = environment(port, folder / "home", gcloud)
        yield Cloud(
            google,
            {**env, "TASKREEL_INFRA": str(infra), "TASKREEL_SOURCE": str(folder / "functions")},
        )


@pytest.fixture
def google() -> Iterator[FakeGoogle]:
    """A fake Google alone, for the modules of the planner that call it themselves."""
    google = FakeGoogle()
    with serve(google):
        yield google


@pytest.fixture(scope="session")
def cloud(
    gcloud_variables: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cloud]:
    """The project that the tests of the scripts take from creation to deletion, in order."""
    folder = tmp_path_factory.mktemp("cloud")
    with project(folder, small_infra(folder / "infra"), gcloud_variables) as cloud:
        yield cloud


@pytest.fixture
def fault(cloud: Cloud) -> Iterator[Cloud]:
    """A project whose faults end with the test."""
    yield cloud
    cloud.google.faults.clear()
