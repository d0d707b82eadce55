"""The one sweep: whatever should have happened to a job by now and has not."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from datetime import datetime, timedelta

from taskreel.app.jobs.dependencies import wake
from taskreel.app.jobs.enqueue import send
from taskreel.app.jobs.finish_job import end
from taskreel.app.jobs.job_ended import notify_job_ended
from taskreel.app.jobs.job_store import load_job
from taskreel.app.jobs.submit import first_alarm
from taskreel.app.services import WAKE_SHARDS, Services
from taskreel.domain.claim import find_missed_deadline, next_wake_at
from taskreel.domain.errors import QueueError
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.ports import Query, Transaction

log = logging.getLogger(__name__)

_PAGE = 200
_LONGEST_RESCUE = timedelta(hours=1)
#: What a provider could not be told for so long, it is not told any more.
_GIVEN_UP = timedelta(hours=6)


async def sweep(services: Services) -> dict[str, int]:
    """Rescue lost tasks and dead leases, send what has come near, end what is find_missed_deadline; how many of each."""
    now = services.clock.now()
    counts: Counter[str] = Counter()
    lanes: set[str] = set()
    query = Query(
        collection="jobs",
        where=(("wakeShard", "in", list(range(WAKE_SHARDS))), ("wakeAt", "<=", now)),
        order=(("wakeAt", "asc"),),
        limit=_PAGE,
    )
    while True:
        rows = await services.store.query(query)
        woken = await asyncio.gather(*(_wake(services, row.id, now) for row in rows))
        counts.update(what for what, _ in woken)
        lanes.update(job.lane for what, job in woken if what == "rescued" and job is not None)
        if len(rows) < _PAGE:
            await asyncio.gather(*(_look_at(services, lane) for lane in lanes))
            return dict(counts)


async def _look_at(services: Services, lane: str) -> None:
    """A job of the lane had to be rescued: an operator must know if that is because the lane stands still."""
    try:
        stats = await services.tasks.stats(lane)
    except QueueError as error:
        log.warning(
            "a lane cannot be seen",
            extra={"action": "lane_unseen", "lane": lane, "advice": error.message},
        )
        return
    if stats.paused:
        advice = "Nothing on it runs until `scripts/setup-cloud-tasks-queues.sh --resume`."
        known = {"action": "lane_paused", "lane": lane, "depth": stats.depth, "advice": advice}
        log.warning("a lane is paused", extra=known)


async def _wake(services: Services, job_id: str, now: datetime) -> tuple[str, Job | None]:
    what, job = await services.store.transaction(lambda tx: _decide(services, tx, job_id, now))
    if job is not None and job.status.final and what == "ended":
        await notify_job_ended(services, job)
    elif job is not None and job.status is Status.BLOCKED:
        await wake(services, job_id)
    elif job is not None:
        await send(services, job)
    if what != "asleep":
        log.info("swept", extra={"action": f"sweep_{what}", "job_id": job_id})
    return what, job


async def _decide(
    services: Services, tx: Transaction, job_id: str, now: datetime
) -> tuple[str, Job | None]:
    """What happened to the job, and the job if anything did."""
    job = await load_job(tx, job_id)
    if job is None or job.wake_at is None or job.wake_at > now:
        return "asleep", None
    if job.status.final and now > job.status_at[job.status] + _GIVEN_UP:
        log.error(
            "left at a provider",
            extra={"action": "given_up", "job_id": job_id, "operations": job.operations},
        )
        tx.set("jobs", job_id, job.without_operations(now, job.operations).document())
        return "given_up", None
    ending = find_missed_deadline(job, now)
    if ending is not None and ending.status is not None:
        return "ended", end(tx, job, ending.status, now, error=ending.error)
    rescued = job.with_changes(
        now, delivery=job.delivery + 1, wake_at=next_wake_at(job, _next_alarm(services, job, now))
    )
    tx.set("jobs", job_id, rescued.document())
    return "rescued", rescued


def _next_alarm(services: Services, job: Job, now: datetime) -> datetime:
    """Later each time, so that a long backlog is not sent again and again."""
    start = max(now, job.next_attempt_at or now)
    times: int = 2 ** min(job.delivery, 10) - 1
    wait = min(services.rules.rescue_after * times, _LONGEST_RESCUE)
    return first_alarm(services, start, now) + wait
