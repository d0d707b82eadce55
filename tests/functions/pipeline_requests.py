"""Steps and pipelines of tests, and the jobs that they have made."""

from __future__ import annotations

from typing import Any, TypeVar

import httpx

from functions.job_requests import read_job, submit_job
from simulation.world import World
from taskreel.domain.job import Job
from taskreel.ports import Query
from taskreel.store_collections import JOBS

T = TypeVar("T")
PIPELINE = "/api/jobs/pipeline"


def image(mode: str = "noop", **how: Any) -> dict[str, Any]:
    return {
        "prompt": "a kite",
        "options": {"width": 64, "height": 64, "studio": {"mode": mode, **how}},
    }


def step(mode: str = "noop", **fields: Any) -> dict[str, Any]:
    return {"type": "image-generation", "payload": image(mode), **fields}


def fan(*modes: str, **fields: Any) -> dict[str, Any]:
    """A step with a job for each mode."""
    return {
        "type": "image-generation",
        "payload": image("{{item}}"),
        "forEach": list(modes),
        **fields,
    }


STORY = {
    "type": "story-generation",
    "payload": {"prompt": "a fox builds a boat", "numSequences": 3},
}
PICTURES = {
    "type": "image-generation",
    "forEach": "{{steps.story.result.scenes}}",
    "payload": {**image(), "prompt": "{{item.description}}"},
}


async def start(client: httpx.AsyncClient, **steps: Any) -> dict[str, Any]:
    return await submit_job(client, {"steps": steps}, PIPELINE)


async def ended(
    world: World, client: httpx.AsyncClient, job: dict[str, Any], status: str, seconds: float = 60
) -> dict[str, Any]:
    """The job, once it has come to that end."""
    for _ in range(round(seconds / 2)):
        await world.advance(2)
        job = await read_job(client, job)
        if job["status"] in {"COMPLETED", "FAILED", "CANCELLED", "EXPIRED"}:
            break
    assert job["status"] == status, job["error"]
    return job


async def jobs_of(world: World, parent: str, step_name: str | None = None) -> list[Job]:
    rows = await world.services.store.query(
        Query(collection=JOBS, where=(("parentId", "==", parent),))
    )
    found = [row.value for row in rows]
    return sorted(
        (job for job in found if step_name in {None, job.step}),
        key=lambda job: (job.parent_round or 0, job.index),
    )


def statuses(jobs: list[Job]) -> list[str]:
    return [str(job.status) for job in jobs]
