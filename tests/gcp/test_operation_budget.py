"""The operations that a job costs on Google Cloud, counted in the gRPC channels."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from functions.fake_providers import KITE, replace_providers
from providers.bfl.fake import sign_webhook as signed
from taskreel.app.jobs import heartbeat
from taskreel.app.records import recorder
from taskreel_local.cli.cost_operations import (
    ALERT_ACCOUNTS,
    ALERT_CHECK,
    ALERT_TYPE,
    BREAKER_READS,
    PAID_REQUEST,
    PLAIN_JOB,
    POLL,
    STATUS_READ,
    SWEEP,
    WEBHOOK,
    WITHOUT_LIMITS,
    Operations,
)
from taskreel_local.emulators.google_emulators import LocalStorage

from .calls import Bill
from .deployment import Deployment, run_deployment

pytestmark = pytest.mark.emulator

PLAIN = {
    "prompt": "a kite",
    "provider": "studio",
    "options": {"width": 64, "height": 64, "studio": {"mode": "noop"}},
}

KEY = {"X-Internal-Api-Key": "the-internal-key-of-these-tests"}
SECRET = "a-secret-of-ours"
SAID = {"text": "Hello.", "provider": "elevenlabs"}


@pytest.fixture
def bill() -> Bill:
    return Bill()


@pytest.fixture(autouse=True)
def _no_work_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statistics are stored half a minute after the first change, and a slow run renews its lease.

    Neither is a part of what a job costs, and on a busy machine both came into the bill.
    """
    monkeypatch.setattr(recorder, "_FLUSH_SECONDS", 3600.0)
    monkeypatch.setattr(heartbeat, "TICK_SECONDS", 3600.0)


@pytest.fixture
def interceptors(bill: Bill) -> list[Any]:
    return bill.interceptors


async def run_plain_jobs(cloud: Deployment, count: int = 1) -> list[str]:
    """Submit that many plain jobs and wait for their wait_for_deliveries."""
    before = len(cloud.delivered)
    ids = []
    for _ in range(count):
        answer = await cloud.api.post("/api/jobs/image-generation", json=PLAIN)
        assert answer.status_code == 202, answer.text
        ids.append(answer.json()["jobId"])
    await cloud.wait_for_deliveries(before + count)
    return ids


def assert_priced(counted: Bill, priced: Operations) -> None:
    """A dispatch is an operation too."""
    found = (counted.reads, counted.writes, counted.job_writes, 2 * counted.task_creations)
    expected = (priced.reads, priced.writes, priced.job_writes, priced.task_operations)
    assert found == expected, "`taskreel cost` counts otherwise"


async def test_a_plain_job_is_four_reads_six_writes_and_two_task_operations(
    cloud: Deployment, bill: Bill
) -> None:
    await run_plain_jobs(cloud)  # the user's first job also opens the account
    bill.clear()
    (job_id,) = await run_plain_jobs(cloud)
    counted = replace(bill)
    assert (await cloud.api.get(f"/api/jobs/{job_id}")).json()["status"] == "COMPLETED"
    assert counted.reads <= 4
    assert counted.writes <= 6
    assert counted.task_creations == 1  # and its dispatch is the second operation
    assert counted.breaker_reads == 0
    assert_priced(counted, PLAIN_JOB + WITHOUT_LIMITS)


async def test_jobs_of_one_user_at_once_share_their_calls_and_refuse_none(
    cloud: Deployment, bill: Bill
) -> None:
    await run_plain_jobs(cloud)
    bill.clear()
    answers = await asyncio.gather(
        *(cloud.api.post("/api/jobs/image-generation", json=PLAIN) for _ in range(30))
    )
    assert {answer.status_code for answer in answers} == {202}
    await cloud.wait_for_deliveries(1 + 30)
    # Alone, a job makes six: two reads, three commits and one task.
    assert bill.calls <= 3 * 30
    assert bill.reads <= PLAIN_JOB.reads * 30
    assert bill.writes <= PLAIN_JOB.writes * 30
    assert bill.task_creations == 30
    balance = (await cloud.api.get("/api/credits")).json()
    assert (balance["held"], balance["captured"]) == (0, 31)


@pytest.mark.parametrize(
    "case", [("bfl", KITE, "image-generation", 2), ("elevenlabs", SAID, "audio-synthesis", 0)]
)
async def test_a_job_at_a_provider_costs_what_is_priced(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    firestore_address: str,
    local_storage: LocalStorage,
    bill: Bill,
    case: tuple[str, dict[str, Any], str, int],
) -> None:
    provider, body, job_type, polls = case
    providers = replace_providers(monkeypatch, provider)
    providers.by_name[provider].polls = polls - 1  # then it is ready
    async with run_deployment(
        tmp_path, monkeypatch, firestore_address, local_storage, bill.interceptors, providers
    ) as cloud:
        await run_plain_jobs(cloud)
        bill.clear()
        answer = await cloud.api.post(f"/api/jobs/{job_type}", json=body)
        assert answer.status_code == 202, answer.text
        await cloud.wait_for_deliveries(1 + 1 + polls)
        counted = replace(bill)
        done = (await cloud.api.get(f"/api/jobs/{answer.json()['jobId']}")).json()
    assert (done["status"], done["servedBy"]) == ("COMPLETED", provider), done["error"]
    assert 1 <= counted.breaker_reads <= BREAKER_READS.reads
    assert_priced(counted, PLAIN_JOB + WITHOUT_LIMITS + PAID_REQUEST + POLL * polls)


async def test_a_webhook_costs_what_is_priced(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    firestore_address: str,
    local_storage: LocalStorage,
    bill: Bill,
) -> None:
    providers = replace_providers(monkeypatch, "bfl")
    fake = providers.by_name["bfl"]
    fake.polls = 0
    async with run_deployment(
        tmp_path,
        monkeypatch,
        firestore_address,
        local_storage,
        bill.interceptors,
        providers,
        webhook_secrets={"bfl": SECRET},
    ) as cloud:
        await run_plain_jobs(cloud)
        bill.clear()
        job_id = (await cloud.api.post("/api/jobs/image-generation", json=KITE)).json()["jobId"]
        await cloud.wait_for_deliveries(2)
        headers, body = signed(next(iter(fake.operations)), SECRET)
        url = fake.calls[0].body["webhook_url"]
        assert (await cloud.api.post(url, content=body, headers=headers)).json()["hastened"]
        await cloud.wait_for_deliveries(3)
        # The task of the safety poll, at its time, finds that the job has ended.
        task = {"jobId": job_id, "delivery": 2}
        assert (await cloud.processor.post("/tasks/process", json=task, headers=KEY)).is_success
        counted = replace(bill)
    assert_priced(counted, PLAIN_JOB + WITHOUT_LIMITS + PAID_REQUEST + POLL + WEBHOOK)


async def test_reading_a_status_is_one_read(cloud: Deployment, bill: Bill) -> None:
    (job_id,) = await run_plain_jobs(cloud)
    bill.clear()
    assert (await cloud.api.get(f"/api/jobs/{job_id}")).status_code == 200
    assert (bill.reads, bill.writes) == (1, 0)
    assert_priced(bill, STATUS_READ)


async def test_reading_a_result_is_one_read(cloud: Deployment, bill: Bill) -> None:
    (job_id,) = await run_plain_jobs(cloud)
    bill.clear()
    assert (await cloud.api.get(f"/api/jobs/{job_id}/result")).status_code == 200
    assert (bill.reads, bill.writes) == (1, 0)


async def test_a_page_of_jobs_is_its_rows(cloud: Deployment, bill: Bill) -> None:
    await run_plain_jobs(cloud, 5)
    for limit in (2, 20):
        bill.clear()
        rows = (await cloud.api.get(f"/api/jobs?limit={limit}")).json()["jobs"]
        # A row more is read where there is one, so that no cursor leads to an empty page.
        assert len(rows) == min(limit, 5)
        assert (bill.reads, bill.writes) == (min(limit + 1, 5), 0)


async def test_a_balance_is_one_read(cloud: Deployment, bill: Bill) -> None:
    await run_plain_jobs(cloud)
    bill.clear()
    assert (await cloud.api.get("/api/credits")).status_code == 200
    assert (bill.reads, bill.writes) == (1, 0)


async def test_cancelling_reads_the_job_twice_and_commits_once(
    cloud: Deployment, bill: Bill
) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    answer = await cloud.api.post(
        "/api/jobs/image-generation", json={**PLAIN, "scheduleAt": tomorrow}
    )
    bill.clear()
    assert (
        await cloud.api.delete(f"/api/jobs/image-generation/{answer.json()['jobId']}")
    ).is_success
    # The job for the caller and in the transaction, and the jobs that wait for its room: none.
    assert bill.reads <= 3
    assert bill.writes <= 3


async def test_a_sweep_that_finds_nothing_is_one_read_of_each_kind_that_it_sweeps(
    cloud: Deployment, bill: Bill
) -> None:
    await run_plain_jobs(cloud)
    await cloud.sweep()  # also stores the statistics of the job, which ran in this process
    bill.clear()
    await cloud.sweep()
    # Jobs, recurring jobs, grants, bulk operations, and deliveries of webhooks: each has a query of
    # its own.
    assert (bill.reads, bill.writes, bill.task_creations) == (5, 0, 0)
    assert_priced(bill, SWEEP)


async def test_a_check_of_alerts_reads_no_more_than_is_priced(
    cloud: Deployment, bill: Bill
) -> None:
    await run_plain_jobs(cloud)
    await cloud.sweep()
    bill.clear()
    for _ in range(2):
        cloud.clock.ahead += timedelta(minutes=1)
        await cloud.sweep()
    priced = (SWEEP + ALERT_CHECK + ALERT_ACCOUNTS + ALERT_TYPE) * 2
    assert 2 * (SWEEP.reads + ALERT_CHECK.reads) <= bill.reads <= priced.reads
    # Of two checks that find nothing new, one writes the time of the last sweep.
    assert (bill.writes, bill.task_creations) == (priced.writes, 0)


async def test_a_repeated_delivery_is_one_read(cloud: Deployment, bill: Bill) -> None:
    (job_id,) = await run_plain_jobs(cloud)
    bill.clear()
    answer = await cloud.processor.post(
        "/tasks/process", json={"jobId": job_id, "delivery": 1}, headers=KEY
    )
    assert answer.is_success
    assert (bill.reads, bill.writes) == (1, 0)
