"""The position of a job and the estimated times; the limit on a user's jobs, set by an admin."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from functions.job_requests import expect_problem
from simulation.world import World
from taskreel.app.flow.queue_position import QueuePosition
from taskreel.domain.job_status import Status

NOOP = {"prompt": "a red kite", "options": {"studio": {"mode": "noop"}}}
IMAGE = "/api/jobs/image-generation"


async def submit(client: httpx.AsyncClient) -> dict[str, Any]:
    made: dict[str, Any] = (await client.post(IMAGE, json=NOOP)).json()
    return made


async def position(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    answer = await client.get(f"/api/queue/{job_id}/position")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_waiting_job_has_the_number_of_jobs_ahead_and_times(limited: World) -> None:
    ada = limited.as_user("ada")
    done = await submit(ada)
    await limited.advance(5)
    # A run of ten seconds, to estimate from.
    job = await limited.job(done["jobId"])
    ended = job.status_at[Status.QUEUED].replace(second=10)
    at = {**job.status_at, Status.COMPLETED: ended}
    await limited.put(job.model_copy(update={"status_at": at}))

    first = await submit(ada)
    waiting = []
    for _ in range(3):
        limited.clock.run_next(limited.clock.now() + 1_000_000)
        waiting.append(await submit(ada))
    found = await position(ada, waiting[2]["jobId"])
    assert (found["status"], found["ahead"], found["aheadText"]) == ("THROTTLED", 2, "2")
    assert found["startsIn"]["p50"] == pytest.approx(30, abs=1)
    assert found["startsIn"]["p90"] > found["startsIn"]["p50"]
    assert found["endsIn"]["p50"] > found["startsIn"]["p50"]
    assert "1 job under way" in found["reason"]
    shown = (await ada.get(f"/api/jobs/{waiting[2]['jobId']}")).json()
    assert shown["queue"]["ahead"] == 2
    assert waiting[0]["queue"]["ahead"] == 0
    assert "queue" not in (await ada.get(f"/api/jobs/{first['jobId']}")).json()


async def test_an_ended_job_has_no_position_and_a_queued_one_goes_now(limited: World) -> None:
    ada = limited.as_user("ada")
    made = await submit(ada)
    assert (await position(ada, made["jobId"]))["ahead"] == 0
    await limited.advance(5)
    found = await position(ada, made["jobId"])
    assert (found["status"], found["ahead"], found["startsIn"]) == ("COMPLETED", None, None)


async def test_the_position_of_anothers_job_is_not_shown(limited: World) -> None:
    made = await submit(limited.as_user("ada"))
    answer = await limited.as_user("bob").get(f"/api/queue/{made['jobId']}/position")
    expect_problem(answer, 404, "not_found")


def test_more_than_a_thousand_jobs_are_not_counted() -> None:
    assert QueuePosition(ahead=1000).ahead_text == "1,000+"
    assert QueuePosition(ahead=999).ahead_text == "999"


async def test_an_admin_raises_a_users_limit_and_waiting_jobs_start(limited: World) -> None:
    ada, admin = limited.as_user("ada"), limited.as_user("root", role="admin")
    jobs = [await submit(ada) for _ in range(4)]
    mine = (await ada.get("/api/limits")).json()
    assert (mine["activeJobs"], mine["active"], mine["waiting"]) == (1, 1, 3)
    raised = await admin.put("/api/limits/ada", json={"activeJobs": 3, "reason": "a launch"})
    assert raised.status_code == 200, raised.text
    body = raised.json()
    assert (body["activeJobs"], body["isOwn"], body["active"], body["waiting"]) == (3, True, 3, 1)
    statuses = [(await limited.job(job["jobId"])).status for job in jobs]
    assert statuses.count(Status.QUEUED) == 3
    back = await admin.put("/api/limits/ada", json={"activeJobs": None})
    assert (back.json()["activeJobs"], back.json()["isOwn"]) == (1, False)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "3", True])
async def test_a_limit_must_be_a_whole_number_from_one(limited: World, wrong: Any) -> None:
    admin = limited.as_user("root", role="admin")
    answer = await admin.put("/api/limits/ada", json={"activeJobs": wrong})
    expect_problem(answer, 422, "invalid_request")
    assert answer.json()["errors"][0]["path"] == "activeJobs"


async def test_only_an_admin_sets_limits(limited: World) -> None:
    answer = await limited.as_user("ada").put("/api/limits/ada", json={"activeJobs": 9})
    expect_problem(answer, 403, "forbidden")
