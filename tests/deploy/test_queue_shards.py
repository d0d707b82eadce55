"""The shards of a queue are planned like queues; those that are no longer declared drain."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from subprocess import CalledProcessError

import pytest
import yaml

from .declarations import ROOT, planned, run_planner

POLLS = "provider-poll-queue"


def declare_shards(folder: Path, shards: dict[str, int], **limits: float) -> str:
    """Write queues.yaml and services.yaml with shards of queues; return their folder."""
    document = yaml.safe_load((ROOT / "infra/queues.yaml").read_text("utf-8"))
    document["shards"] = shards
    document["queues"][POLLS]["rateLimits"].update(limits)
    (folder / "queues.yaml").write_text(yaml.safe_dump(document))
    (folder / "services.yaml").write_text((ROOT / "infra/services.yaml").read_text("utf-8"))
    return str(folder)


def plan_by_queue(folder: str) -> dict[str, list[str]]:
    """The steps of queues by the name of their queue."""
    steps = planned("queues", found="[]", TASKREEL_INFRA=folder)
    return {
        next((word for word in step if word.startswith(POLLS)), step[-1]): step for step in steps
    }


def test_the_shards_share_the_limits_of_their_queue(tmp_path: Path) -> None:
    steps = plan_by_queue(declare_shards(tmp_path, {POLLS: 4}, maxDispatchesPerSecond=1000))
    shards = (POLLS, f"{POLLS}-2", f"{POLLS}-3", f"{POLLS}-4")
    assert [name for name in steps if name.startswith(POLLS)] == list(shards)
    for name in shards:
        assert "--max-dispatches-per-second=250.0" in steps[name]
        # 250 places, rounded down, so that all of them together are not more.
        assert "--max-concurrent-dispatches=62" in steps[name]


def test_a_shard_too_many_drains(tmp_path: Path) -> None:
    found = {
        "name": f"projects/p/locations/l/queues/{POLLS}-2",
        "state": "RUNNING",
        "httpTarget": {
            "headerOverrides": [{"header": {"key": "X-Managed-By", "value": "taskreel"}}]
        },
    }
    (warning,) = [
        step
        for step in planned(
            "queues", found=json.dumps([found]), TASKREEL_INFRA=declare_shards(tmp_path, {})
        )
        if f"{POLLS}-2" in " ".join(step)
    ]
    assert "a shard too many: it gets no new tasks and drains" in " ".join(warning)


@pytest.mark.parametrize(
    ("shards", "rate", "wrong"),
    [
        ({"polls": 2}, 500, "shards: there is no queue polls"),
        ({POLLS: 2}, 1001, "needs more shards"),
        ({POLLS: 0}, 0, "shards must be 1 to 250"),
        ({POLLS: 251}, 500, "shards must be 1 to 250"),
    ],
)
def test_shards_that_cannot_be_are_refused(
    tmp_path: Path, shards: dict[str, int], rate: float, wrong: str
) -> None:
    folder = declare_shards(tmp_path, shards, maxDispatchesPerSecond=rate)
    with pytest.raises(CalledProcessError) as failed:
        planned("queues", found="[]", TASKREEL_INFRA=folder)
    assert wrong in failed.value.stderr


def list_locations(folder: Path, locations: object) -> subprocess.CompletedProcess[str]:
    """The locations that the scripts visit, in their order, with `locations` in queues.yaml."""
    declare_shards(folder, {POLLS: 2})
    document = yaml.safe_load((folder / "queues.yaml").read_text("utf-8"))
    (folder / "queues.yaml").write_text(yaml.safe_dump(document | {"locations": locations}))
    args = ("list-locations", "--project=p", "--location=home")
    return run_planner("plan", *args, TASKREEL_INFRA=str(folder))


def test_the_location_of_the_deployment_is_the_first_one(tmp_path: Path) -> None:
    assert list_locations(tmp_path, ["away", "home"]).stdout.split() == ["home", "away"]
    text = (ROOT / "infra/services.yaml").read_text("utf-8")
    assert "TASKS_URL: cloudtasks://${PROJECT}/${LOCATION}${QUEUES}" in text
    for name in (
        "bucket.yaml",
        "bucket.lifecycle.json",
        "documents.yaml",
        "limits.yaml",
        "secrets.yaml",
    ):
        (tmp_path / name).write_text((ROOT / "infra" / name).read_text("utf-8"))
    found = '{"services": [], "secrets": []}'
    steps = planned("services", found=found, TASKREEL_INFRA=str(tmp_path))
    url = f"cloudtasks://demo-project/europe-central2?locations=away,home&shards={POLLS}:2"
    assert any(url in word for step in steps for word in step)


def test_locations_that_are_no_list_are_refused(tmp_path: Path) -> None:
    done = list_locations(tmp_path, "europe-west1")
    assert done.returncode == 1
    assert "locations: must be a list of names" in done.stderr
