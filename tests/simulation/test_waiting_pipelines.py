"""Pipelines under overload: one that waits for its child jobs is left alone until one has ended."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from functions.pipeline_requests import image, start
from simulation.test_flow_rehearsal import limits_with, running_limited
from simulation.world import World
from taskreel.app.worker.sweep import sweep_jobs
from taskreel.domain.job_status import Status

#: No multiple of a minute: the sweep would come in the moment between an end and its task.
PIPELINES, CHILDREN, SECONDS = 12, 3, 55


async def submit_pipeline(world: World, user: str, *, children: int, seconds: float) -> str:
    """A fan-out of images that take so long each."""
    many = {
        "type": "image-generation",
        "forEach": list(range(children)),
        "payload": image("sleep", seconds=seconds),
    }
    job_id: str = (await start(world.as_user(user), many=many))["jobId"]
    return job_id


@pytest.mark.slow
async def test_waiting_pipelines_are_delivered_as_often_as_their_jobs_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """36 images, one at a time: the last pipeline waits for more than half an hour."""
    async with running_limited(tmp_path, monkeypatch, limits_with(1)) as world:
        swept: Counter[str] = Counter()
        ids = [
            await submit_pipeline(world, f"user-{number}", children=CHILDREN, seconds=SECONDS)
            for number in range(PIPELINES)
        ]
        for _ in range(PIPELINES * CHILDREN + 5):
            await world.advance(60)
            swept.update(await sweep_jobs(world.services))
        assert {(await world.job(id_)).status for id_ in ids} == {Status.COMPLETED}
        assert PIPELINES * CHILDREN * SECONDS > 30 * 60
        # Its start, and one for each of its jobs.
        deliveries = count_deliveries(world)
        assert max(deliveries[id_] for id_ in ids) <= 1 + CHILDREN
        # The sweep looks after 2 minutes, 4, 8 and so on, at pipelines each 10 at the latest, and
        # sends nothing.
        assert swept["rescued"] == 0
        assert 0 < swept["waiting"] <= 8 * PIPELINES * (1 + CHILDREN)


async def test_the_end_of_a_job_whose_task_was_lost_is_found_within_as_long_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_limited(tmp_path, monkeypatch, limits_with(5)) as world:
        id_ = await submit_pipeline(world, "ada", children=1, seconds=200)
        await world.advance(199)
        await sweep_jobs(world.services)
        assert count_deliveries(world)[id_] == 1
        await world.advance(1.5)
        await world.tasks.purge("pipeline-queue")
        waited = 0
        while (await world.job(id_)).status is not Status.COMPLETED:
            await world.advance(60)
            waited += 60
            await sweep_jobs(world.services)
            assert waited <= 200 + 120
        assert waited > 60, "its task was lost"


def count_deliveries(world: World) -> Counter[str]:
    """The deliveries of each job so far."""
    return Counter(job_id for job_id, _ in world.delivered)
