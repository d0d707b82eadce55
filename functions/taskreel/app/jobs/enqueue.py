"""Tasks for jobs. Whatever cannot be put on a queue now, the sweep will."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from taskreel.app.services import Services
from taskreel.domain.errors import QueueError
from taskreel.domain.job import Job
from taskreel.jobtypes import JOB_TYPES
from taskreel.ports import Task

log = logging.getLogger(__name__)

#: Cloud Tasks takes tasks up to 30 days ahead; the sweep sends those that are due later.
FARTHEST = timedelta(days=29)
#: A document takes about one write a second.
_LOOK_SECONDS = 2


async def send(services: Services, *jobs: Job) -> None:
    """Put the current delivery of each on its lane: one task operation for one job, and one a hundred for more."""
    farthest = services.clock.now() + FARTHEST
    near = [job for job in jobs if job.next_attempt_at is None or job.next_attempt_at <= farthest]
    await _enqueue(services, [_task(job) for job in near])


async def tell(services: Services, parent_id: str, lane: str) -> None:
    """Have the pipeline looked at within two seconds, and however many jobs end, once in two: a look is two writes."""
    look = int(services.clock.now().timestamp()) // _LOOK_SECONDS + 1
    at = datetime.fromtimestamp(look * _LOOK_SECONDS, UTC)
    await _enqueue(services, [Task(lane=lane, job_id=parent_id, delivery=look, at=at)])


async def _enqueue(services: Services, tasks: Sequence[Task]) -> None:
    try:
        if len(tasks) == 1:
            await services.tasks.enqueue(tasks[0])
        elif tasks:
            await services.tasks.enqueue_many(tasks)
    except QueueError as error:
        known = {"job_id": tasks[0].job_id, "tasks": len(tasks), "error": str(error)}
        log.warning("not sent, the sweep will", extra={"action": "enqueue_failed", **known})


def _task(job: Job) -> Task:
    deadline = JOB_TYPES[job.job_type].timeout
    return Task(
        lane=job.lane,
        job_id=job.job_id,
        delivery=job.delivery,
        at=job.next_attempt_at,
        deadline=deadline,
    )
