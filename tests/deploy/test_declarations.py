"""The declarations of infra/ agree with the code and with each other."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from taskreel.adapters.providers import KEY_VARIABLES
from taskreel.app.indexes import FIRESTORE_INDEXES
from taskreel.app.jobs.enqueue import LONGEST_DELIVERY, TIME_TO_STORE
from taskreel.app.messages.job_task import POLL_QUEUE, WEBHOOK_QUEUE, queue_of_type
from taskreel.config import Settings
from taskreel.domain.task_signature import sign_task
from taskreel.jobtypes import JOB_TYPES
from taskreel.service_building import is_media_queue

from .declarations import ROOT, declared, plan_services, planned

SCRIPTS = (
    "deploy",
    "destroy",
    "doctor",
    "provision",
    "rollback",
    "setup-cloud-tasks-queues.sh",
    "setup-local-auth.sh",
    "smoke",
)


def test_the_queues_are_what_the_job_types_declare() -> None:
    names = {*map(queue_of_type, JOB_TYPES), POLL_QUEUE, WEBHOOK_QUEUE}
    assert declared("queues.yaml")["queues"].keys() == names
    done = subprocess.run(
        [ROOT / "scripts" / "declare-queues", "--check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_media_queues_are_those_of_job_types_that_work_on_files() -> None:
    """The task queue chooses the service by the job type, the declaration names the same."""
    services = declared("queues.yaml")["services"]
    assert services.keys() == {"task-processor", "media-processor"}
    chosen = {(name, queue) for name, queues in services.items() for queue in queues}
    assert chosen == {
        ("media-processor" if is_media_queue(queue) else "task-processor", queue)
        for queue in declared("queues.yaml")["queues"]
    }
    assert is_media_queue("video-composition-normal")  # of an earlier release
    assert not is_media_queue("removed-type-queue")


def test_no_service_is_sent_more_than_its_instances_take(tmp_path: Path) -> None:
    assert planned("capacity") == []
    text = (ROOT / "infra/queues.yaml").read_text("utf-8")
    polls = "maxConcurrentDispatches: 250"
    assert polls in text
    (tmp_path / "services.yaml").write_text((ROOT / "infra/services.yaml").read_text("utf-8"))

    def plan(limit: int) -> list[list[str]]:
        (tmp_path / "queues.yaml").write_text(text.replace(polls, polls.replace("250", str(limit))))
        return planned("capacity", TASKREEL_INFRA=str(tmp_path))

    # Read from a plan that is refused, for the sum is another with each job type.
    ((_, problem),) = plan(100_000)
    sent, taken = find_numbers(problem)
    fitting = 100_000 - (sent - taken)
    assert plan(fitting) == []
    ((_, problem),) = plan(fitting + 1)
    assert find_numbers(problem) == (taken + 1, taken)


def find_numbers(problem: str) -> tuple[int, int]:
    """The tasks that the queues of the task processor dispatch at a time, and those it takes."""
    found = re.search(r"of task-processor dispatch up to (\d+) tasks.* take (\d+) ", problem)
    assert found is not None, problem
    return int(found[1]), int(found[2])


@pytest.mark.parametrize(
    ("quota", "most"),
    [("CpuAllocPerProjectRegion", 20_000), ("MemAllocPerProjectRegion", 40 << 30)],
)
def test_the_sum_of_all_services_fits_the_quota_of_a_new_project(quota: str, most: int) -> None:
    def plan(value: int) -> list[list[str]]:
        info = {"details": {"value": str(value)}, "applicableLocations": ["europe-central2"]}
        return planned("quota", quota, found=json.dumps({"dimensionsInfos": [info]}))

    assert plan(most) == []
    ((_, problem),) = plan(most // 2)
    assert "task-processor" in problem
    assert "jobs-api" in problem


def test_a_delivery_ends_itself_before_cloud_tasks_and_cloud_run_end_it() -> None:
    longest = LONGEST_DELIVERY + TIME_TO_STORE
    # Cloud Tasks waits for thirty minutes at most.
    assert longest <= timedelta(minutes=30)
    services = declared("services.yaml")["services"]
    for name in ("task-processor", "media-processor"):
        assert timedelta(seconds=int(services[name]["timeout"].removesuffix("s"))) >= longest


def test_our_bytecode_is_valid_in_the_image() -> None:
    steps = plan_services()
    begin = "--set-build-env-vars=SOURCE_DATE_EPOCH=315532801"
    assert all(any(word.startswith(begin) for word in step) for step in steps)


def test_a_setting_that_no_queue_has_is_refused(tmp_path: Path) -> None:
    text = (ROOT / "infra/queues.yaml").read_text("utf-8").replace("maxAttempts", "maxTries")
    (tmp_path / "queues.yaml").write_text(text)
    with pytest.raises(subprocess.CalledProcessError) as refused:
        planned("queues", TASKREEL_INFRA=str(tmp_path))
    assert "retryConfig.maxTries is not a setting of a queue" in refused.value.stderr


def test_composite_indexes_are_those_that_the_queries_need() -> None:
    words = {"asc": "ASCENDING", "desc": "DESCENDING"}
    needed = {
        (index.collection, tuple((name, words[order]) for name, order in index.fields))
        for index in FIRESTORE_INDEXES
    }
    found = [
        (
            index["collectionGroup"],
            tuple((field["fieldPath"], field["order"]) for field in index["fields"]),
        )
        for index in declared("firestore.indexes.json")["indexes"]
    ]
    assert sorted(found) == sorted(needed)


def test_no_time_is_indexed_by_itself() -> None:
    """Such an index caps its collection at about 500 writes a second."""
    exempt = {
        (each["collectionGroup"], each["fieldPath"])
        for each in declared("firestore.indexes.json")["fieldOverrides"]
        if each["indexes"] == []
    }
    ordered = {
        (index.collection, name)
        for index in FIRESTORE_INDEXES
        for name, _ in index.fields
        if name.endswith("At")
    }
    assert ordered <= exempt


def test_every_service_reads_encrypted_documents() -> None:
    """One without the key could read nothing; their accounts are granted its use by this list."""
    for service in declared("services.yaml")["services"].values():
        assert "ENCRYPTION_KEY" in service["passed"]


def test_every_variable_is_a_setting() -> None:
    known = {name.upper() for name in Settings.model_fields} | set(KEY_VARIABLES.values())
    known |= {"OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"}  # OpenTelemetry's SDK reads them
    file = declared("services.yaml")
    for service in [file["defaults"], *file["services"].values()]:
        assert service.get("env", {}).keys() <= known
        assert set(service.get("passed", ())) <= known
        assert set(service.get("secrets", ())) <= known & declared("secrets.yaml")["secrets"].keys()


def test_every_provider_has_its_secret_and_the_processor_alone_reads_it() -> None:
    given = dict.fromkeys(KEY_VARIABLES.values(), "given")
    created = {step[2]: step[6] for step in planned("secrets", **given) if step[2] in given}
    assert created.keys() == given.keys()
    assert len(set(created.values())) == len(created)

    steps = plan_services()
    readers = {
        (step[5], key)
        for step in steps
        for key in given
        if f"{key}={created[key]}:latest" in str(step)
    }
    processors = {"task-processor", "media-processor"}
    assert readers == {(service, key) for service in processors for key in given}
    announced = f"CONFIGURED_PROVIDERS={','.join(KEY_VARIABLES)}"
    for step in steps:
        # The gateway takes no jobs, so it need not know the providers.
        assert (announced in str(step)) is (step[5] not in {*processors, "jobs-gateway"})


def test_who_checks_webhooks_and_who_asks_for_them_have_their_secrets() -> None:
    services = declared("services.yaml")["services"]
    bound = {name for name, service in services.items() if "WEBHOOK_SECRETS" in service["secrets"]}
    assert bound == {"jobs-api", "task-processor", "media-processor"}
    (step,) = [
        step
        for step in planned("secrets", WEBHOOK_SECRETS='{"bfl": "xxxx"}')
        if "WEBHOOK_SECRETS" in step
    ]
    assert "taskreel-webhook-secrets" in step
    assert "xxxx" not in str(step)


def test_keys_stay_out_of_what_is_printed() -> None:
    """The shell adds a secret's value and the scheduler's header after it prints the command."""
    given = {"INTERNAL_API_KEY": "k" * 32, "LINK_KEY": "l" * 32, "BFL_API_KEY": "b" * 32}
    steps = planned("secrets", **given) + planned("scheduler", KEY_IN_USE="k" * 32)
    assert [step[0] for step in steps] == ["secret"] * 4 + ["header"]
    assert "llll" not in str(steps)
    assert "kkkk" not in str(steps)
    assert "bbbb" not in str(steps)


@pytest.mark.parametrize(
    ("setting", "header", "differs"),
    [
        ({}, "key", False),
        ({}, "signature", False),
        ({}, "old", True),
        ({"SIGN_TASKS": "1"}, "signature", False),
        ({"SIGN_TASKS": "1"}, "key", True),
        ({"SIGN_TASKS": "0"}, "key", False),
    ],
)
def test_a_schedule_carries_the_key_or_its_signature(
    setting: dict[str, str], header: str, *, differs: bool
) -> None:
    signature = sign_task("k" * 32, "/tasks/sweep", b"")
    value = {"key": "k" * 32, "signature": signature, "old": "o" * 32}[header]
    job = {
        "name": "projects/demo-project/locations/europe-central2/jobs/taskreel-sweep",
        "httpTarget": {
            "uri": "https://maintenance-1.europe-central2.run.app/tasks/sweep",
            "headers": {"X-Internal-Api-Key": value},
            "oidcToken": {
                "serviceAccountEmail": "taskreel-invoker@demo-project.iam.gserviceaccount.com"
            },
        },
    }
    keys = f"{'k' * 32},{'l' * 32}"
    steps = planned("scheduler", found=json.dumps([job]), KEY_IN_USE=keys, **setting)
    assert ("internal key" in str(steps)) is differs
    assert "kkkk" not in str(steps)


def test_a_source_that_changed_is_deployed_again(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("one")

    def deployments(services: list[dict[str, Any]]) -> list[list[str]]:
        return plan_services(*services, TASKREEL_SOURCE=str(tmp_path))

    def as_deployed(step: list[str]) -> dict[str, Any]:
        words = step[-1].removeprefix("--update-labels=").split(",")
        labels = dict(word.split("=") for word in words)
        assert labels["taskreel-documents"] == str(len(declared("documents.yaml")["changes"]))
        spec = {"template": {"spec": {"containers": [dict[str, Any]()]}}}
        return {"metadata": {"name": step[5], "labels": labels}, "spec": spec}

    first = deployments([])
    services = ["task-processor", "media-processor", "maintenance", "jobs-api", "jobs-gateway"]
    assert [step[5] for step in first] == services
    deployed = [as_deployed(step) for step in first]
    assert deployments(deployed) == []
    (tmp_path / "main.py").write_text("two")
    assert len(deployments(deployed)) == 5


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_and_unknown_options_need_nothing(script: str) -> None:
    def run(option: str) -> subprocess.CompletedProcess[str]:
        env = {"PATH": "/usr/bin:/bin"}
        return subprocess.run(
            [ROOT / "scripts" / script, option],
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )

    assert "--project ID" in run("--help").stdout
    refused = run("--frobnicate")
    assert refused.returncode == 1
    assert "unknown option --frobnicate" in refused.stderr


def test_cloudbuild_is_valid_runs_scripts_in_order_and_hands_on_what_they_read() -> None:
    file = ROOT / "cloudbuild.yaml"
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.cloudbuild",
        str(file),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout
    build = yaml.safe_load(file.read_text("utf-8"))
    steps = [(step["id"], step["entrypoint"]) for step in build["steps"]]
    assert steps == [
        ("check-and-test", ".ci/run"),
        ("deploy", "scripts/deploy"),
        ("smoke", "scripts/smoke"),
    ]
    assert all(os.access(ROOT / script, os.X_OK) for _, script in steps)
    given = dict(line.split("=") for line in build["options"]["env"])
    assert {"API_BASE_URL", "BUCKET", "DATABASE", "TASKREEL_TOKEN"} <= given.keys()
