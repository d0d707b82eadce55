"""Limits of a stored project: its jobs under way at a time, and the credits of all its jobs."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from functions.job_requests import IMAGE, NOOP, expect_problem, image_request, submit_job
from functions.test_projects import PROJECTS, make_project, set_role
from simulation.world import World
from taskreel import store_collections as collections
from taskreel.app.flow.slots import PROJECT_LIMIT
from taskreel.domain.job import Job
from taskreel.ports import Transaction

SLOW = image_request("sleep", seconds=10)


async def make_limited_project(owner: httpx.AsyncClient, **limits: Any) -> str:
    project = await make_project(owner)
    await set_limits(owner, project, **limits)
    return project


async def set_limits(admin: httpx.AsyncClient, project: str, **limits: Any) -> dict[str, Any]:
    answer = await admin.put(f"{PROJECTS}/{project}/limits", json=limits)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def list_statuses(world: World, jobs: list[dict[str, Any]]) -> list[str]:
    return [str((await world.job(job["jobId"])).status) for job in jobs]


async def test_a_limit_of_a_project_counts_the_jobs_of_all_its_members(limited: World) -> None:
    ada, eve = (limited.as_user(name, tier="enterprise") for name in ("ada", "eve"))
    project = await make_limited_project(ada, activeJobs=2)
    await set_role(ada, project, "eve", "editor")
    body = {**SLOW, "projectId": project}
    jobs = [await submit_job(client, body) for client in (ada, eve, ada, eve)]
    assert (await list_statuses(limited, jobs))[2:] == ["THROTTLED", "THROTTLED"]
    waiting = (await eve.get(f"/api/jobs/{jobs[3]['jobId']}")).json()
    assert waiting["error"]["code"] == PROJECT_LIMIT
    assert project in waiting["error"]["message"]
    position = (await eve.get(f"/api/queue/{jobs[3]['jobId']}/position")).json()
    assert (position["status"], position["reason"]) == ("THROTTLED", waiting["error"]["message"])
    # A job of another project meets room.
    assert (await submit_job(eve, SLOW))["status"] == "QUEUED"
    await limited.advance(15)
    assert set((await list_statuses(limited, jobs))[2:]) <= {"QUEUED", "PROCESSING"}
    await limited.advance(30)
    assert set(await list_statuses(limited, jobs)) == {"COMPLETED"}


@pytest.mark.parametrize("raised", [3, None])
async def test_a_higher_limit_starts_what_waits(limited: World, raised: int | None) -> None:
    ada = limited.as_user("ada", tier="enterprise")
    project = await make_limited_project(ada, activeJobs=1)
    jobs = [await submit_job(ada, {**SLOW, "projectId": project}) for _ in range(3)]
    assert (await list_statuses(limited, jobs)).count("THROTTLED") == 2
    shown = await set_limits(ada, project, activeJobs=raised)
    assert shown["activeJobs"] == raised
    assert "THROTTLED" not in await list_statuses(limited, jobs)
    await limited.advance(30)
    assert set(await list_statuses(limited, jobs)) == {"COMPLETED"}


async def test_a_pipeline_counts_as_one_job_of_the_project(limited: World) -> None:
    ada = limited.as_user("ada", tier="enterprise")
    project = await make_limited_project(ada, activeJobs=1)
    step = {"type": "image-generation", "payload": NOOP}
    body = {"projectId": project, "steps": {"one": step, "two": step}}
    job = await submit_job(ada, body, "/api/jobs/pipeline")
    other = await submit_job(ada, {**NOOP, "projectId": project})
    assert (job["status"], other["status"]) == ("QUEUED", "THROTTLED")
    await limited.advance(60)
    assert await list_statuses(limited, [job, other]) == ["COMPLETED", "COMPLETED"]


async def test_the_jobs_of_a_project_spend_no_more_than_its_credits(
    limited: World,
) -> None:
    ada = limited.as_user("ada", tier="enterprise")
    project = await make_limited_project(ada, credits=2)
    body = {**NOOP, "projectId": project}
    first = await submit_job(ada, body)
    failed = await submit_job(ada, {**image_request("fail-permanent"), "projectId": project})
    problem = expect_problem(await ada.post(IMAGE, json=body), 402, "spend_cap_reached")
    assert (problem["cap"], problem["limit"], problem["spent"]) == ("total", 2, 2)
    assert problem["resetsAt"] is None
    quote = (await ada.post(f"{IMAGE}?validateOnly=true", json=body)).json()
    assert quote["credits"]["sufficient"] is False
    # What failed is given back, also to the project, whatever the day.
    await limited.advance(86_400)
    assert await list_statuses(limited, [first, failed]) == ["COMPLETED", "FAILED"]
    shown = (await ada.get(f"{PROJECTS}/{project}")).json()
    assert shown["total"] == {"limit": 2, "spent": 1, "remaining": 1}
    await submit_job(ada, body)
    expect_problem(await ada.post(IMAGE, json=body), 402, "spend_cap_reached")
    await set_limits(ada, project, credits=None)
    await submit_job(ada, body)


async def test_holds_of_the_last_release_are_not_taken_out_of_what_was_never_counted(
    limited: World,
) -> None:
    ada = limited.as_user("ada", tier="enterprise")
    project = await make_project(ada)
    body = {**SLOW, "projectId": project}
    jobs = [await submit_job(ada, body) for _ in range(3)]

    async def make_older(tx: Transaction) -> None:
        """As the last release stored them: the days counted, but not all that is spent."""
        stored = await tx.get(collections.PROJECTS, project)
        held: list[Job] = []
        for job in jobs:
            found = await tx.get(collections.JOBS, job["jobId"])
            assert found is not None
            held.append(found)
        assert stored is not None
        assert stored.total_spent == 3
        tx.set(collections.PROJECTS, project, stored.model_copy(update={"total_spent": 0}))
        for one in held:
            assert one.in_total
            tx.set(collections.JOBS, one.job_id, one.model_copy(update={"in_total": False}))

    await limited.services.store.transaction(make_older)
    await set_limits(ada, project, credits=2)
    for job in jobs:
        assert (await ada.delete(job["urls"]["cancel"])).status_code == 200
    shown = (await ada.get(f"{PROJECTS}/{project}")).json()
    assert shown["total"] == {"limit": 2, "spent": 0, "remaining": 2}
    for _ in range(2):
        await submit_job(ada, body)
    expect_problem(await ada.post(IMAGE, json=body), 402, "spend_cap_reached")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"activeJobs": 0}, "activeJobs"),
        ({"activeJobs": -1}, "activeJobs"),
        ({"credits": -1}, "credits"),
        ({"credits": True}, "credits"),
        ({"jobs": 1}, "jobs"),
    ],
)
async def test_a_limit_that_is_none_is_refused_by_its_name(
    limited: World, body: dict[str, Any], path: str
) -> None:
    ada = limited.as_user("ada")
    project = await make_project(ada)
    answer = await ada.put(f"{PROJECTS}/{project}/limits", json=body)
    refused = expect_problem(answer, 422, "invalid_request")
    assert [error["path"] for error in refused["errors"]] == [path]


async def test_only_admins_of_the_project_limit_it_and_it_is_audited(limited: World) -> None:
    ada, eve = limited.as_user("ada"), limited.as_user("eve")
    project = await make_project(ada, eve="editor")
    expect_problem(
        await eve.put(f"{PROJECTS}/{project}/limits", json={"activeJobs": 5}), 403, "forbidden"
    )
    await set_limits(ada, project, activeJobs=5, reason="the render farm is small")
    admin = limited.as_user("root", role="admin")
    (entry,) = (await admin.get("/api/audit?text=limits")).json()["entries"]
    assert (entry["action"], entry["reason"]) == (
        "project limits set: active jobs 5, credits none",
        "the render farm is small",
    )
