"""The checks of pipelines whose child jobs end: few for each, and not all at the same moment."""

from __future__ import annotations

from collections import Counter

from simulation.world import World
from taskreel.app.jobs.enqueue import schedule_parent_check
from taskreel.domain.ids import hashed_delivery_id

QUEUE = "pipeline-queue"


async def test_child_jobs_that_end_together_share_one_check(world: World) -> None:
    for _ in range(5):
        await schedule_parent_check(world.services, "job_of_several_steps", QUEUE)
    assert len(world.queued_tasks()) == 1


async def test_the_checks_of_many_pipelines_are_spread_over_their_two_seconds(
    world: World,
) -> None:
    """Each within two seconds, and no tenth of a second with more than twice its part of them."""
    for number in range(400):
        await schedule_parent_check(world.services, hashed_delivery_id(str(number)), QUEUE)
    delays = [(task.at - world.now()).total_seconds() for task in world.queued_tasks() if task.at]
    assert len(delays) == 400
    assert 0 < min(delays) <= max(delays) <= 2
    assert max(Counter(int(delay * 10) for delay in delays).values()) <= 2 * 400 / 20
