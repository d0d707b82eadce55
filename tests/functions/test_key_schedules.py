"""Recurring jobs and bulk operations of API keys: whose they are, and how they end with the key."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from functions.job_requests import NOOP, expect_problem, submit_job
from functions.test_operations import follow, order
from functions.test_project_account import expect_sound_books, grant, read_numbers
from functions.test_project_keys import make_key, use_key
from functions.test_projects import PROJECTS, make_project
from functions.test_schedules import pass_minutes
from simulation.world import World

RECURRING = "/api/jobs/recurring"


@pytest.fixture
async def film(ada: httpx.AsyncClient) -> str:
    """A project of ada's in which eve is an editor."""
    return await make_project(ada, eve="editor", vera="viewer")


async def schedule_by_key(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient, film: str
) -> tuple[dict[str, Any], str]:
    """A key with a recurring job that has run once; the key, and the job's path."""
    await grant(admin, film, 10)
    made = await make_key(ada, film)
    order = {"jobType": "image-generation", "data": NOOP, "cronExpression": "* * * * *"}
    recurring = (await use_key(world, made["token"]).post(RECURRING, json=order)).json()
    path = f"{RECURRING}/{recurring['recurringJobId']}"
    await pass_minutes(world, 1)
    runs = (await ada.get(path)).json()["runs"]
    assert [one["result"] for one in runs] == ["submitted"]
    assert (await world.job(runs[0]["jobId"])).project_id == film
    return made, path


async def test_a_recurring_job_of_a_revoked_key_is_paused_and_says_why(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient, film: str
) -> None:
    """It was refused at each of its times, for ever, and no one but operators could see it."""
    made, path = await schedule_by_key(world, ada, admin, film)
    assert (await ada.delete(f"{PROJECTS}/{film}/keys/{made['keyId']}")).status_code == 204
    captured = await read_numbers(ada, film)
    await pass_minutes(world, 3)
    found = (await ada.get(path)).json()
    assert (found["state"], found["submitted"], found["refused"]) == ("paused", 1, 1)
    assert found["nextRuns"] == []
    assert f"{path}/take-over" in found["pauseReason"]
    assert await read_numbers(ada, film) == captured
    problem = expect_problem(await ada.post(f"{path}/resume"), 409, "conflict")
    assert problem["detail"] == found["pauseReason"]
    await expect_sound_books(world)


async def test_an_admin_of_the_project_takes_over_the_recurring_job_of_a_revoked_key(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient, film: str
) -> None:
    made, path = await schedule_by_key(world, ada, admin, film)
    await ada.delete(f"{PROJECTS}/{film}/keys/{made['keyId']}")
    await pass_minutes(world, 2)
    # Neither who may not submit nor who is no member when it runs can have it.
    expect_problem(await world.as_user("eve").post(f"{path}/take-over"), 403, "forbidden")
    expect_problem(await admin.post(f"{path}/take-over"), 403, "forbidden")
    taken = (await ada.post(f"{path}/take-over")).json()
    assert (taken["state"], taken["userId"]) == ("active", "ada")
    assert "pauseReason" not in taken
    assert (await ada.post(f"{path}/take-over")).json()["userId"] == "ada"
    await pass_minutes(world, 1)
    (newest, *_) = (await ada.get(path)).json()["runs"]
    assert newest["result"] == "submitted"
    assert (await world.job(newest["jobId"])).user_id == "ada"
    # Another key can have it, too.
    other = await make_key(ada, film, role="admin")
    taken = (await use_key(world, other["token"]).post(f"{path}/take-over")).json()
    assert taken["userId"] == other["userId"]
    await pass_minutes(world, 1)
    (newest, *_) = (await ada.get(path)).json()["runs"]
    assert (await world.job(newest["jobId"])).user_id == other["userId"]


async def test_the_members_of_a_project_see_its_recurring_jobs_and_change_them_by_their_role(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient, film: str
) -> None:
    _, path = await schedule_by_key(world, ada, admin, film)
    vera, eve, bob = [world.as_user(name) for name in ("vera", "eve", "bob")]
    for member in (vera, eve, ada, admin):
        listed = await member.get(RECURRING, params={"projectId": film})
        assert [one["projectId"] for one in listed.json()["recurringJobs"]] == [film]
        assert (await member.get(path)).status_code == 200
        assert (await member.get(RECURRING)).json()["recurringJobs"] == []
    expect_problem(await bob.get(RECURRING, params={"projectId": film}), 403, "forbidden")
    for verb in ("pause", "resume", "take-over"):
        expect_problem(await bob.post(f"{path}/{verb}"), 404, "not_found")
        expect_problem(await vera.post(f"{path}/{verb}"), 403, "forbidden")
    assert (await eve.post(f"{path}/pause")).json()["state"] == "paused"
    assert (await eve.post(f"{path}/resume")).json()["state"] == "active"
    expect_problem(await eve.delete(path), 403, "forbidden")
    expect_problem(await eve.post(f"{path}/take-over"), 403, "forbidden")
    assert (await ada.delete(path)).status_code == 200
    expect_problem(await ada.get(path), 404, "not_found")


async def test_a_recurring_job_of_no_project_is_its_users_alone(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    order = {"jobType": "image-generation", "data": NOOP, "cronExpression": "0 9 * * *"}
    made = (await ada.post(RECURRING, json=order)).json()
    path = f"{RECURRING}/{made['recurringJobId']}/take-over"
    expect_problem(await world.as_user("bob").post(path), 404, "not_found")
    expect_problem(await admin.post(path), 409, "conflict")


async def test_a_bulk_operation_of_a_key_ends_with_the_key(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient, film: str
) -> None:
    made = await make_key(ada, film)
    server = use_key(world, made["token"])
    at = (world.now() + timedelta(days=1)).isoformat()
    jobs = [
        str((await submit_job(ada, {**NOOP, "projectId": film, "scheduleAt": at}))["jobId"])
        for _ in range(3)
    ]
    wanted = {"action": "cancel", "filter": {"projectId": film}, "limit": 100}
    operation = await order(server, **wanted)
    assert (await ada.delete(f"{PROJECTS}/{film}/keys/{made['keyId']}")).status_code == 204
    ended = await follow(world, admin, operation)
    assert (ended["state"], ended["changed"]) == ("aborted", 0)
    assert {str((await world.job(job)).status) for job in jobs} == {"SCHEDULED"}
    # One that is valid does what its project's members may.
    other = use_key(world, (await make_key(ada, film))["token"])
    ended = await follow(world, admin, await order(other, **wanted))
    assert (ended["state"], ended["changed"]) == ("done", 3)
