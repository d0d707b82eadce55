"""The real `gcloud tasks …` against the REST API, as in infra/local/cloud_tasks/README.md."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cloudtasks.remote import Remote

pytestmark = pytest.mark.emulator


class Gcloud:
    """Runs `gcloud tasks … --format=json`."""

    def __init__(self, remote: Remote, config: Path, variables: Mapping[str, str]) -> None:
        self._environment = {
            **os.environ,
            **variables,
            "CLOUDSDK_CONFIG": str(config),
            "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
            "CLOUDSDK_CORE_PROJECT": "demo",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDTASKS": f"{remote.service.rest_url}/",
        }

    def run(self, *arguments: str, track: str = "") -> subprocess.CompletedProcess[str]:
        tracks = [track] if track else []
        place = ("--location=us-central1", "--format=json")
        command = ["gcloud", *tracks, "tasks", *arguments, *place]
        return subprocess.run(
            command, env=self._environment, capture_output=True, text=True, check=False
        )

    def __call__(self, *arguments: str, track: str = "") -> Any:
        done = self.run(*arguments, track=track)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None


@pytest.fixture(scope="module")
def gcloud_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One configuration for the tests of this file: gcloud takes a while to make a new one."""
    return tmp_path_factory.mktemp("gcloud")


@pytest.fixture
def gcloud(remote: Remote, gcloud_config: Path, gcloud_variables: Mapping[str, str]) -> Gcloud:
    return Gcloud(remote, gcloud_config, gcloud_variables)


def test_queues_are_created_updated_described_listed_paused_resumed_purged_and_deleted(
    gcloud: Gcloud,
) -> None:
    gcloud(
        "queues",
        "create",
        "q1",
        "--max-attempts=5",
        "--max-dispatches-per-second=7",
        "--min-backoff=2s",
    )
    settings = ("--max-concurrent-dispatches=3", "--clear-max-attempts", "--max-retry-duration=60s")
    gcloud("queues", "update", "q1", *settings)
    shown = gcloud("queues", "describe", "q1")
    assert shown["rateLimits"] == {
        "maxBurstSize": 10,
        "maxConcurrentDispatches": 3,
        "maxDispatchesPerSecond": 7.0,
    }
    assert (shown["retryConfig"]["maxAttempts"], shown["retryConfig"]["minBackoff"]) == (100, "2s")
    gcloud("queues", "pause", "q1")
    assert [queue["state"] for queue in gcloud("queues", "list")] == ["PAUSED"]
    gcloud("queues", "resume", "q1")
    role = (
        "--member=serviceAccount:api@demo.iam.gserviceaccount.com",
        "--role=roles/cloudtasks.enqueuer",
    )
    assert (
        gcloud("queues", "add-iam-policy-binding", "q1", *role)["bindings"][0]["role"]
        == "roles/cloudtasks.enqueuer"
    )
    gcloud("queues", "purge", "q1")
    assert "purgeTime" in gcloud("queues", "describe", "q1")
    gcloud("queues", "delete", "q1")
    again = gcloud.run("queues", "create", "q1")
    assert again.returncode == 1
    assert "existed too recently" in again.stderr


def test_tasks_are_created_listed_described_run_and_deleted(gcloud: Gcloud, remote: Remote) -> None:
    gcloud("queues", "create", "q2")
    gcloud("queues", "pause", "q2")
    url = "http://127.0.0.1:1/nobody"
    body = ("--method=PUT", "--header=X-A:b", "--body-content=hello")
    made = gcloud("create-http-task", "t1", "--queue=q2", f"--url={url}", *body)
    assert made["httpRequest"]["headers"] == {"User-Agent": "Google-Cloud-Tasks", "X-A": "b"}
    assert [task["name"].rpartition("/")[2] for task in gcloud("list", "--queue=q2")] == ["t1"]
    shown = gcloud("describe", "t1", "--queue=q2", "--response-view=full")
    assert shown["httpRequest"]["body"] == "aGVsbG8="
    gcloud("run", "t1", "--queue=q2")
    remote.ask("POST", "advance", {"by": "0s"})
    assert remote.ask("GET", "deliveries", task="t1")["deliveries"][0]["request"]["method"] == "PUT"
    gcloud("delete", "t1", "--queue=q2")
    missing = gcloud.run("describe", "t1", "--queue=q2")
    assert "The task no longer exists" in missing.stderr


def test_beta_and_alpha_create_queues_and_tasks_are_buffered(gcloud: Gcloud) -> None:
    """`gcloud tasks buffer` with and without a task's id: its own help's examples."""
    for track, flag in (("beta", "dispatches"), ("alpha", "tasks")):
        made = gcloud("queues", "create", f"q-{track}", f"--max-concurrent-{flag}=3", track=track)
        assert made["name"].endswith(f"q-{track}")
        gcloud("queues", "update", f"q-{track}", "--max-attempts=4", track=track)
        shown = gcloud("queues", "describe", f"q-{track}")
        assert shown["rateLimits"]["maxConcurrentDispatches"] == 3
        assert shown["retryConfig"]["maxAttempts"] == 4
    gcloud("queues", "create", "q3", "--http-uri-override=host:worker.test")
    gcloud("queues", "pause", "q3")
    gcloud("buffer", "--queue=q3")
    gcloud("buffer", "--queue=q3", "--task-id=mine")
    names = {task["name"].rpartition("/")[2] for task in gcloud("list", "--queue=q3")}
    assert (len(names), "mine" in names) == (2, True)
