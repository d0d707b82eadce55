"""The cloud scripts, run by the real gcloud against a fake Google, on one project.

The tests run in the order of the project's life. Every script runs at least twice, and the second
run must change nothing and say so.
"""

from __future__ import annotations

import base64
import json
import shutil
import stat
from pathlib import Path

import httpx
import pytest

from e2e.processes import stack, wait_for_job
from providers.fake_provider import build_png
from taskreel_local.emulators.google_emulators import free_port
from taskreel_local.stack.settings_file import read_settings

from .conftest import Cloud, emulated, running_stack, write_settings
from .fake_google import DISABLED, FORBIDDEN, LOCATION, NUMBER, PROJECT

pytestmark = pytest.mark.emulator

QUEUE = f"projects/{PROJECT}/locations/{LOCATION}/queues"


@pytest.fixture(scope="module")
def empty(cloud: Cloud) -> Cloud:
    """The project before anything."""
    return cloud


@pytest.fixture(scope="module")
def provisioned(empty: Cloud) -> Cloud:
    """The project after the first `provision`."""
    # The APIs have just been enabled: Google refuses calls for a while.
    empty.google.faults["firestore"] = DISABLED
    empty.google.faults_left["firestore"] = 3
    first = empty.run("provision", BFL_API_KEY="key-of-a-provider")
    empty.google.faults.clear()
    empty.google.faults_left.clear()
    assert first.returncode == 0, first.stderr
    assert "Google is still enabling the APIs: waiting for them" in first.stderr
    assert first.stderr.count("waiting") == 1
    assert "Made " in first.stdout
    assert empty.writes()
    return empty


@pytest.fixture(scope="module")
def deployed(provisioned: Cloud) -> Cloud:
    """The project after the first `deploy`."""
    assert "Made 3 changes." in provisioned.ok("deploy")
    provisioned.writes()
    return provisioned


def test_a_dry_run_writes_nothing_and_prints_whole_commands(empty: Cloud) -> None:
    printed = empty.ok("setup-cloud-tasks-queues.sh", "--dry-run")
    assert empty.writes() == []
    create = next(
        line
        for line in printed.splitlines()
        if "create image-upscale-queue " in line and "gcloud" in line
    )
    assert create.strip().startswith("gcloud tasks queues create image-upscale-queue --")
    assert " --max-concurrent-dispatches=100 " in create
    assert printed.endswith("Would make 2 changes. Nothing was written.\n")


def test_provisioning_again_changes_nothing(provisioned: Cloud) -> None:
    assert provisioned.ok("provision").strip() == "Nothing to change."
    assert provisioned.writes() == []


def test_a_key_that_encrypts_is_made_only_where_it_is_asked_for(provisioned: Cloud) -> None:
    google = provisioned.google
    assert not google.of("cloudkms")
    assert "cloudkms.googleapis.com" not in google.of("serviceusage")
    key = f"projects/{PROJECT}/locations/{LOCATION}/keyRings/taskreel/cryptoKeys/documents"
    done = provisioned.ok("provision", ENCRYPTION_KEY=f"gcp-kms://{key}")
    assert "create key ring taskreel" in done
    made = google.of("cloudkms")[key]
    assert made["purpose"] == "ENCRYPT_DECRYPT"
    assert made["rotationPeriod"] == f"{90 * 24 * 3600}s"
    (binding,) = google.policies[key]["bindings"]
    assert binding["role"] == "roles/cloudkms.cryptoKeyEncrypterDecrypter"
    # Of the accounts that these tests declare it is the only one of a function.
    assert binding["members"] == [f"serviceAccount:taskreel-api@{PROJECT}.iam.gserviceaccount.com"]
    again = provisioned.ok("provision", ENCRYPTION_KEY=f"gcp-kms://{key}")
    assert again.strip() == "Nothing to change."
    provisioned.writes()


def test_secrets_are_made_once_and_never_shown(provisioned: Cloud) -> None:
    versions = provisioned.google.of("versions")
    assert sorted(name.split("/")[3] for name in versions) == [
        "taskreel-bfl-api-key",
        "taskreel-internal-api-key",
        "taskreel-jwt-secret",
        "taskreel-link-key",
    ]


def test_every_request_carried_the_callers_credentials(provisioned: Cloud) -> None:
    assert provisioned.google.tokens == {"Bearer fake-access-token"}


def test_the_schedule_calls_the_sweep_with_token_and_key(provisioned: Cloud) -> None:
    (job,) = provisioned.google.of("cloudscheduler").values()
    target = job["httpTarget"]
    assert target["uri"] == f"https://maintenance-123456789012.{LOCATION}.run.app/tasks/sweep"
    assert (
        target["oidcToken"]["serviceAccountEmail"]
        == f"taskreel-invoker@{PROJECT}.iam.gserviceaccount.com"
    )
    assert len(target["headers"]["X-Internal-Api-Key"]) >= 32


def test_the_bucket_is_private_and_forgets(provisioned: Cloud) -> None:
    bucket = provisioned.google.of("storage")[f"{PROJECT}-taskreel"]
    assert bucket["iamConfiguration"]["publicAccessPrevention"] == "enforced"
    assert bucket["lifecycle"]["rule"][0]["action"] == {"type": "Delete"}


def test_pages_of_any_origin_may_read_files_by_their_signed_urls(provisioned: Cloud) -> None:
    (rule,) = provisioned.google.of("storage")[f"{PROJECT}-taskreel"]["cors"]
    assert (rule["origin"], rule["method"]) == (["*"], ["GET", "HEAD"])


def test_rules_in_force_are_those_of_the_file(provisioned: Cloud) -> None:
    rules = provisioned.google.of("firebaserules")
    release = rules[f"projects/{PROJECT}/releases/cloud.firestore/taskreel"]
    (file,) = rules[release["rulesetName"]]["source"]["files"]
    assert "allow read: if owned();" in file["content"]


def test_a_queue_of_an_earlier_release_drains_and_is_deleted_on_request(provisioned: Cloud) -> None:
    mark = ("--http-header-override=X-Managed-By: taskreel", "--http-method-override=post")
    provisioned.gcloud("tasks", "queues", "create", "image-upscale-low", *mark)
    provisioned.gcloud("tasks", "queues", "pause", "image-upscale-low")
    provisioned.gcloud("tasks", "queues", "create", "a-strangers-low")
    done = provisioned.run("setup-cloud-tasks-queues.sh")
    assert "resume retired queue image-upscale-low" in done.stdout
    assert "queue image-upscale-low is of an earlier release" in done.stderr
    assert "queue a-strangers-low exists" in done.stderr
    provisioned.writes()
    provisioned.ok("setup-cloud-tasks-queues.sh", "--delete-retired")
    assert provisioned.writes() == [f"DELETE cloudtasks /v2/{QUEUE}/image-upscale-low"]
    provisioned.gcloud("tasks", "queues", "delete", "a-strangers-low", "--quiet")
    provisioned.writes()


def test_further_locations_get_the_same_queues(provisioned: Cloud, tmp_path: Path) -> None:
    infra = shutil.copytree(provisioned.env["TASKREEL_INFRA"], tmp_path / "infra")
    with (infra / "queues.yaml").open("a") as file:
        file.write("\nlocations: [europe-west1]\n")
    printed = provisioned.ok("setup-cloud-tasks-queues.sh", "--dry-run", TASKREEL_INFRA=str(infra))
    commands = [line for line in printed.splitlines() if "gcloud tasks queues create" in line]
    assert len(commands) == 2
    assert all("--location=europe-west1" in line for line in commands)


def test_settings_changed_by_hand_are_named_and_put_back(provisioned: Cloud) -> None:
    provisioned.gcloud(
        "tasks",
        "queues",
        "update",
        "image-generation-queue",
        "--max-attempts=9",
        "--min-backoff=5s",
    )
    provisioned.gcloud("tasks", "queues", "create", "a-stranger")
    done = provisioned.run("setup-cloud-tasks-queues.sh")
    assert (
        "update queue image-generation-queue: maxAttempts 9 → 3, minBackoff 5s → 1s" in done.stdout
    )
    assert (
        "queue a-stranger exists in europe-central2 and not in infra/queues.yaml; left alone"
        in done.stderr
    )
    provisioned.writes()
    again = provisioned.run("setup-cloud-tasks-queues.sh")
    assert again.stdout == "Nothing to change.\n"
    assert provisioned.writes() == []
    provisioned.gcloud("tasks", "queues", "delete", "a-stranger")


def test_deploying_again_changes_nothing(deployed: Cloud) -> None:
    assert "Nothing to change." in deployed.ok("deploy")
    assert deployed.writes() == []


def test_a_setting_given_once_is_retained(deployed: Cloud) -> None:
    assert "deploy jobs-api again" in deployed.ok("deploy", JWT_ISSUER="https://issuer.example")
    deployed.writes()
    assert "Nothing to change." in deployed.ok("deploy")
    assert deployed.writes() == []


def test_a_domain_a_bucket_and_a_database_of_ones_own_are_retained(deployed: Cloud) -> None:
    own = {"API_BASE_URL": "https://api.example", "BUCKET": "my-bucket", "DATABASE": "my-database"}
    assert "deploy task-processor again" in deployed.ok("deploy", **own)
    deployed.writes()
    again = deployed.ok("deploy")
    assert again.splitlines()[:2] == ["Nothing to change.", "The API: https://api.example"]
    assert deployed.writes() == []
    usual = {
        "API_BASE_URL": f"https://jobs-api-{NUMBER}.{LOCATION}.run.app",
        "BUCKET": f"{PROJECT}-taskreel",
    }
    deployed.ok("deploy", **usual, DATABASE="taskreel")
    deployed.writes()


def test_only_the_processor_is_given_provider_keys(deployed: Cloud) -> None:
    def variables(service: str) -> dict[str, object]:
        containers = deployed.google.of("run")[service]["spec"]["template"]["spec"]["containers"]
        return {each["name"]: each.get("value", "a secret") for each in containers[0]["env"]}

    assert variables("task-processor")["BFL_API_KEY"] == "a secret"
    assert "BFL_API_KEY" not in variables("jobs-api")
    assert variables("jobs-api")["CONFIGURED_PROVIDERS"] == "bfl"
    assert variables("jobs-api")["TASKS_URL"] == f"cloudtasks://{PROJECT}/{LOCATION}"


def test_the_processor_lets_in_the_invoker_alone(deployed: Cloud) -> None:
    def callers(service: str) -> list[str]:
        bindings = deployed.google.policies[f"service {service}"]["bindings"]
        return [member for binding in bindings for member in binding["members"]]

    assert callers("task-processor") == [
        f"serviceAccount:taskreel-invoker@{PROJECT}.iam.gserviceaccount.com"
    ]
    # An organisation's policy may forbid a binding of allUsers, so the check itself is off.
    annotations = deployed.google.of("run")["jobs-api"]["metadata"]["annotations"]
    assert annotations["run.googleapis.com/invoker-iam-disabled"].lower() == "true"
    assert "service jobs-api" not in deployed.google.policies


def test_the_doctor_finds_nothing_in_a_healthy_project(deployed: Cloud) -> None:
    deployed.writes()
    assert deployed.list_differences() == ["All is as declared."]
    assert deployed.writes() == []


def test_the_doctor_notices_that_google_refuses_the_clients(deployed: Cloud) -> None:
    annotations = deployed.google.of("run")["jobs-api"]["metadata"]["annotations"]
    opened = annotations.pop("run.googleapis.com/invoker-iam-disabled")
    done = deployed.run("doctor")
    annotations["run.googleapis.com/invoker-iam-disabled"] = opened
    assert done.returncode == 1
    (problem,) = [line for line in done.stdout.splitlines() if line.startswith("PROBLEM")]
    assert "/jobs-api answers 403 from Google, not from Taskreel" in problem
    assert "--no-invoker-iam-check" in problem


def test_a_rollback_is_named_and_ends_with_the_next_change(deployed: Cloud) -> None:
    deployed.ok("deploy", "--force")
    (before,) = deployed.list_serving("task-processor")
    revisions = [name for name in deployed.google.of("revisions") if "task-processor" in name]
    assert revisions[-1] == before
    printed = deployed.ok("rollback", "task-processor")
    older = revisions[-2]
    assert f"send the traffic of task-processor to {older} instead of {before}" in printed
    assert deployed.list_serving("task-processor") == [older]
    refused = deployed.run("rollback", "task-processor", "task-processor-99999")
    assert f"no ready revision task-processor-99999; it has: {before}, {older}" in refused.stderr

    assert (
        "PROBLEM task-processor is rolled back: its traffic is pinned"
        in deployed.run("doctor").stdout
    )
    unchanged = deployed.run("deploy")
    assert f"task-processor is rolled back: its traffic is pinned to {older}" in unchanged.stderr
    assert deployed.list_serving("task-processor") == [older]
    changed = deployed.ok("deploy", "--force")
    assert "send the traffic of task-processor to its latest revision" in changed
    (after,) = deployed.list_serving("task-processor")
    assert after not in {older, before}
    assert "Nothing to change." in deployed.ok("deploy")
    deployed.writes()


def test_a_rollback_warns_of_documents_that_the_older_release_cannot_handle(
    deployed: Cloud,
) -> None:
    deployed.ok("deploy", "--force")
    of_processor = [name for name in deployed.google.of("revisions") if "task-processor" in name]
    older = deployed.google.of("revisions")[of_processor[-2]]
    assert deployed.run("rollback", "task-processor", "--dry-run").stderr == ""
    # One from before the last change; of one without the label it is not known.
    older["metadata"]["labels"]["taskreel-documents"] = "1"
    warned = deployed.run("rollback", "task-processor", "--dry-run")
    assert warned.returncode == 0
    (line,) = warned.stderr.splitlines()
    assert f"task-processor: {of_processor[-2]} may be from before account shards" in line
    assert "`taskreel users shards USER 1`" in line
    del older["metadata"]["labels"]["taskreel-documents"]
    warned = deployed.run("rollback", "task-processor", "--dry-run")
    assert len(warned.stderr.splitlines()) == 2


def test_every_function_goes_back_the_api_first(deployed: Cloud) -> None:
    deployed.ok("deploy", "--force")
    deployed.writes()
    printed = deployed.ok("rollback", "--dry-run")
    named = [line for line in printed.splitlines() if line.startswith("would send")]
    assert ["jobs-api" in line for line in named] == [True, False]
    assert deployed.writes() == []


def test_smoke_sends_a_job_through_a_deployment(provisioned: Cloud, tmp_path: Path) -> None:
    """The deployment is the stack on this machine; token and project come from the cloud."""
    jwt_secret = provisioned.read_secret("taskreel-jwt-secret")
    deployed = {"EXTRA_PROVIDERS": "", "STAND_IN_PROVIDER": "", "INITIAL_CREDITS": "0"}
    with running_stack(tmp_path, JWT_SECRET=jwt_secret, **deployed) as url:
        printed = provisioned.ok("smoke", API_BASE_URL=url)
    assert printed.count("ok ") == 5
    assert "completed in 1 attempt, 1 credit captured" in printed
    refused = provisioned.run("smoke", API_BASE_URL=url)
    assert refused.returncode == 1
    assert "does not answer" in refused.stderr


def test_the_doctor_goes_on_where_it_may_not_read(deployed: Cloud, fault: Cloud) -> None:
    del deployed
    fault.google.faults |= {
        "cloudtasks": FORBIDDEN,
        "firestore": DISABLED,
        "firebaserules": FORBIDDEN,
    }
    fault.google.of("cloudquotas")["CpuAllocPerProjectRegion"] = {"value": "8000"}
    done = fault.run("doctor")
    fault.google.of("cloudquotas").clear()
    assert done.returncode == 1
    assert (
        "PROBLEM gcloud tasks queues list: ERROR: (gcloud.tasks.queues.list) PERMISSION_DENIED"
        in done.stdout
    )
    assert "--role=roles/cloudtasks.admin" in done.stdout
    assert "--role=roles/firebaserules.admin" in done.stdout
    assert "PROBLEM gcloud firestore databases list" in done.stdout
    assert "ok      bucket" in done.stdout
    assert (
        "PROBLEM all instances together may use 9 CPUs (task-processor 5, jobs-api 4), "
        "more than the 8 that europe-central2" in done.stdout
    )
    assert "ok      quota MemAllocPerProjectRegion" in done.stdout
    assert done.stdout.splitlines()[-1].endswith(" problems, 0 differences.")


def test_local_auth_can_be_shown_before_logging_in(provisioned: Cloud) -> None:
    printed = provisioned.ok("setup-local-auth.sh", "--dry-run")
    assert "would let user:YOU impersonate taskreel-dev" in printed
    assert printed.endswith("Nothing was written.\n")


@pytest.mark.parametrize(
    "way", [["--member", "user:dev@example.com"], ["--key"]], ids=["impersonate", "key"]
)
def test_local_auth_twice(provisioned: Cloud, tmp_path: Path, way: list[str]) -> None:
    env_file = tmp_path / "cloud.env"
    first = provisioned.ok("setup-local-auth.sh", "--env-file", str(env_file), *way)
    assert "(0600)" in first
    assert stat.S_IMODE(env_file.stat().st_mode) == 0o600
    written = env_file.read_text()
    assert f"STORE_URL='firestore://{PROJECT}/taskreel'" in written
    provisioned.writes()
    second = provisioned.ok("setup-local-auth.sh", "--env-file", str(env_file), *way)
    assert second.startswith("Nothing to change.")
    assert provisioned.writes() == []
    assert env_file.read_text() == written
    if "--key" in way:
        key_file = tmp_path / "taskreel-dev-key.json"
        assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
        assert (
            json.loads(key_file.read_text())["client_email"]
            == f"taskreel-dev@{PROJECT}.iam.gserviceaccount.com"
        )


def test_a_job_of_the_api_here_runs_in_the_cloud(provisioned: Cloud, tmp_path: Path) -> None:
    """Use the settings as the script wrote them.

    Only the addresses of Google's services are those of emulators, and the deployed processor is
    another process, with the key from Secret Manager.
    """
    env_file, port = tmp_path / "cloud.env", free_port()
    there = {"PROCESSOR_URL": f"http://127.0.0.1:{port}"}
    provisioned.ok("setup-local-auth.sh", "--env-file", str(env_file), "--key", **there)
    key = list(provisioned.google.of("keys").values())[-1]
    with emulated(read_settings(env_file), base64.b64decode(key["publicKeyData"])) as settings:
        write_settings(tmp_path / "here.env", settings)
        internal_key = provisioned.read_secret("taskreel-internal-api-key")
        write_settings(tmp_path / "there.env", {**settings, "INTERNAL_API_KEY": internal_key})
        with (
            stack(tmp_path / "there", "--cloud", str(tmp_path / "there.env"), port=port),
            stack(tmp_path / "here", "--cloud", str(tmp_path / "here.env")) as here,
            here.client() as api,
        ):
            inline = base64.b64encode(build_png(64, 64)).decode()
            job = {"imageUrl": f"data:image/png;base64,{inline}", "aspects": {"palette": "warm"}}
            submitted = api.post("/api/jobs/personalization", json=job)
            assert submitted.status_code == 202, submitted.text
            done = wait_for_job(api, submitted.json()["jobId"])
            assert (done["status"], done["attempt"]) == ("COMPLETED", 1)
            (picture,) = api.get(f"/api/jobs/{done['jobId']}/result").json()["artifacts"]
            assert f"taskreel-dev%40{PROJECT}" in picture["url"]
            assert len(httpx.get(picture["url"]).raise_for_status().content) == picture["bytes"]


def test_destroy_asks(deployed: Cloud) -> None:
    deployed.writes()
    done = deployed.run("destroy", stdin="not-this-one\n")
    assert done.returncode == 1
    assert "not confirmed; nothing was touched" in done.stderr
    assert deployed.writes() == []


def test_destroy_empties_queues_and_does_not_delete_them(deployed: Cloud) -> None:
    deployed.gcloud("tasks", "queues", "create", "another-stranger")
    deployed.writes()
    done = deployed.run("destroy", stdin=f"{PROJECT}\n")
    assert done.returncode == 0, done.stderr
    assert deployed.google.of("run") == {}
    assert deployed.google.of("cloudscheduler") == {}
    changed = deployed.writes()
    assert f"POST cloudtasks /v2/{QUEUE}/image-upscale-queue:purge" in changed
    assert not any("DELETE cloudtasks" in write or "another-stranger" in write for write in changed)
    again = deployed.run("destroy", "--yes")
    assert again.stdout == "Nothing to change.\n"
    assert deployed.writes() == []


def test_queues_that_destroy_paused_are_resumed_on_request(deployed: Cloud) -> None:
    assert "resume queue image-upscale-queue" in deployed.ok(
        "setup-cloud-tasks-queues.sh", "--resume"
    )


def test_destroying_the_data_too(deployed: Cloud) -> None:
    printed = deployed.ok("destroy", "--yes", "--data")
    assert "delete every job, account, ledger entry, breaker and audit entry" in printed
    assert f"{PROJECT}-taskreel" not in deployed.google.of("storage")
