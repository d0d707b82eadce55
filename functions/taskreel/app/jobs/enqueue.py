"""Tasks for jobs. A task that cannot be enqueued now is enqueued by the sweep later."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from taskreel.app.services import Services
from taskreel.domain.errors import QueueError, UnknownJobTypeError
from taskreel.domain.job import Job
from taskreel.domain.queue_names import POLL_QUEUE, current_name, queue_of_type
from taskreel.jobtypes import JOB_TYPES, find_job_type
from taskreel.ports import Task

log = logging.getLogger(__name__)

#: Cloud Tasks takes tasks up to 30 days ahead; the sweep enqueues those that are due later.
FARTHEST = timedelta(days=29)
#: The longest delivery of a pipeline's check, and of a job whose type is not deployed: it only ends
#: or cleans up.
_SHORT_DEADLINE = timedelta(minutes=10)
#: Cloud Tasks waits that much longer for a response than a run may take: a run that ends itself
#: still stores why, before the platform cuts it off.
TIME_TO_STORE = timedelta(minutes=2)
#: The checks of a pipeline come at most so often: a check is two writes, and a document takes
#: about one write a second.
_PARENT_CHECK_SECONDS = 2


async def enqueue_jobs(services: Services, *jobs: Job) -> None:
    """Put the current delivery of each job on its queue: one task operation for up to 100 jobs.

    Never fails: a job whose task was not enqueued is found by the sweep at its `wake_at`.
    """
    farthest = services.clock.now() + FARTHEST
    near = [job for job in jobs if job.next_attempt_at is None or job.next_attempt_at <= farthest]
    await _enqueue_tasks(services, [_build_job_task(job) for job in near])


async def schedule_parent_check(services: Services, parent_id: str, queue: str) -> None:
    """Enqueue a check of a pipeline within two seconds.

    All child jobs that end within the same two seconds share one task: its name is made of the
    time slot, and a queue takes a name once.
    """
    slot = int(services.clock.now().timestamp()) // _PARENT_CHECK_SECONDS + 1
    at = datetime.fromtimestamp(slot * _PARENT_CHECK_SECONDS, UTC)
    await _enqueue_tasks(services, [build_task(current_name(queue), parent_id, slot, at=at)])


def find_queue(job: Job) -> str:
    """The queue of the job's next task: its type's, or that of polls while an operation runs.

    Job types that work on media files have instances of their own, which their polls need too.
    """
    if job.operations:
        job_type = JOB_TYPES.get(job.job_type)
        if job_type is None or not job_type.works_on_media:
            return POLL_QUEUE
    return queue_of_type(job.job_type)


def first_wake_at(services: Services, start: datetime, now: datetime) -> datetime:
    """The time at which the sweep first looks at a job that may run from `start` on.

    Either its task has then been missed, or the start has come near enough for a task.
    """
    if start > now + FARTHEST:
        return start - FARTHEST
    return start + services.rules.rescue_after


def build_task(
    queue: str,
    job_id: str,
    delivery: int,
    *,
    at: datetime | None = None,
    deadline: timedelta = _SHORT_DEADLINE,
) -> Task:
    """The task of a job's delivery: it carries ids only, since the payload is in the store.

    Its id is the same for the same job and delivery, so that a task that is enqueued twice is one
    task. It is a hash, because Cloud Tasks becomes slow when the ids of a queue are in sequence.
    """
    return Task(
        queue=queue,
        job_id=job_id,
        id=hashlib.blake2b(f"{job_id}/{delivery}".encode(), digest_size=16).hexdigest(),
        body=json.dumps({"jobId": job_id, "delivery": delivery}).encode(),
        at=at,
        deadline=deadline,
    )


async def _enqueue_tasks(services: Services, tasks: Sequence[Task]) -> None:
    try:
        if len(tasks) == 1:
            await services.tasks.enqueue(tasks[0])
        elif tasks:
            await services.tasks.enqueue_many(tasks)
    except QueueError as error:
        log.warning(
            "task not enqueued; the sweep will retry",
            extra={
                "action": "enqueue_failed",
                "job_id": tasks[0].job_id,
                "tasks": len(tasks),
                "error": str(error),
            },
        )


def _build_job_task(job: Job) -> Task:
    try:
        deadline = find_job_type(job.job_type).timeout
    except UnknownJobTypeError:
        deadline = _SHORT_DEADLINE
    return build_task(
        find_queue(job),
        job.job_id,
        job.delivery,
        at=job.next_attempt_at,
        deadline=deadline + TIME_TO_STORE,
    )
