"""The scripts, the real gcloud, and a fake Google for it to talk to."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from deploy import fake_services  # noqa: F401 - its import registers the routes
from deploy.fake_google import LOCATION, PROJECT, FakeGoogle, serve

ROOT = Path(__file__).parents[2]

#: gcloud's own names of the services, for its endpoint overrides.
SERVICES = (
    *("artifactregistry", "cloudbuild", "cloudresourcemanager", "cloudscheduler", "cloudtasks", "firestore"),
    *("iam", "run", "secretmanager", "serviceusage"),
)


@dataclass(frozen=True)
class Cloud:
    """One fake project, and a way to run a script against it."""

    google: FakeGoogle
    env: Mapping[str, str]

    def run(self, script: str, *args: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        """A script's outcome, whatever it is."""
        return subprocess.run(
            [str(ROOT / "scripts" / script), *args],
            env={**self.env, **env},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def ok(self, script: str, *args: str, **env: str) -> str:
        """The output of a script that must succeed."""
        done = self.run(script, *args, **env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def writes(self) -> list[str]:
        """What was changed since the last call."""
        found = list(self.google.writes)
        self.google.writes.clear()
        return found


@pytest.fixture(scope="session")
def gcloud() -> str:
    """The Google Cloud SDK: these tests mean nothing without it."""
    found = shutil.which("gcloud")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("gcloud is not installed; CI must have the Google Cloud SDK")
        pytest.skip("gcloud (the Google Cloud SDK) is not installed")
    return found


def environment(port: int, home: Path) -> dict[str, str]:
    """gcloud's settings: everything through the fake, nothing from the person at the keyboard."""
    token = home / "token"
    token.write_text("fake-access-token")
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "CLOUDSDK_CONFIG": str(home / "gcloud"),
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(token),
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
        "CLOUDSDK_PROXY_TYPE": "http",
        "CLOUDSDK_PROXY_ADDRESS": "127.0.0.1",
        "CLOUDSDK_PROXY_PORT": str(port),
        **{f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name.upper()}": f"http://{name}.fake/" for name in SERVICES},
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": "http://storage.fake/storage/v1/",
        "FIREBASE_RULES_ENDPOINT": f"http://127.0.0.1:{port}",
        "TASKREEL_PYTHON": sys.executable,
        "TASKREEL_RETRY_SECONDS": "0",
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "GOOGLE_CLOUD_LOCATION": LOCATION,
    }


@pytest.fixture(scope="session")
def cloud(gcloud: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """An empty project. Shared by the session: gcloud takes a second a call."""
    del gcloud
    google = FakeGoogle()
    server = serve(google)
    home = tmp_path_factory.mktemp("home")
    yield Cloud(google, environment(server.server_address[1], home))
    server.shutdown()
    server.server_close()
