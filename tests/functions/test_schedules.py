"""Jobs at times: delayed and recurring ones, over HTTP and the virtual clock."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from functions.job_requests import (
    batch_request,
    expect_problem,
    image_request,
    read_job,
    refused_paths,
    submit_job,
)
from simulation.world import World
from taskreel.app.jobs.submit import submit_job as submit_due
from taskreel.app.schedules import due_runs, recurring_jobs
from taskreel.app.schedules.due_runs import make_due_runs
from taskreel.domain.errors import StoreError

DELAYED = "/api/jobs/delayed"
RECURRING = "/api/jobs/recurring"
IMAGE = image_request("noop")


def recurring(**fields: Any) -> dict[str, Any]:
    """A recurring image, made each minute unless told otherwise."""
    return {
        "jobType": "image-generation",
        "data": IMAGE,
        "cronExpression": "* * * * *",
        **fields,
    }


async def create(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    response = await client.post(RECURRING, json=recurring(**fields))
    assert response.status_code == 201, response.text
    created: dict[str, Any] = response.json()
    return created


async def read(client: httpx.AsyncClient, made: dict[str, Any]) -> dict[str, Any]:
    response = await client.get(f"{RECURRING}/{made['recurringJobId']}")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def count_jobs(client: httpx.AsyncClient) -> int:
    return len((await client.get("/api/jobs?limit=100")).json()["jobs"])


async def pass_minutes(world: World, minutes: int) -> None:
    for _ in range(minutes):
        await world.advance(60)
        await world.sweep()
        await world.settle()


# ── Delayed ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_delayed_job_starts_after_its_delay(world: World, ada: httpx.AsyncClient) -> None:
    order = {"jobType": "image-generation", "data": IMAGE, "delay": 300_000}
    response = await ada.post(DELAYED, json=order)
    assert response.status_code == 202
    job = response.json()
    assert job["status"] == "SCHEDULED"
    assert job["credits"]["held"] == 1
    await world.advance(299)
    assert (await read_job(ada, job))["status"] == "SCHEDULED"
    await world.advance(2)
    assert (await read_job(ada, job))["status"] == "COMPLETED"


async def test_a_job_may_be_delayed_for_years(world: World, ada: httpx.AsyncClient) -> None:
    run_at = (world.now() + timedelta(days=800)).isoformat()
    order = {"jobType": "image-generation", "data": IMAGE, "runAt": run_at}
    job = (await ada.post(DELAYED, json=order)).json()
    await world.advance(799 * 86_400)
    await world.sweep()
    assert (await read_job(ada, job))["status"] == "SCHEDULED"
    await world.advance(86_400 + 1)
    await world.settle()
    assert (await read_job(ada, job))["status"] == "COMPLETED"


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({}, ""),
        ({"delay": 1, "runAt": "2030-01-01T00:00:00Z"}, ""),
        ({"delay": -1}, "delay"),
        ({"delay": "5"}, "delay"),
        ({"runAt": "2030-01-01"}, "runAt"),
        ({"delay": 1, "data": {"prompt": ""}}, "data.prompt"),
        ({"delay": 1, "data": {**IMAGE, "scheduleAt": "2030-01-01T00:00:00Z"}}, "data.scheduleAt"),
    ],
)
async def test_a_bad_delay_is_refused_by_field(
    ada: httpx.AsyncClient, fields: dict[str, Any], path: str
) -> None:
    order = {"jobType": "image-generation", "data": IMAGE, **fields}
    assert refused_paths(await ada.post(DELAYED, json=order)) == {path}


async def test_a_scheduled_job_can_be_moved_and_run_now(
    world: World, ada: httpx.AsyncClient
) -> None:
    order = {"jobType": "image-generation", "data": IMAGE, "delay": 3_600_000}
    job = (await ada.post(DELAYED, json=order)).json()
    path = f"/api/jobs/image-generation/{job['jobId']}/reschedule"
    assert (await ada.post(path, json={"delay": 7_200_000})).status_code == 200
    await world.advance(3_700)
    assert (await read_job(ada, job))["status"] == "SCHEDULED"
    assert (await ada.post(path, json={"delay": 0})).status_code == 200
    await world.advance(1)
    assert (await read_job(ada, job))["status"] == "COMPLETED"
    expect_problem(await ada.post(path, json={"delay": 0}), 409, "conflict")


# ── Recurring ────────────────────────────────────────────────────────────────────────────────────


async def test_a_recurring_job_is_submitted_at_each_of_its_times(
    world: World, ada: httpx.AsyncClient
) -> None:
    made = await create(ada)
    assert made["schedule"] == "Every minute"
    assert len(made["nextRuns"]) == 5
    await pass_minutes(world, 3)
    found = await read(ada, made)
    assert found["submitted"] == 3
    assert [run["result"] for run in found["runs"]] == ["submitted"] * 3
    assert await count_jobs(ada) == 3
    assert (await ada.get(f"/api/jobs/{found['runs'][0]['jobId']}")).json()["status"] == "COMPLETED"


async def test_two_sweeps_at_once_submit_a_run_once(world: World, ada: httpx.AsyncClient) -> None:
    made = await create(ada)
    await world.advance(60)
    await make_due_runs(world.services)
    await make_due_runs(world.services)
    await world.settle()
    assert await count_jobs(ada) == 1
    assert (await read(ada, made))["submitted"] == 1


async def test_missed_times_are_made_up_for_by_one_run(
    world: World, ada: httpx.AsyncClient
) -> None:
    made = await create(ada)
    await world.advance(600)
    await world.sweep()
    await world.settle()
    assert await count_jobs(ada) == 1
    next_run = datetime.fromisoformat((await read(ada, made))["nextRuns"][0])
    assert world.now() < next_run <= world.now() + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("overlap", "submitted", "skipped", "unfinished"),
    [("skip", 1, 2, 1), ("queue", 1, 0, 1), ("replace", 3, 0, 1)],
)
async def test_a_run_that_meets_an_unfinished_job_follows_the_overlap_rule(
    world: World,
    ada: httpx.AsyncClient,
    overlap: str,
    submitted: int,
    skipped: int,
    unfinished: int,
) -> None:
    slow = image_request("slow", seconds=170)
    made = await create(ada, data=slow, options={"overlap": overlap})
    await pass_minutes(world, 3)
    found = await read(ada, made)
    assert (found["submitted"], found["skipped"]) == (submitted, skipped)
    jobs = (await ada.get("/api/jobs?limit=100")).json()["jobs"]
    open_jobs = [job for job in jobs if job["status"] not in {"COMPLETED", "CANCELLED"}]
    assert len(open_jobs) == unfinished


async def test_a_queued_run_is_made_after_the_earlier_job_has_ended(
    world: World, ada: httpx.AsyncClient
) -> None:
    slow = image_request("slow", seconds=100)
    made = await create(ada, data=slow, options={"overlap": "queue"})
    await pass_minutes(world, 4)
    assert (await read(ada, made))["submitted"] == 2


async def test_a_paused_one_makes_no_run_and_makes_up_for_none(
    world: World, ada: httpx.AsyncClient
) -> None:
    made = await create(ada)
    path = f"{RECURRING}/{made['recurringJobId']}"
    for _ in range(2):
        assert (await ada.post(f"{path}/pause")).json()["state"] == "paused"
    await pass_minutes(world, 3)
    assert await count_jobs(ada) == 0
    assert (await ada.post(f"{path}/resume")).json()["state"] == "active"
    await pass_minutes(world, 1)
    assert await count_jobs(ada) == 1


async def test_a_deleted_one_makes_no_run_and_is_gone(world: World, ada: httpx.AsyncClient) -> None:
    made = await create(ada)
    path = f"{RECURRING}/{made['recurringJobId']}"
    assert (await ada.delete(path)).status_code == 200
    await pass_minutes(world, 2)
    assert await count_jobs(ada) == 0
    expect_problem(await ada.get(path), 404, "not_found")


async def test_it_ends_at_its_end(world: World, ada: httpx.AsyncClient) -> None:
    end_at = (world.now() + timedelta(seconds=150)).isoformat()
    made = await create(ada, options={"endAt": end_at})
    await pass_minutes(world, 5)
    found = await read(ada, made)
    assert (found["state"], found["submitted"], found["nextRuns"]) == ("ended", 2, [])


async def test_a_run_without_credits_is_recorded_and_the_schedule_goes_on(
    world: World, ada: httpx.AsyncClient
) -> None:
    made = await create(ada)
    available = (await ada.get("/api/credits")).json()["available"]
    while available:
        order = {**batch_request(min(available, 50)), "scheduleAt": far(world)}
        await submit_job(ada, order, "/api/jobs/batch-generation")
        available = (await ada.get("/api/credits")).json()["available"]
    await pass_minutes(world, 2)
    found = await read(ada, made)
    assert (found["submitted"], found["refused"], found["state"]) == (0, 2, "active")
    assert "credit" in found["runs"][0]["reason"]


def far(world: World) -> str:
    return (world.now() + timedelta(days=300)).isoformat()


async def test_schedules_of_others_are_neither_shown_nor_changed(
    world: World, ada: httpx.AsyncClient
) -> None:
    made = await create(ada)
    bob = world.as_user("bob")
    path = f"{RECURRING}/{made['recurringJobId']}"
    expect_problem(await bob.get(path), 404, "not_found")
    expect_problem(await bob.delete(path), 404, "not_found")
    expect_problem(await bob.post(f"{path}/pause"), 404, "not_found")
    assert (await bob.get(RECURRING)).json()["recurringJobs"] == []
    assert len((await ada.get(RECURRING)).json()["recurringJobs"]) == 1


async def test_an_idempotency_key_creates_it_once(ada: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "nightly"}
    first = await ada.post(RECURRING, json=recurring(), headers=headers)
    again = await ada.post(RECURRING, json=recurring(), headers=headers)
    assert first.json()["recurringJobId"] == again.json()["recurringJobId"]
    other = recurring(cronExpression="0 0 * * *")
    expect_problem(
        await ada.post(RECURRING, json=other, headers=headers), 422, "idempotency_key_reused"
    )


async def test_all_that_is_wrong_in_a_recurrence_is_named_at_once(ada: httpx.AsyncClient) -> None:
    body = recurring(cronExpression="61 * * * *", timeZone="Mars/Base", data={"prompt": 3})
    answer = await ada.post(RECURRING, json=body)
    assert answer.status_code == 422
    problem = answer.json()
    paths = [one["path"] for one in problem["errors"]]
    assert paths == ["data.prompt", "timeZone", "cronExpression"]
    assert all(f"{path}: " in problem["detail"] for path in paths)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"cronExpression": "0 0 30 2 *"}, "cronExpression"),
        ({"cronExpression": "often"}, "cronExpression"),
        ({"timeZone": "Mars/Olympus"}, "timeZone"),
        ({"options": {"overlap": "pile"}}, "options.overlap"),
        ({"options": {"endAt": "2020-01-01T00:00:00Z"}}, "options.endAt"),
        ({"data": {"prompt": ""}}, "data.prompt"),
    ],
)
async def test_a_bad_recurrence_is_refused_by_field(
    ada: httpx.AsyncClient, fields: dict[str, Any], path: str
) -> None:
    assert refused_paths(await ada.post(RECURRING, json=recurring(**fields))) == {path}


async def test_a_run_that_cannot_be_stored_is_made_by_the_next_sweep(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await create(ada)
    await world.advance(60)

    async def fail(*_: Any) -> Any:
        raise StoreError("the store is away")

    with monkeypatch.context() as patch:
        patch.setattr(due_runs, "submit_job", fail)
        assert await make_due_runs(world.services) == {"run_unwritten": 1}
    assert await make_due_runs(world.services) == {"run_submitted": 1}
    assert (await read(ada, made))["submitted"] == 1


async def test_a_recurring_job_that_crashes_stops_no_other(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, sound = await create(ada), await create(ada)
    await world.advance(60)

    async def crash(services: Any, owner: Any, request: Any) -> Any:
        if request.idempotency_key.startswith(broken["recurringJobId"]):
            raise ZeroDivisionError
        return await submit_due(services, owner, request)

    monkeypatch.setattr(due_runs, "submit_job", crash)
    assert await make_due_runs(world.services) == {"run_crashed": 1, "run_submitted": 1}
    assert (await read(ada, sound))["submitted"] == 1


@pytest.mark.parametrize("change", ["pause", "delete"])
async def test_a_run_that_its_owner_overtakes_does_not_change_the_recurring_job(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    made = await create(ada)
    path = f"{RECURRING}/{made['recurringJobId']}"
    await world.advance(60)

    async def overtake(*arguments: Any) -> Any:
        done = await (ada.post(f"{path}/pause") if change == "pause" else ada.delete(path))
        assert done.status_code == 200
        return await submit_due(*arguments)

    monkeypatch.setattr(due_runs, "submit_job", overtake)
    await make_due_runs(world.services)
    if change == "pause":
        found = await read(ada, made)
        assert (found["state"], found["submitted"]) == ("paused", 0)
    else:
        expect_problem(await ada.get(path), 404, "not_found")


async def test_more_due_runs_than_a_page_are_all_made(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due_runs, "_PAGE", 2)
    for _ in range(5):
        await create(ada)
    await world.advance(60)
    assert await make_due_runs(world.services) == {"run_submitted": 5}


async def test_one_that_has_ended_cannot_be_resumed(world: World, ada: httpx.AsyncClient) -> None:
    made = await create(ada, options={"endAt": (world.now() + timedelta(minutes=2)).isoformat()})
    path = f"{RECURRING}/{made['recurringJobId']}"
    assert (await ada.post(f"{path}/resume")).json()["state"] == "active"
    assert (await ada.post(f"{path}/pause")).status_code == 200
    await world.advance(300)
    expect_problem(await ada.post(f"{path}/resume"), 409, "conflict")


async def test_a_user_has_a_limited_number_of_recurring_jobs(
    ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recurring_jobs, "MOST_RECURRING_JOBS", 2)
    for _ in range(2):
        await create(ada)
    expect_problem(await ada.post(RECURRING, json=recurring()), 409, "conflict")


async def test_a_recurrence_neither_depends_nor_is_scheduled_nor_ends_before_its_start(
    world: World, ada: httpx.AsyncClient
) -> None:
    start, end = far(world), (world.now() + timedelta(days=1)).isoformat()
    for fields, path in (
        ({"data": {**IMAGE, "dependsOn": [{"jobId": "job_1"}]}}, "data.dependsOn"),
        ({"data": {**IMAGE, "scheduleAt": start}}, "data.scheduleAt"),
        ({"options": {"startAt": start, "endAt": end}}, "options.endAt"),
    ):
        assert refused_paths(await ada.post(RECURRING, json=recurring(**fields))) == {path}
