"""Put jobs on their queues, each by a task; one that cannot be enqueued now the sweep enqueues."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from zlib import crc32

from taskreel.app.credits.balances import load_account
from taskreel.app.flow.admission import admit_after_end, admit_jobs_of_user
from taskreel.app.messages.job_events import build_event_tasks
from taskreel.app.messages.job_task import (
    POLL_QUEUE,
    SHORT_DEADLINE,
    build_task,
    current_name,
    queue_of_type,
)
from taskreel.app.services import Services
from taskreel.domain.credits import Account
from taskreel.domain.errors import QueueError, StoreError, UnknownJobTypeError
from taskreel.domain.job import Job
from taskreel.jobtypes import JOB_TYPES, find_job_type
from taskreel.ports import Task

log = logging.getLogger(__name__)

#: Cloud Tasks takes tasks up to 30 days ahead; the sweep enqueues those that are due later.
FARTHEST = timedelta(days=29)
#: Cloud Tasks waits that much longer for a response than a run may take: a run that ends itself
#: still stores why, before the platform cuts it off.
TIME_TO_STORE = timedelta(minutes=2)
#: Cloud Tasks waits for a response for half an hour at most. A run that may take longer goes on in
#: deliveries that follow one another.
_LONGEST_WAIT = timedelta(minutes=30)
LONGEST_DELIVERY = _LONGEST_WAIT - TIME_TO_STORE
#: The checks of a pipeline come at most so often: a check is two writes, and a document takes
#: about one write a second.
_PARENT_CHECK_MS = 2000


class UnstartedJob(NamedTuple):
    """The parts of a job that no run has begun and that needs its task alone."""

    job_id: str
    job_type: str
    payload: Mapping[str, Any]
    created_at: datetime
    next_attempt_at: datetime | None
    delivery: int
    request_hash: str | None
    parent_id: str | None
    operations: tuple[dict[str, Any], ...] = ()


async def enqueue_jobs(services: Services, *jobs: Job) -> None:
    """Put the current delivery of each job on its queue: one task operation for up to 100 jobs.

    Never fails: a job whose task was not enqueued is found by the sweep at its `wake_at`.
    """
    tasks = build_job_tasks(services, jobs)
    tasks += [task for job in jobs if job.webhooks for task in build_event_tasks(job)]
    await enqueue_tasks(services, tasks)


def build_job_tasks(services: Services, jobs: Iterable[Job | UnstartedJob]) -> list[Task]:
    """The tasks of the jobs' current deliveries, without those that are due too late for one."""
    return [
        _build_job_task(job)
        for job in jobs
        if job.next_attempt_at is None or job.next_attempt_at <= services.clock.now() + FARTHEST
    ]


async def admit_next(services: Services, job: Job) -> None:
    """Admit and enqueue the jobs for which `job` has made room, or which waited beside it."""
    if services.rules.limits is not None:
        await enqueue_jobs(services, *await admit_after_end(services, job))


async def start_waiting_jobs(services: Services, account: Account) -> Account:
    """Start the waiting jobs for which a limit that was changed makes room; the account then.

    Never fails: the limit has been stored, and the sweep admits what was missed.
    """
    if services.rules.limits is None or account.waiting <= 0:
        return account
    try:
        await enqueue_jobs(services, *await admit_jobs_of_user(services, account.user_id))
        return await load_account(services, account.user_id)
    except StoreError as error:
        log.warning(
            "waiting jobs were not admitted; the sweep will admit them",
            extra={"action": "admission_failed", "user_id": account.user_id, "error": str(error)},
        )
        return account


async def enqueue_events(services: Services, job: Job) -> None:
    """Put the deliveries of the job's last change of status on the queue of webhooks."""
    await enqueue_tasks(services, build_event_tasks(job))


async def renew_delivery(services: Services, job: Job, renewal: int) -> None:
    """Enqueue the delivery number `renewal` after the first one of a run that goes on.

    If that fails the run still ends by itself; only the platform may stop an instance that serves
    no delivery.
    """
    task_number = f"{job.delivery}/{job.fence}/{renewal}"
    await enqueue_tasks(services, [_build_job_task(job, task_number)])


async def schedule_parent_check(services: Services, parent_id: str, queue: str) -> None:
    """Enqueue a check of a pipeline within two seconds.

    All child jobs that end within the same two seconds share one task: its name is made of the
    time slot, and a queue takes a name once. The slots of each pipeline begin at another
    millisecond: if all began at once, every check of two seconds would hold up the same requests.
    """
    begin_ms = crc32(parent_id.encode()) % _PARENT_CHECK_MS
    now_ms = int(services.clock.now().timestamp() * 1000)
    slot = (now_ms - begin_ms) // _PARENT_CHECK_MS + 1
    at = datetime.fromtimestamp((slot * _PARENT_CHECK_MS + begin_ms) / 1000, UTC)
    await enqueue_tasks(services, [build_task(current_name(queue), parent_id, slot, at=at)])


def find_queue(job: Job | UnstartedJob) -> str:
    """The queue of the job's next task: its type's, or that of polls while an operation runs.

    Job types that work on media files have instances of their own, which their polls need too.
    """
    if job.operations:
        job_type = JOB_TYPES.get(job.job_type)
        if job_type is None or not job_type.works_on_media:
            return POLL_QUEUE
    return queue_of_type(job.job_type)


def first_wake_at(services: Services, start: datetime, now: datetime) -> datetime:
    """The time at which the sweep first checks a job that may run from `start` on.

    Either its task has then been missed, or the start has come near enough for a task.
    """
    if start > now + FARTHEST:
        return start - FARTHEST
    return start + services.rules.rescue_after


async def enqueue_tasks(services: Services, tasks: Sequence[Task]) -> None:
    """Put the tasks on their queues. Never fails: the sweep sends those that were lost."""
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


def find_attempt_limit(job: Job | UnstartedJob) -> timedelta:
    """The longest attempt of the job; short if its type is not deployed.

    Half an hour is one delivery, and ends early enough to store the outcome in it.
    """
    return _find_limits(job)[0]


def _find_limits(job: Job | UnstartedJob) -> tuple[timedelta, timedelta]:
    """The longest attempt of the job, and how long its queue waits for a response."""
    own = job.payload.get("timeoutSeconds")
    # A stored payload may be of a newer revision.
    return _find_limits_of_type(job.job_type, own if isinstance(own, int) else None)


@lru_cache(maxsize=1024)  # asked three times a job, and of each open job at a start
def _find_limits_of_type(job_type: str, own_seconds: int | None) -> tuple[timedelta, timedelta]:
    try:
        limit = find_job_type(job_type).timeout
    except UnknownJobTypeError:
        limit = SHORT_DEADLINE
    else:
        if own_seconds is not None:
            limit = timedelta(seconds=own_seconds)
    if limit <= _LONGEST_WAIT:
        limit = min(limit, LONGEST_DELIVERY)
    return limit, min(limit, LONGEST_DELIVERY) + TIME_TO_STORE


def _build_job_task(job: Job | UnstartedJob, task_number: str | None = None) -> Task:
    may_come_again = job.request_hash is not None or job.parent_id is not None
    if task_number is None and may_come_again:
        # As in `name_round`: the id may come again, and a queue takes a task's name once.
        task_number = f"{job.delivery}/{int(job.created_at.timestamp() * 1000)}"
    return build_task(
        find_queue(job),
        job.job_id,
        job.delivery,
        task_number=task_number,
        at=job.next_attempt_at,
        deadline=_find_limits(job)[1],
    )
