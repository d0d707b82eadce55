"""Recover the tasks of queues that were in the memory of a process which has ended.

Those of unfinished jobs, and of webhooks that are not delivered yet.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

from taskreel.app.jobs.enqueue import UnstartedJob, build_job_tasks, enqueue_jobs, enqueue_tasks
from taskreel.app.jobs.job_store import load_job, store_job
from taskreel.app.messages.job_events import build_delivery_task
from taskreel.app.query_pages import (
    END_OF_TIME,
    build_due_query,
    read_pages,
    read_values,
)
from taskreel.app.services import Services
from taskreel.domain.claim_and_outcome import end_dead_lease
from taskreel.domain.client_webhook import DeliveryState, WebhookDelivery
from taskreel.domain.errors import UnreadableDocumentError
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.ports import Query, Row, Transaction, undecoded_collection
from taskreel.store_collections import JOBS, WEBHOOK_DELIVERIES

log = logging.getLogger(__name__)

_PAGE = 500
#: Jobs in other states have no task: they wait for other jobs, or for room.
_WITH_TASK = tuple([one for one in Status if one not in {Status.BLOCKED, Status.THROTTLED}])
#: Where one of these is set a task is not all that the job needs, or its state is to be checked.
_MORE_TO_DO = ("attempt", "leaseUntil", "operationIds", "steps", "webhooks")
#: The parts of a job that its task is made of.
_TASK_FIELDS = (
    "jobType",
    "payload.timeoutSeconds",
    "createdAt",
    "nextAttemptAt",
    "delivery",
    "requestHash",
    "parentId",
)
_read_task_fields = itemgetter(*_TASK_FIELDS)
#: Jobs of which these fields alone are read: at a start there may be 100,000.
_PARTS_OF_JOBS = undecoded_collection(JOBS.name)


async def recover_jobs(services: Services, started_at: datetime) -> int:
    """Put every unfinished job back on its queue; return their number.

    Only for the process that alone owns the store and its queues: every job that was last changed
    before `started_at` belongs to a process that has ended, and so does its lease. A job that this
    process has changed since has its task. May run while requests are served: a queue takes a task
    once. Pages come in the order of `wake_at`; a job that moves meanwhile has been changed. Jobs
    that wait for room may be many, and are not read.
    """
    recovered = 0
    for shard in range(services.rules.wake_shards):
        # One by one: a query of all shards reads a page of each and returns one.
        unfinished = Query(
            collection=_PARTS_OF_JOBS,
            where=(
                ("wakeShard", "==", shard),
                ("wakeAt", "<=", END_OF_TIME),
                ("status", "in", [str(status) for status in _WITH_TASK]),
            ),
            order=(("wakeAt", "asc"),),
            limit=_PAGE,
            fields=("wakeAt", "updatedAt", *_MORE_TO_DO, *_TASK_FIELDS),
        )
        async for rows in read_pages(services.store, unfinished):
            recovered += await _requeue_rows(services, rows, started_at)
            await asyncio.sleep(0)  # requests are served in between
    return recovered


async def recover_deliveries(services: Services, started_at: datetime) -> int:
    """Put every pending webhook delivery back on its queue; return their number.

    As `recover_jobs`, and under the same condition: a try of the process that has ended holds the
    delivery no longer. A try whose answer was lost is made once more, with the same id and body.
    """
    recovered = 0
    shards = services.rules.wake_shards
    pending = build_due_query(WEBHOOK_DELIVERIES, END_OF_TIME, page=_PAGE, shards=shards)
    async for rows in read_pages(services.store, pending):
        ids = [one.delivery_id for one in read_values(rows) if one.updated_at < started_at]
        found = [await _free_delivery(services, id_, started_at) for id_ in ids]
        tasks = [build_delivery_task(one) for one in found if one is not None]
        await enqueue_tasks(services, tasks)
        recovered += len(tasks)
    return recovered


async def _free_delivery(
    services: Services, delivery_id: str, started_at: datetime
) -> WebhookDelivery | None:
    """A pending delivery without the lease of a dead try; None if it has gone on since."""

    async def write(tx: Transaction) -> WebhookDelivery | None:
        delivery = await tx.get(WEBHOOK_DELIVERIES, delivery_id)
        if delivery is None or delivery.updated_at >= started_at:
            return None
        if delivery.state is not DeliveryState.PENDING or delivery.lease_until is None:
            return delivery if delivery.state is DeliveryState.PENDING else None
        now = services.clock.now()
        freed = delivery.wait_until(max(now, delivery.next_try_at or now), now)
        tx.set(WEBHOOK_DELIVERIES, delivery_id, freed)
        return freed

    return await services.store.transaction(write)


async def _requeue_rows(
    services: Services, rows: Sequence[Row[Mapping[str, Any]]], started_at: datetime
) -> int:
    """Put the jobs of a page back on their queues; return their number."""
    unstarted: list[UnstartedJob] = []
    others: list[str] = []
    for row in rows:
        updated_at = row.data["updatedAt"]
        if isinstance(updated_at, datetime) and updated_at >= started_at:
            continue
        job = _read_unstarted_job(row)
        if job is not None:
            unstarted.append(job)
        else:
            others.append(row.id)
    await enqueue_tasks(services, build_job_tasks(services, unstarted))
    wholes = await asyncio.gather(*(_load(services, id_) for id_ in others))
    lost = [one for one in wholes if one is not None and _has_lost_task(one, started_at)]
    await _requeue(services, lost)
    return len(unstarted) + len(lost)


def _read_unstarted_job(row: Row[Mapping[str, Any]]) -> UnstartedJob | None:
    """The job of a row, if these parts are all that counts, and are what they should be."""
    data = row.data
    for name in _MORE_TO_DO:
        if data[name]:
            return None
    job_type, own_limit, created_at, due_at, delivery, digest, parent_id = _read_task_fields(data)
    is_whole = (
        isinstance(job_type, str)
        and isinstance(created_at, datetime)
        and (due_at is None or isinstance(due_at, datetime))
        and (delivery is None or isinstance(delivery, int))
        and (digest is None or isinstance(digest, str))
        and (parent_id is None or isinstance(parent_id, str))
    )
    if not is_whole:
        return None
    return UnstartedJob(
        row.id,
        job_type,
        {"timeoutSeconds": own_limit},
        created_at,
        due_at,
        1 if delivery is None else delivery,
        digest,
        parent_id,
    )


async def _load(services: Services, job_id: str) -> Job | None:
    """The whole job; None for one that cannot be read: it stops no other, and the sweep logs."""
    try:
        return await services.store.get(JOBS, job_id)
    except UnreadableDocumentError:
        return None


def _has_lost_task(job: Job, started_at: datetime) -> bool:
    return job.updated_at < started_at and not job.has_unknown_state


async def _requeue(services: Services, jobs: Sequence[Job]) -> None:
    free = [await _end_lease(services, job) if job.lease_until is not None else job for job in jobs]
    await enqueue_jobs(services, *(job for job in free if job is not None))


async def _end_lease(services: Services, found: Job) -> Job | None:
    """End the lease of a run that died with its process; None if the job has gone on since."""

    async def write(tx: Transaction) -> Job | None:
        job = await load_job(tx, found.job_id)
        # The fence tells: a run of this process would have moved it.
        if job is None or job.fence != found.fence or job.lease_until != found.lease_until:
            return None
        ended = end_dead_lease(job, services.clock.now())
        store_job(tx, ended)
        return ended

    return await services.store.transaction(write)
