"""Pipelines on Firestore.

Its maps have no order, and its queries take at most thirty values of a field.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from taskreel_local.emulators.google_emulators import LocalStorage

from .deployment import Deployment, run_deployment

pytestmark = pytest.mark.emulator

PICTURE = {"prompt": "{{item}}", "options": {"studio": {"mode": "noop"}}}
PIPELINE = "/api/jobs/pipeline"
STEP = {"type": "image-generation", "forEach": ["a", "b"], "payload": PICTURE}


async def wait_until_ended(cloud: Deployment, answer: httpx.Response) -> dict[str, Any]:
    """Poll until the job has ended. The emulator garbles a watch now and then."""
    job: dict[str, Any] = answer.json()
    async with asyncio.timeout(90):
        while job["status"] not in {"COMPLETED", "FAILED"}:
            await asyncio.sleep(0.1)
            job = (await cloud.api.get(f"/api/jobs/{job['jobId']}")).json()
    assert job["status"] == "COMPLETED", job["error"]
    return job


async def test_forty_replays_in_a_row_find_what_the_first_job_made(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    firestore_address: str,
    local_storage: LocalStorage,
) -> None:
    async with run_deployment(tmp_path, monkeypatch, firestore_address, local_storage) as cloud:
        job = await wait_until_ended(
            cloud, await cloud.api.post(PIPELINE, json={"steps": {"one": STEP}})
        )
        for _ in range(40):
            job = await wait_until_ended(
                cloud, await cloud.api.post(f"{PIPELINE}/{job['jobId']}/replay")
            )
        assert job["credits"]["captured"] == 0
        assert [item["status"] for item in job["result"]["items"]] == ["done", "done"]


async def test_a_pipeline_shows_its_steps_in_order_and_lists_its_jobs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    firestore_address: str,
    local_storage: LocalStorage,
) -> None:
    async with run_deployment(tmp_path, monkeypatch, firestore_address, local_storage) as cloud:
        steps = {"zebra": STEP, "ape": {**STEP, "after": ["zebra"]}}
        job = await wait_until_ended(cloud, await cloud.api.post(PIPELINE, json={"steps": steps}))
        assert [(step["name"], step["status"]) for step in job["steps"]] == [
            ("zebra", "done"),
            ("ape", "done"),
        ]
        listed = (await cloud.api.get("/api/jobs", params={"parentId": job["jobId"]})).json()[
            "jobs"
        ]
        places = sorted((one["step"], one["index"]) for one in listed)
        assert places == [("ape", 0), ("ape", 1), ("zebra", 0), ("zebra", 1)]
