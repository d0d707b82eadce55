"""Lost data comes back: the backups that provision sets up, scripts/restore, and a drill."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from gcp.deployment import Deployment, run_deployment
from simulation.world import KEY
from taskreel_local.emulators.google_emulators import (
    LocalStorage,
    firestore_emulator,
    storage_emulator,
)

from .conftest import Cloud
from .fake_google import LOCATION, PROJECT

pytestmark = pytest.mark.emulator

DATABASE = f"projects/{PROJECT}/databases/taskreel"
PLAIN = {"prompt": "a lamp", "options": {"width": 64, "height": 64}}
BUCKET = "drill"
BACKUPS = f"projects/{PROJECT}/locations/{LOCATION}/backups"


@pytest.fixture(scope="module")
def backed_up(cloud: Cloud) -> Cloud:
    """A provisioned project with three backups."""
    cloud.ok("provision")
    for name, day, state in (("b1", 1, "READY"), ("b2", 2, "READY"), ("b3", 3, "CREATING")):
        backup = {"database": DATABASE, "snapshotTime": f"2026-11-0{day}T00:00:00Z", "state": state}
        cloud.google.create("backups", f"{BACKUPS}/{name}", backup)
    cloud.writes()
    return cloud


def test_the_database_and_the_bucket_can_be_restored_for_a_week(backed_up: Cloud) -> None:
    google = backed_up.google
    enabled = google.of("firestore")[DATABASE]["pointInTimeRecoveryEnablement"]
    assert enabled == "POINT_IN_TIME_RECOVERY_ENABLED"
    (schedule,) = google.under("backup-schedules", DATABASE)
    assert (schedule["retention"], schedule["dailyRecurrence"]) == ("604800s", {})
    bucket = google.of("storage")[f"{PROJECT}-taskreel"]
    assert bucket["softDeletePolicy"]["retentionDurationSeconds"] == "604800"


def test_recovery_that_was_turned_off_is_turned_on_again(backed_up: Cloud) -> None:
    google = backed_up.google
    google.of("firestore")[DATABASE]["pointInTimeRecoveryEnablement"] = "DISABLED"
    (schedule,) = google.under("backup-schedules", DATABASE)
    schedule["retention"] = "86400s"
    differences = backed_up.run("doctor").stdout
    assert "DIFFERS turn on point-in-time recovery of database taskreel" in differences
    assert "DIFFERS store the daily backups of database taskreel for 7d" in differences
    assert "Made 2 changes." in backed_up.ok("provision")
    assert backed_up.ok("provision") == "Nothing to change.\n"
    backed_up.writes()


def test_the_newest_ready_backup_is_restored_beside_the_database(backed_up: Cloud) -> None:
    printed = backed_up.ok("restore")
    assert "restore database taskreel as of 2026-11-02T00:00:00Z into taskreel-restored" in printed
    assert "taskreel audit --store-url firestore://" in printed
    assert "DATABASE=taskreel-restored scripts/deploy" in printed
    assert f"projects/{PROJECT}/databases/taskreel-restored" in backed_up.google.of("firestore")
    assert backed_up.writes() == [f"POST firestore /v1/projects/{PROJECT}/databases:restore"]


def test_nothing_is_restored_over_a_database(backed_up: Cloud) -> None:
    for args in ([], ["--at", "2026-11-02T10:20:00Z"]):
        done = backed_up.run("restore", *args)
        assert done.returncode == 1
        assert "database taskreel-restored exists: nothing is restored over it" in done.stderr
    assert backed_up.writes() == []


def test_a_backup_that_is_not_there_is_named(backed_up: Cloud) -> None:
    done = backed_up.run("restore", "--into", "other-database", "--backup", "b9")
    assert "no ready backup b9; there are: b2, b1" in done.stderr


def test_a_minute_of_the_last_days_is_copied(backed_up: Cloud) -> None:
    backed_up.ok("restore", "--at", "2026-11-02T10:20:00Z", "--into", "at-ten-twenty")
    exported, imported = backed_up.google.of("copies").values()
    assert (exported["of"], exported["snapshotTime"]) == (DATABASE, "2026-11-02T10:20:00Z")
    assert set(exported["collectionIds"]) >= {"jobs", "accounts", "ledger", "taskreel"}
    assert imported["of"] == f"projects/{PROJECT}/databases/at-ten-twenty"
    assert imported["inputUriPrefix"] == exported["outputUriPrefix"]
    assert not any("/restores/" in name for name in backed_up.google.of("objects"))
    assert backed_up.run("restore", "--at", "yesterday").returncode == 1


# ── The drill: a deployment on Google's emulator is lost, and goes on from its export ────────────


@pytest.fixture(scope="module")
def storage() -> Iterator[LocalStorage]:
    """The bucket survives the loss of the database."""
    with storage_emulator() as storage:
        storage.server.buckets.create_bucket(BUCKET, {})
        yield storage


@asynccontextmanager
async def deployment(
    folder: Path, firestore: str, storage: LocalStorage, project: str
) -> AsyncIterator[Deployment]:
    with pytest.MonkeyPatch.context() as patch:
        async with run_deployment(
            folder, patch, firestore, storage, project=project, bucket=BUCKET
        ) as running:
            yield running


async def submit_job(cloud: Deployment, **body: str) -> str:
    answer = await cloud.api.post("/api/jobs/image-generation", json={**PLAIN, **body})
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["jobId"]
    return job_id


async def read_job(cloud: Deployment, job_id: str) -> Any:
    """The job without its files' URLs, which are signed when they are read."""
    job = (await cloud.api.get(f"/api/jobs/{job_id}")).json()
    for artifact in job["result"]["artifacts"]:
        del artifact["url"]
    del job["resultUrl"]
    return job


async def audit(cloud: Deployment) -> tuple[list[str], int]:
    """The rules that `taskreel audit --files` finds broken, and the number of jobs it has read."""
    headers = {"X-Internal-Api-Key": KEY}
    answer = await cloud.maintenance.post("/tasks/audit", json={"files": True}, headers=headers)
    assert answer.status_code == 200, answer.text
    report = answer.json()
    return report["violations"], report["jobs"]


async def test_jobs_and_money_are_there_after_the_database_was_lost(
    tmp_path: Path, storage: LocalStorage
) -> None:
    project, database = "drill", "projects/drill/databases/(default)"
    with firestore_emulator() as first:
        async with deployment(tmp_path, first, storage, project) as before:
            done = await submit_job(before)
            await before.wait_for_deliveries(1)
            balance = (await before.api.get("/api/credits")).json()
            result = await read_job(before, done)
            assert result["status"] == "COMPLETED"
            tomorrow = datetime.now(UTC) + timedelta(days=1)
            waiting = await submit_job(before, scheduleAt=tomorrow.isoformat())
            held = (await before.api.get("/api/credits")).json()
            assert await audit(before) == ([], 2)
            body = {"database": database, "export_directory": str(tmp_path), "export_name": "day"}
            export = f"http://{first}/emulator/v1/projects/{project}:export"
            async with httpx.AsyncClient(timeout=60) as client:
                assert (await client.post(export, json=body)).is_success
            # What comes after the backup is lost, except for its files.
            lost = await submit_job(before)
            await before.wait_for_deliveries(2)
    (metadata,) = (tmp_path / "day").glob("*.overall_export_metadata")
    with firestore_emulator(seed=metadata) as second:
        async with deployment(tmp_path, second, storage, project) as after:
            assert await audit(after) == ([], 2)
            assert (await after.api.get("/api/credits")).json() == held
            assert (await after.api.get(f"/api/jobs/{lost}")).status_code == 404
            assert await read_job(after, done) == result
            cancelled = await after.api.delete(f"/api/jobs/image-generation/{waiting}")
            assert cancelled.status_code == 200, cancelled.text
            assert (await after.api.get("/api/credits")).json() == balance
            # The restored system goes on: a new job runs to its end.
            again = await submit_job(after)
            await after.wait_for_deliveries(1)
            assert (await after.api.get(f"/api/jobs/{again}")).json()["status"] == "COMPLETED"
            assert await audit(after) == ([], 3)
