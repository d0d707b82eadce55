"""The history of jobs: every change of status, failed attempts, and their exports."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import httpx
import pytest

from functions.job_requests import IMAGE, expect_problem, image_request, submit_job
from simulation.world import World
from taskreel.domain.job_history import MOST_CHANGES
from taskreel.domain.job_status import Status

RETRY = {"maxAttempts": 2, "minBackoffSeconds": 5, "maxBackoffSeconds": 5}
FAILING = {**image_request("fail-temporary", times=9), "retry": RETRY}


async def read_history(client: httpx.AsyncClient, job: dict[str, Any]) -> dict[str, Any]:
    answer = await client.get(f"{IMAGE}/{job['jobId']}/history")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert (await client.get(f"/api/jobs/{job['jobId']}/history")).json() == found
    return found


async def test_every_change_of_a_status_is_recorded_with_its_attempt_and_cause(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(ada, FAILING)
    await world.advance(30)
    assert (await ada.post(f"{IMAGE}/{job['jobId']}/retry")).status_code == 202
    found = await read_history(ada, job)
    assert [(one["status"], one["attempt"], one["by"]) for one in found["changes"]] == [
        ("QUEUED", 0, "ada"),
        ("PROCESSING", 1, "service"),
        ("RETRYING", 1, "service"),
        ("PROCESSING", 2, "service"),
        ("FAILED", 2, "service"),
        ("QUEUED", 0, "ada"),
    ]
    failed = found["changes"][4]
    assert (failed["code"], failed["credits"]) == (found["failedAttempts"][0]["code"], 0)
    times = [one["at"] for one in found["changes"]]
    assert times == sorted(times)
    assert found["forgotten"] == 0


async def test_each_failed_attempt_is_recorded_with_its_error(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(ada, FAILING)
    await world.advance(30)
    attempts = (await read_history(ada, job))["failedAttempts"]
    assert [(one["attempt"], one["unit"], one["provider"]) for one in attempts] == [
        (1, 0, "studio"),
        (2, 0, "studio"),
    ]
    assert all(one["message"] and one["category"] == "temporary" for one in attempts)


async def test_the_exception_of_a_crash_is_shown_to_admins_alone(
    world: World,
    ada: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def crash(*_: object) -> None:
        raise RuntimeError("a secret of the service")

    monkeypatch.setattr("taskreel.app.jobs.job_run.JobRun.run", crash)
    job = await submit_job(ada)
    await world.settle()
    shown = (await read_history(ada, job))["failedAttempts"]
    assert "secret" not in json.dumps(shown)
    assert [one["message"] for one in shown] == ["The service failed at this job."]
    whole = (await read_history(admin, job))["failedAttempts"]
    assert whole[0]["answer"] == "RuntimeError('a secret of the service')"


async def test_an_admin_who_cancels_is_not_named_to_the_user(
    ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    job = await submit_job(ada)
    await admin.delete(f"{IMAGE}/{job['jobId']}")
    last = (await read_history(ada, job))["changes"][-1]
    assert (last["status"], last["by"]) == ("CANCELLED", "admin")
    assert (await read_history(admin, job))["changes"][-1]["by"] == "root"
    own = await submit_job(ada)
    await ada.delete(f"{IMAGE}/{own['jobId']}")
    assert (await read_history(ada, own))["changes"][-1]["by"] == "ada"


async def test_a_job_of_an_earlier_release_shows_the_times_of_its_statuses(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(ada)
    await world.advance(2)
    await world.put((await world.job(job["jobId"])).model_copy(update={"history": ()}))
    changes = (await read_history(ada, job))["changes"]
    assert [one["status"] for one in changes] == ["QUEUED", "PROCESSING", "COMPLETED"]


async def test_a_long_history_forgets_the_oldest_changes_and_counts_them(
    world: World, ada: httpx.AsyncClient
) -> None:
    made = await submit_job(ada)
    job = await world.job(made["jobId"])
    for _ in range(MOST_CHANGES):
        job = job.enter_status(Status.PROCESSING, world.now(), attempt=1)
        job = job.enter_status(Status.RETRYING, world.now())
    await world.put(job)
    found = await read_history(ada, made)
    assert (len(found["changes"]), found["forgotten"]) == (MOST_CHANGES, MOST_CHANGES + 1)


# ── A user's history ──────────────────────────────────────────────────────────────────────────────

OWN = "/api/jobs/user/ada/history"


async def test_a_users_history_is_paged_and_filtered(world: World, ada: httpx.AsyncClient) -> None:
    jobs = [await submit_job(ada) for _ in range(5)]
    await world.advance(5)
    late = await submit_job(ada, FAILING)
    await world.advance(30)
    first = (await ada.get(OWN, params={"limit": 4})).json()
    second = (await ada.get(OWN, params={"limit": 4, "cursor": first["nextCursor"]})).json()
    ids = [job["jobId"] for page in (first, second) for job in page["jobs"]]
    assert sorted(ids) == sorted(job["jobId"] for job in [*jobs, late])
    assert second["nextCursor"] is None
    failed = (await ada.get(OWN, params={"status": "FAILED"})).json()["jobs"]
    assert [job["jobId"] for job in failed] == [late["jobId"]]
    answer = await ada.get(OWN, params={"state": "FAILED"})
    expect_problem(answer, 422, "invalid_request")


async def test_a_history_of_many_pages_streams_as_csv_and_json_lines(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskreel.app.records.history._PAGE", 3)
    for _ in range(10):
        await submit_job(ada, {**image_request("noop"), "projectId": "=cmd()"})
    await world.advance(5)
    answer = await ada.get(OWN, params={"format": "csv", "limit": 3})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 30
    assert {row["status"] for row in rows} == {"QUEUED", "PROCESSING", "COMPLETED"}
    assert {row["projectId"] for row in rows} == {"'=cmd()"}  # no formula for a spreadsheet

    answer = await ada.get(OWN, params={"format": "jsonl"})
    assert answer.headers["content-type"].startswith("application/jsonl")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [(line["jobId"], line["status"]) for line in lines] == [
        (row["jobId"], row["status"]) for row in rows
    ]
    assert sum(line["credits"] or 0 for line in lines) == 10


async def test_the_history_of_another_user_is_for_admins(
    ada: httpx.AsyncClient, admin: httpx.AsyncClient, world: World
) -> None:
    await submit_job(ada)
    expect_problem(await world.as_user("bob").get(OWN), 403, "forbidden")
    assert len((await admin.get(OWN)).json()["jobs"]) == 1
