"""Pipelines on Firestore, whose maps have no order and whose queries take at most thirty values of a field."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskreel_local.emulators import LocalStorage

from .deployed import deployed

pytestmark = pytest.mark.emulator

WAIT = {"Prefer": "wait=20"}
PICTURE = {"prompt": "{{item}}", "options": {"studio": {"mode": "noop"}}}
STEP = {"type": "image-generation", "forEach": ["a", "b"], "payload": PICTURE}


async def test_forty_replays_in_a_row_find_what_the_first_job_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, firestore_address: str, local_storage: LocalStorage
) -> None:
    async with deployed(tmp_path, monkeypatch, firestore_address, local_storage) as cloud:
        first = await cloud.api.post("/api/jobs/pipeline", json={"steps": {"one": STEP}}, headers=WAIT)
        job = first.json()
        for _ in range(40):
            replay = await cloud.api.post(f"/api/jobs/pipeline/{job['jobId']}/replay")
            assert replay.status_code == 202, replay.text
            job = (await cloud.api.get(f"/api/jobs/{replay.json()['jobId']}", headers=WAIT)).json()
            assert job["status"] == "COMPLETED", job["error"]
        assert job["credits"]["captured"] == 0
        assert [item["status"] for item in job["result"]["items"]] == ["done", "done"]


async def test_a_pipeline_shows_its_steps_in_order_and_lists_its_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, firestore_address: str, local_storage: LocalStorage
) -> None:
    async with deployed(tmp_path, monkeypatch, firestore_address, local_storage) as cloud:
        steps = {"zebra": STEP, "ape": {**STEP, "after": ["zebra"]}}
        job = (await cloud.api.post("/api/jobs/pipeline", json={"steps": steps}, headers=WAIT)).json()
        assert [(step["name"], step["status"]) for step in job["steps"]] == [("zebra", "done"), ("ape", "done")]
        listed = (await cloud.api.get("/api/jobs", params={"parentId": job["jobId"]})).json()["jobs"]
        places = sorted((one["step"], one["index"]) for one in listed)
        assert places == [("ape", 0), ("ape", 1), ("zebra", 0), ("zebra", 1)]
