"""The view of a pipeline, its steps and its jobs that a caller gets."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import httpx
import pytest

from functions.job_requests import read_job, refused_paths
from functions.pipeline_requests import PICTURES, STORY, ended, fan, jobs_of, start, step
from functions.test_replay import replayed
from simulation.world import World
from taskreel.web.responses import JobView


async def listed(client: httpx.AsyncClient, query: str) -> list[dict[str, Any]]:
    """The jobs of every page."""
    found: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (
            await client.get(f"/api/jobs?{query}&limit=2{cursor and '&cursor='}{cursor}")
        ).json()
        found += page["jobs"]
        cursor = page["nextCursor"]
    return found


def facts(job: dict[str, Any], *names: str) -> dict[str, Any]:
    """Of each step, what these fields say."""
    return {one["name"]: [one[name] for name in names] for one in job["steps"]}


async def test_a_pipeline_shows_its_steps_before_as_they_run_and_when_they_have_ended(
    world: World, ada: httpx.AsyncClient
) -> None:
    drawn = {
        "prompt": "{{item.description}}",
        "options": {"studio": {"mode": "slow", "seconds": 20}},
    }
    slow = {**PICTURES, "payload": drawn}
    job = await start(ada, story=STORY, pictures=slow, last=step(after=["pictures"]))
    assert facts(job, "type", "status", "width") == {
        "story": ["story-generation", "waiting", None],
        "pictures": ["image-generation", "waiting", None],
        "last": ["image-generation", "waiting", None],
    }
    assert job["currentStep"] == "story"
    await world.advance(10)
    job = await read_job(ada, job)
    assert facts(job, "status", "width", "ended", "percent", "credits")["story"] == [
        "done",
        1,
        1,
        100,
        1,
    ]
    assert facts(job, "status", "width", "ended", "percent", "credits")["pictures"] == [
        "running",
        3,
        0,
        0,
        0,
    ]
    assert (job["currentStep"], job["servedBy"]) == ("pictures", "studio")
    job = await ended(world, ada, job, "COMPLETED", 200)
    assert facts(job, "status", "width", "credits", "servedBy", "failedJobId") == {
        "story": ["done", 1, 1, "studio", None],
        "pictures": ["done", 3, 3, "studio", None],
        "last": ["done", 1, 1, "studio", None],
    }
    assert job["currentStep"] is None
    assert (await listed(ada, "jobType=pipeline"))[0]["steps"] == job["steps"]


async def test_a_failed_pipeline_names_the_step_and_the_job(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await ended(
        world, ada, await start(ada, many=fan("noop", "fail-permanent", "noop")), "FAILED"
    )
    (failed,) = [one for one in await jobs_of(world, job["jobId"]) if one.status == "FAILED"]
    assert (job["error"]["step"], job["error"]["jobId"]) == ("many", failed.job_id)
    assert facts(job, "status", "failed", "failedJobId") == {"many": ["failed", 1, failed.job_id]}
    assert (await read_job(ada, {"jobId": failed.job_id}))["error"].keys() == {
        "code",
        "category",
        "message",
        "timestamp",
        "details",
    }


async def test_an_ignored_failure_is_shown_with_its_step(
    world: World, ada: httpx.AsyncClient
) -> None:
    many = fan("noop", "fail-permanent", onFailure="ignore")
    job = await ended(world, ada, await start(ada, many=many), "COMPLETED")
    (failed,) = [one for one in await jobs_of(world, job["jobId"]) if one.status == "FAILED"]
    assert facts(job, "status", "failed", "failedJobId") == {"many": ["done", 1, failed.job_id]}


async def test_a_movie_whose_request_waits_for_another_job_has_no_steps_yet(
    ada: httpx.AsyncClient,
) -> None:
    first = await start(ada, one=step())
    count = f"{{{{jobs.{first['jobId']}.result.index}}}}"
    body = {"prompt": "a kite", "numSequences": count, "dependsOn": [{"jobId": first["jobId"]}]}
    movie = (await ada.post("/api/jobs/movie-creation", json=body)).json()
    assert (movie["status"], movie["steps"], movie["currentStep"]) == ("BLOCKED", [], None)
    assert (await ada.get(f"/api/movies/{movie['jobId']}/status")).json()["steps"] == []


async def test_a_pipelines_jobs_are_listed_with_their_places(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await ended(
        world,
        ada,
        await start(ada, many=fan("noop", "noop", "noop"), one=step(after=["many"])),
        "COMPLETED",
    )
    await start(ada, other=step())
    await world.settle()
    found = await listed(ada, f"parentId={job['jobId']}")
    assert sorted((one["step"], one["index"], one["parentId"]) for one in found) == [
        ("many", 0, job["jobId"]),
        ("many", 1, job["jobId"]),
        ("many", 2, job["jobId"]),
        ("one", 0, job["jobId"]),
    ]
    created = [datetime.fromisoformat(one["createdAt"]) for one in found]
    assert created == sorted(created, reverse=True)
    assert len(await listed(ada, f"parentId={job['jobId']}&status=FAILED")) == 0
    assert len(await listed(world.as_user("root", role="admin"), f"parentId={job['jobId']}")) == 4
    assert await listed(world.as_user("bob"), f"parentId={job['jobId']}") == []


async def test_a_plain_job_has_no_steps_and_no_parent(ada: httpx.AsyncClient) -> None:
    job = (await ada.post("/api/jobs/image-generation", json=step()["payload"])).json()
    assert {name: job[name] for name in ("steps", "currentStep", "parentId", "step", "index")} == {
        "steps": [],
        "currentStep": None,
        "parentId": None,
        "step": None,
        "index": None,
    }


async def test_every_job_is_as_the_documentation_says(world: World, ada: httpx.AsyncClient) -> None:
    job = await ended(world, ada, await start(ada, many=fan("noop", "fail-permanent")), "FAILED")
    for one in [job, *await listed(ada, f"parentId={job['jobId']}")]:
        documented = JobView.model().model_validate(one, by_alias=True, by_name=False)
        assert documented.model_dump(by_alias=True).keys() == one.keys()


async def test_forty_replays_in_a_row_find_what_the_first_job_made(
    world: World, ada: httpx.AsyncClient
) -> None:
    job: dict[str, Any] = await ended(
        world, ada, await start(ada, many=fan("noop", "noop")), "COMPLETED"
    )
    for _ in range(40):
        job = await ended(world, ada, await replayed(ada, job), "COMPLETED")
    assert job["credits"]["captured"] == 0
    assert len(job["result"]["items"]) == 2


async def test_a_replay_is_quoted_before_it_is_bought(world: World, ada: httpx.AsyncClient) -> None:
    steps = {"first": fan("noop", "noop"), "last": step(after=["first"])}
    job = await ended(world, ada, await start(ada, **steps), "COMPLETED")
    before = await listed(ada, "")
    path = f"/api/jobs/pipeline/{job['jobId']}/replay"
    quoted = (await ada.post(f"{path}?validateOnly=true", json={"fromStep": "last"})).json()
    assert (quoted["valid"], quoted["cost"], quoted["credits"]["sufficient"]) == (True, 1, True)
    assert quoted["steps"].keys() == {"last"}
    assert await listed(ada, "") == before


@pytest.mark.parametrize(
    ("query", "path"),
    [("validateonly=true", "validateonly"), ("validateOnly=yes", "validateOnly"), ("x", "x")],
)
async def test_a_slip_in_the_query_buys_nothing(
    world: World, ada: httpx.AsyncClient, query: str, path: str
) -> None:
    job = await ended(world, ada, await start(ada, one=step("fail-permanent")), "FAILED")
    url = "/api/jobs/pipeline"
    assert refused_paths(await ada.post(f"{url}?{query}", json={"steps": {"one": step()}})) == {
        path
    }
    assert refused_paths(await ada.post(f"{url}/{job['jobId']}/replay?{query}")) == {path}
    assert len(await listed(ada, "jobType=pipeline")) == 1


async def test_a_retry_cannot_be_validated_only_and_says_so(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await ended(world, ada, await start(ada, one=step("fail-permanent")), "FAILED")
    assert refused_paths(
        await ada.post(f"/api/jobs/pipeline/{job['jobId']}/retry?validateOnly=true")
    ) == {"validateOnly"}
