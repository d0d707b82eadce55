"""Whole jobs through the deployed functions and Google's adapters, in health and in outages."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from PIL import Image

from taskreel_local.emulators.google_emulators import LocalStorage, free_port

from .calls import LostCalls
from .deployment import Deployment, run_deployment

pytestmark = pytest.mark.emulator

IMAGE = "/api/jobs/image-generation"
PICTURE = {"prompt": "a lighthouse in a storm", "options": {"width": 128, "height": 64}}
NOOP = {"prompt": "a kite", "options": {"studio": {"mode": "noop"}}}


@pytest.fixture
def outage() -> LostCalls:
    """Set `remaining` to how many creations of tasks are to fail."""
    return LostCalls("CreateTask", grpc.StatusCode.UNAVAILABLE, times=0, carried_out=False)


@pytest.fixture
def interceptors(outage: LostCalls) -> list[Any]:
    return [outage]


async def read_job(cloud: Deployment, job: dict[str, Any]) -> dict[str, Any]:
    answer = await cloud.api.get(f"/api/jobs/{job['jobId']}")
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_picture_is_made_stored_and_fetched_by_its_signed_url(cloud: Deployment) -> None:
    answer = await cloud.api.post(IMAGE, json=PICTURE)
    assert answer.status_code == 202, answer.text
    await cloud.wait_for_deliveries(1)
    done = await read_job(cloud, answer.json())
    assert done["status"] == "COMPLETED", done
    (artifact,) = done["result"]["artifacts"]
    async with httpx.AsyncClient() as anyone:
        fetched = await anyone.get(artifact["url"])
    assert (len(fetched.content), fetched.headers["content-type"]) == (
        artifact["bytes"],
        artifact["contentType"],
    )
    assert Image.open(BytesIO(fetched.content)).size == (128, 64)


async def test_a_waiting_client_is_told_when_the_job_ends(cloud: Deployment) -> None:
    answer = await cloud.api.post(IMAGE, json=NOOP, headers={"Prefer": "wait=20"})
    assert answer.json()["status"] == "COMPLETED"


async def test_ten_that_want_the_last_credits_at_once_start_one_job(cloud: Deployment) -> None:
    spent = {"prompts": ["x"] * 97, "options": {"studio": {"mode": "noop"}}}
    assert (await cloud.api.post("/api/jobs/batch-generation", json=spent)).status_code == 202
    three = {"prompts": ["x"] * 3, "options": {"studio": {"mode": "noop"}}}
    answers = await asyncio.gather(
        *(cloud.api.post("/api/jobs/batch-generation", json=three) for _ in range(10))
    )
    assert sorted(answer.status_code for answer in answers) == [202] + [402] * 9
    await cloud.wait_for_deliveries(2)
    balance = (await cloud.api.get("/api/credits")).json()
    assert balance["granted"] == balance["available"] + balance["held"] + balance["captured"]


async def test_one_idempotency_key_at_once_is_one_job(cloud: Deployment) -> None:
    headers = {"Idempotency-Key": '"once"'}
    answers = await asyncio.gather(
        *(cloud.api.post(IMAGE, json=NOOP, headers=headers) for _ in range(8))
    )
    assert all(answer.is_success for answer in answers)
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 7
    assert len({answer.json()["jobId"] for answer in answers}) == 1
    await cloud.wait_for_deliveries(1)
    job = await read_job(cloud, answers[0].json())
    # A list's row is the job without its payload, and of its result the files only.
    row = {**job, "result": {"artifacts": job["result"]["artifacts"]}}
    del row["payload"]
    assert (await cloud.api.get("/api/jobs")).json()["jobs"] == [row]


async def test_a_submit_while_cloud_tasks_is_down_is_accepted_and_swept_later(
    cloud: Deployment, outage: LostCalls
) -> None:
    outage.remaining = 99
    answer = await cloud.api.post(IMAGE, json=NOOP)
    assert (answer.status_code, cloud.delivered) == (202, [])
    outage.remaining = 0
    cloud.clock.ahead = timedelta(minutes=10)
    await cloud.sweep()
    await cloud.wait_for_deliveries(1)
    assert (await read_job(cloud, answer.json()))["status"] == "COMPLETED"


async def test_while_firestore_is_down_the_answer_is_503_and_when_to_ask_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local_storage: LocalStorage
) -> None:
    async with run_deployment(
        tmp_path, monkeypatch, f"127.0.0.1:{free_port()}", local_storage
    ) as cloud:
        for answer in (await cloud.api.post(IMAGE, json=NOOP), await cloud.api.get("/api/jobs")):
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            assert answer.json()["code"] == "store_unavailable"
