"""A project that another application uses too: what is not Taskreel's is refused or left alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from .conftest import Cloud, project, small_infra
from .fake_google import LOCATION, PROJECT

pytestmark = pytest.mark.emulator

DATABASE = f"projects/{PROJECT}/databases/(default)"
SHOP_RULES = "service cloud.firestore { match /{all=**} { allow read: if isCustomer(); } }"
QUEUE = "image-upscale-queue"


@pytest.fixture(scope="module")
def shared(
    gcloud_variables: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cloud]:
    """A project of the shop app: rules and orders in (default), a service, a queue, a bucket."""
    folder: Path = tmp_path_factory.mktemp("shared")
    with project(folder, small_infra(folder / "infra"), gcloud_variables) as cloud:
        google = cloud.google
        google.create("firestore", DATABASE, {"type": "FIRESTORE_NATIVE", "locationId": LOCATION})
        google.create("documents", f"{DATABASE}/documents/jobs/order-1", {"fields": {}})
        ruleset = f"projects/{PROJECT}/rulesets/shop"
        source = {"files": [{"name": "firestore.rules", "content": SHOP_RULES}]}
        google.create("firebaserules", ruleset, {"source": source})
        release = f"projects/{PROJECT}/releases/cloud.firestore"
        google.create("firebaserules", release, {"rulesetName": ruleset})
        bucket = {"location": LOCATION.upper(), "projectNumber": "1", "id": "shop-files"}
        google.create("storage", "shop-files", bucket)
        container = {"env": [{"name": "STORE_URL", "value": f"firestore://{PROJECT}/shop"}]}
        google.of("run")["jobs-api"] = {
            "metadata": {"name": "jobs-api", "labels": {"team": "other"}},
            "spec": {"template": {"spec": {"containers": [container]}}},
            "status": {},
        }
        cloud.gcloud("tasks", "queues", "create", QUEUE)
        google.writes.clear()
        yield cloud


def refuse(cloud: Cloud, script: str, *args: str, **env: str) -> str:
    """Run a script that must stop; return the last line of its errors."""
    done = cloud.run(script, *args, **env)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stderr.splitlines()[-1]


def test_documents_of_another_application_are_not_taken_for_ours(shared: Cloud) -> None:
    said = refuse(shared, "provision", DATABASE="(default)")
    assert "database (default) has documents in jobs and no mark of Taskreel" in said
    assert "DATABASE=taskreel" in said
    assert not any("documents" in write for write in shared.writes())


def test_rules_of_another_application_are_not_replaced(shared: Cloud) -> None:
    said = refuse(shared, "provision", "--adopt", DATABASE="(default)")
    assert "the security rules in force for database (default) are not Taskreel's" in said
    assert "--replace-rules" in said
    assert not any("firebaserules" in write for write in shared.writes())


def test_a_bucket_of_another_application_is_not_changed(shared: Cloud) -> None:
    said = refuse(shared, "provision", BUCKET="shop-files")
    assert "bucket gs://shop-files exists without the label managed-by" in said
    assert not any("storage" in write for write in shared.writes())


def test_a_queue_of_another_application_is_not_changed(shared: Cloud) -> None:
    for script in ("setup-cloud-tasks-queues.sh", "provision"):
        said = refuse(shared, script)
        assert f"queue {QUEUE} exists without the header X-Managed-By" in said
        assert not any("cloudtasks" in write for write in shared.writes())


def test_the_queue_is_adopted_on_request_and_marked(shared: Cloud) -> None:
    assert f"adopt queue {QUEUE}" in shared.ok("setup-cloud-tasks-queues.sh", "--adopt")
    shared.writes()
    assert shared.ok("setup-cloud-tasks-queues.sh") == "Nothing to change.\n"
    assert shared.writes() == []


def test_taskreel_has_a_database_of_its_own_beside_the_others(shared: Cloud) -> None:
    printed = shared.ok("provision")
    assert "create Firestore database taskreel" not in printed  # by the refused run before
    assert f"projects/{PROJECT}/databases/taskreel" in shared.google.of("firestore")
    rules = shared.google.of("firebaserules")
    shop = rules[f"projects/{PROJECT}/releases/cloud.firestore"]
    assert shop["rulesetName"].endswith("/shop")
    assert f"projects/{PROJECT}/releases/cloud.firestore/taskreel" in rules
    shared.writes()
    assert shared.ok("provision") == "Nothing to change.\n"


def test_a_service_of_another_application_is_not_deployed_over(shared: Cloud) -> None:
    said = refuse(shared, "deploy")
    assert "service jobs-api exists without the label taskreel-digest" in said
    assert not any(" run " in write for write in shared.writes())
    assert "PROBLEM service jobs-api exists without" in shared.run("doctor").stdout


def test_destroy_touches_only_what_is_ours(shared: Cloud) -> None:
    shared.gcloud(
        "tasks", "queues", "update", "image-generation-queue", "--clear-http-header-override"
    )
    # The mark that an earlier test wrote with --adopt.
    shared.google.of("documents").pop(f"{DATABASE}/documents/taskreel/deployment")
    shared.writes()
    done = shared.run("destroy", "--yes", "--data", DATABASE="(default)", BUCKET="shop-files")
    assert done.returncode == 0, done.stderr
    for left in (
        "service jobs-api has no label taskreel-digest; left alone",
        "queue image-generation-queue is not marked as Taskreel's; left alone",
        "database (default) has no mark of Taskreel; its documents are left alone",
        "bucket gs://shop-files has no label managed-by=taskreel; left alone",
    ):
        assert left in done.stderr
    written = shared.writes()
    assert not any("bulkDelete" in write or "/b/shop-files" in write for write in written)
    assert not any("image-generation-queue" in write for write in written)
    assert "jobs-api" in shared.google.of("run")


def test_a_deployment_on_the_default_database_goes_on(shared: Cloud) -> None:
    """One from before databases were marked: the deployed service names its database."""
    shared.ok("setup-cloud-tasks-queues.sh", "--adopt")
    service = shared.google.of("run")["jobs-api"]
    service["metadata"]["labels"] = {"taskreel-digest": "0"}
    container = service["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [{"name": "STORE_URL", "value": f"firestore://{PROJECT}/(default)"}]
    printed = shared.ok("provision", "--replace-rules", "--dry-run")
    assert "would mark database (default) as Taskreel's" in printed
    assert "would publish infra/firestore.rules (in force now: foreign)" in printed
