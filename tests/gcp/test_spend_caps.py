"""Spend caps on Firestore: exact for jobs at once, and given back without a read of the account."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from simulation.world import token

from .calls import Bill
from .deployment import Deployment

pytestmark = pytest.mark.emulator

IMAGE = "/api/jobs/image-generation"
PLAIN = {
    "prompt": "a kite",
    "provider": "studio",
    "options": {"width": 64, "height": 64, "studio": {"mode": "noop"}},
}


@pytest.fixture
def bill() -> Bill:
    return Bill()


@pytest.fixture
def interceptors(bill: Bill) -> list[Any]:
    return bill.interceptors


async def read_daily(cloud: Deployment) -> dict[str, Any]:
    found: dict[str, Any] = (await cloud.api.get("/api/credits/caps")).json()["daily"]
    return found


async def test_jobs_at_once_never_exceed_a_cap(cloud: Deployment, bill: Bill) -> None:
    user = (await cloud.api.get("/api/credits")).json()["userId"]
    admin = {"authorization": f"Bearer {token('root', role='admin')}"}
    put = await cloud.api.put(f"/api/credits/{user}/caps", json={"daily": 8}, headers=admin)
    assert put.status_code == 200, put.text

    answers = await asyncio.gather(*(cloud.api.post(IMAGE, json=PLAIN) for _ in range(20)))
    assert sorted(one.status_code for one in answers) == [202] * 8 + [402] * 12
    await cloud.wait_for_deliveries(8)
    assert (await read_daily(cloud))["spent"] == 8

    raised = await cloud.api.put(f"/api/credits/{user}/caps", json={"daily": 9}, headers=admin)
    assert raised.json()["daily"]["remaining"] == 1
    later = (cloud.clock.now() + timedelta(days=2)).isoformat()
    held = (await cloud.api.post(IMAGE, json={**PLAIN, "scheduleAt": later})).json()
    assert (await read_daily(cloud))["spent"] == 9
    bill.clear()
    assert (await cloud.api.delete(held["urls"]["cancel"])).status_code in {200, 202}
    assert bill.reads <= 3
    assert (await read_daily(cloud))["spent"] == 8
