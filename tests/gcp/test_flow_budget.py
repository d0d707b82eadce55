"""The operations that flow control costs on Google Cloud, counted in the gRPC channels."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from simulation.world import LIMITS
from taskreel_local.cli.cost_operations import PLAIN_JOB
from taskreel_local.emulators.google_emulators import LocalStorage

from .calls import Bill
from .deployment import Deployment, run_deployment
from .test_operation_budget import assert_priced

pytestmark = pytest.mark.emulator

PLAIN = {"prompt": "a kite", "options": {"studio": {"mode": "noop"}}}
SLOW = {"prompt": "a kite", "options": {"studio": {"mode": "sleep", "seconds": 1.0}}}
IMAGE = "/api/jobs/image-generation"


@pytest.fixture
async def counted(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    firestore_address: str,
    local_storage: LocalStorage,
) -> AsyncIterator[tuple[Deployment, Bill]]:
    """A deployment with the declared limits, that counts as several instances do."""
    bill = Bill()
    async with run_deployment(
        tmp_path,
        monkeypatch,
        firestore_address,
        local_storage,
        bill.interceptors,
        limits=LIMITS,
        store_url="firestore://a-project",
    ) as cloud:
        yield cloud, bill


async def submit(cloud: Deployment, body: dict[str, Any]) -> dict[str, Any]:
    answer = await cloud.api.post(IMAGE, json=body)
    assert answer.status_code == 202, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def run_one(cloud: Deployment) -> None:
    before = len(cloud.delivered)
    await submit(cloud, PLAIN)
    await cloud.wait_for_deliveries(before + 1)


async def test_a_plain_job_that_meets_room_is_within_the_budget(
    counted: tuple[Deployment, Bill],
) -> None:
    cloud, bill = counted
    await run_one(cloud)  # the first job also opens the account
    bill.clear()
    await run_one(cloud)
    assert bill.reads <= 4
    assert bill.writes <= 6
    assert bill.task_creations == 1
    assert_priced(bill, PLAIN_JOB)


async def test_a_job_that_waited_is_two_reads_and_two_writes_more(
    counted: tuple[Deployment, Bill],
) -> None:
    cloud, bill = counted
    await run_one(cloud)
    # An instance reads the band of a type once: here for this first position.
    await submit(cloud, SLOW)
    await submit(cloud, PLAIN)
    await cloud.wait_for_deliveries(3)
    bill.clear()
    await submit(cloud, SLOW)
    await cloud.wait_for_deliveries(4)
    alone = replace(bill)
    bill.clear()
    first, second = await submit(cloud, SLOW), await submit(cloud, PLAIN)
    assert (first["status"], second["status"]) == ("QUEUED", "THROTTLED")
    await cloud.wait_for_deliveries(6)
    done = await cloud.api.get(f"{IMAGE}/{second['jobId']}")
    assert done.json()["status"] == "COMPLETED"
    assert bill.task_creations == 2
    # The answer to the second submission shows its position: a count, the account and the two
    # recent jobs of its type. That, and the last request, are not a part of the jobs' own cost.
    position, last = 1 + 1 + 2, 1
    assert bill.reads - position - last <= 2 * alone.reads + 2
    assert bill.writes <= 2 * alone.writes + 2
