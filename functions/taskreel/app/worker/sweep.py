"""The sweep: rescue every job to which something should have happened by now."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from datetime import datetime, timedelta

from taskreel.app.flow.admission import put_on_queue, recover_waiting
from taskreel.app.jobs.cancel_operations import report_unknown_purchases
from taskreel.app.jobs.crashes import is_outage
from taskreel.app.jobs.dependencies import unblock_if_ready
from taskreel.app.jobs.enqueue import enqueue_jobs, find_queue, first_wake_at
from taskreel.app.jobs.finish_job import stop_job
from taskreel.app.jobs.job_ended import act_on_job_end, handle_crash
from taskreel.app.jobs.job_store import load_job, store_job
from taskreel.app.operations.operation_tasks import rescue_operations
from taskreel.app.query_pages import build_due_query, read_pages
from taskreel.app.schedules.due_runs import make_due_runs
from taskreel.app.services import Services
from taskreel.app.webhooks.sending import rescue_deliveries
from taskreel.domain.claim_and_outcome import find_due_end
from taskreel.domain.errors import QueueError, StoreError
from taskreel.domain.job import Job
from taskreel.domain.job_fields import Ending, WaitsFor
from taskreel.domain.job_status import Status
from taskreel.domain.unit import CLOCK_TOLERANCE
from taskreel.jobtypes import find_job_type
from taskreel.ports import Increment, QueueStats, Row, Transaction
from taskreel.store_collections import ACCOUNTS, JOBS

log = logging.getLogger(__name__)

_PAGE = 200
#: The longest time between two rescues of a job, and between two checks of a waiting task.
_LONGEST_RESCUE = timedelta(hours=1)
#: The same of a pipeline that waits for its child jobs: the task that the end of one has sent may
#: be lost.
_LONGEST_UNCOUNTED = timedelta(minutes=10)
#: An operation of an ended job that could not be cancelled for so long is given up.
_GIVE_UP_AFTER = timedelta(hours=6)


class _SweptQueues:
    """The queues that a sweep asks about or fills: one call for each of them."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._reads: dict[str, asyncio.Task[QueueStats | None]] = {}
        self._admitted: set[tuple[WaitsFor | None, str]] = set()

    async def read_stats(self, queue: str) -> QueueStats | None:
        """The state of a queue, as it was when the sweep first asked; None if it cannot be read."""
        if queue not in self._reads:
            self._reads[queue] = asyncio.create_task(self._read(queue))
        return await self._reads[queue]

    async def _read(self, queue: str) -> QueueStats | None:
        try:
            return await self._services.tasks.stats(queue)
        except QueueError as error:
            log.warning(
                "jobs of a queue are overdue, and the state of the queue cannot be read",
                extra={"action": "queue_unseen", "queue": queue, "advice": error.message},
            )
            return None

    async def admit_waiting(self, job: Job) -> None:
        """Admit what waits for the same room as `job`: once a sweep for each owner and type."""
        shared = {
            WaitsFor.USER: job.limit_owner,
            WaitsFor.PROVIDER: job.provider_slot,
            WaitsFor.PROJECT: job.project_slot,
        }
        key = (job.waits_for, shared.get(job.waits_for or WaitsFor.TYPE) or job.job_type)
        if key not in self._admitted:
            self._admitted.add(key)
            await enqueue_jobs(self._services, *await recover_waiting(self._services, job))

    async def warn_if_paused(self) -> None:
        """Log the queues that are paused: an operator must resume them."""
        for queue, read in self._reads.items():
            stats = await read
            if stats is not None and stats.paused:
                log.warning(
                    "jobs of a queue are overdue because the queue is paused",
                    extra={
                        "action": "queue_paused",
                        "queue": queue,
                        "depth": stats.depth,
                        "advice": "Nothing on it runs until an admin resumes it: "
                        "POST /api/jobs/queues/{jobType}/resume, or "
                        "`scripts/setup-cloud-tasks-queues.sh --resume`.",
                    },
                )


async def sweep_jobs(services: Services) -> dict[str, int]:
    """Rescue the jobs whose `wake_at` has passed; make due runs; send webhooks that were lost.

    It also expires grants. Returns the number of jobs by action, and of others by result.

    Actions: `rescued` (lost task, dead lease, or due soon: a new task), `waiting` (its task is in a
    queue that has not come to it yet, or it is a pipeline whose child jobs go on: nothing is sent),
    `ended` (deadline passed),
    `given_up` (operation that could not be cancelled, or purchase whose answer is unknown),
    `asleep` (not due any more, or left to a newer revision), `crashed` (an unexpected error,
    counted on the job), `unwritten` (the store refused).

    No job stops the sweep: the others of its page, and the pages after it, are swept all the same.
    At its end the conditions of operators' alerts are checked. Raises StoreError when the store
    could not be reached for any job.
    """
    try:
        counts, overdue_seconds = await _sweep_all(services)
    except StoreError as error:
        if services.alerts is not None:
            from taskreel.app.alerts.announce_alerts import announce_store_lost

            await announce_store_lost(services, error)
        raise
    if services.alerts is not None:
        # Only the sweep needs it: a cold start does not import it.
        from taskreel.app.alerts.announce_alerts import check_alerts

        await check_alerts(services, overdue_seconds)
    return counts


async def _sweep_all(services: Services) -> tuple[dict[str, int], float]:
    """Sweep; the counts, and the seconds for which the most overdue job had been due."""
    now = services.clock.now()
    counts: Counter[str] = Counter()
    queues = _SweptQueues(services)
    oldest: datetime | None = None
    due = build_due_query(JOBS, now, page=_PAGE, shards=services.rules.wake_shards)
    async for rows in read_pages(services.store, due):
        if oldest is None and rows:
            oldest = rows[0].data["wakeAt"]
        woken = await asyncio.gather(*(_wake_safely(services, queues, row, now) for row in rows))
        counts.update(action for action, _ in woken)
    if counts and counts.keys() == {"unwritten"}:
        raise StoreError("the store refused every write of the sweep")
    await queues.warn_if_paused()
    overdue_seconds = 0.0 if oldest is None else (now - oldest).total_seconds()
    if oldest is not None:
        log.info(
            "the sweep found jobs that were due",
            extra={
                "action": "swept",
                "overdue_seconds": overdue_seconds,
                "jobs": counts.total(),
            },
        )
    runs = await make_due_runs(services)
    from taskreel.app.credits.grants import expire_due_grants  # of the sweep alone: cold start

    expired = await expire_due_grants(services)
    operations = await rescue_operations(services)
    deliveries = await rescue_deliveries(services)
    return {**counts, **runs, **expired, **operations, **deliveries}, overdue_seconds


async def _wake_safely(
    services: Services, queues: _SweptQueues, row: Row[Job], now: datetime
) -> tuple[str, Job | None]:
    """`_wake_job`, with every error counted and logged instead of raised."""
    job_id = row.id
    try:
        return await _wake_job(services, queues, row.value, now)
    except Exception as error:  # noqa: BLE001 - it is counted and logged
        if is_outage(error):
            log.warning(
                "the sweep could not write a job; the next one tries again",
                extra={"action": "sweep_unwritten", "job_id": job_id, "error": str(error)},
            )
            return "unwritten", None
        return "crashed", await _handle_crash(services, job_id, error)


async def _handle_crash(services: Services, job_id: str, error: Exception) -> Job | None:
    try:
        return await handle_crash(services, job_id, error)
    except Exception:
        log.exception(
            "a job crashed, and that could not be recorded: it needs an operator",
            extra={"action": "crash_unrecorded", "job_id": job_id},
        )
        return None


async def _wake_job(
    services: Services, queues: _SweptQueues, found: Job, now: datetime
) -> tuple[str, Job | None]:
    """Do what is overdue for one job; the action, and the job if it was changed."""
    job_id = found.job_id
    waits = await _waits_for_children(services, found)
    stats = None
    if found.task_due_at and not waits:
        stats = await queues.read_stats(find_queue(found))
    seen_at = found.updated_at if waits else None
    action, job = await services.store.transaction(
        lambda tx: _rescue_or_end(services, tx, job_id, stats, now, counted_at=seen_at)
    )
    if job is not None and action == "ended":
        await act_on_job_end(services, job)
    elif job is not None and job.status is Status.BLOCKED:
        await unblock_if_ready(services, job_id)
    elif job is not None and job.status is Status.THROTTLED:
        await queues.admit_waiting(job)
    elif job is not None:
        await enqueue_jobs(services, job)

    if action not in {"asleep", "waiting"}:
        services.count_sweep(found, action, services.clock.now())
        log.info(
            "the sweep acted on a job: %s",
            action,
            extra={
                "action": f"sweep_{action}",
                "job_id": job_id,
                "job_type": found.job_type,
                "status": str(found.status),
            },
        )
    return action, job


async def _waits_for_children(services: Services, job: Job) -> bool:
    """True for a pipeline whose last check has counted all of its child jobs that have ended.

    The end of the next one sends it a task: until then a check would find nothing. Under overload
    all pipelines wait for long, and their checks would be a load of their own.
    """
    if not job.steps or job.task_due_at is None:
        return False
    from taskreel.app.pipelines.child_jobs import has_counted_ends  # of few jobs: cold start

    return await has_counted_ends(services, job)


async def _rescue_or_end(
    services: Services,
    tx: Transaction,
    job_id: str,
    stats: QueueStats | None,
    now: datetime,
    *,
    counted_at: datetime | None,
) -> tuple[str, Job | None]:
    """Write what is overdue for the job; the action, and the job if a task or a follow-up is due.

    `stats` are those of its queue, None where they cannot be read or do not matter. `counted_at` is
    the last change of a pipeline that waits for its child jobs.
    """
    job = await load_job(tx, job_id)
    if job is None or job.wake_at is None or job.wake_at > now:
        return "asleep", None

    if job.status.final and (given_up := _give_up_purchases(services, job, now)) is not None:
        store_job(tx, given_up)
        return "given_up", None

    if job.has_unknown_state:
        # The revision that knows its state will do what is due.
        store_job(tx, job.with_changes(now, wake_at=now + services.rules.rescue_after))
        return "asleep", None

    missed = find_due_end(job, now)
    if missed is not None and missed.status is not None:
        ending = Ending(status=missed.status, error=missed.error)
        return "ended", stop_job(services.rules, tx, job, ending, now)

    # No queue takes a job of a type that is not deployed: it ends here.
    find_job_type(job.job_type)

    waits = counted_at is not None and job.updated_at == counted_at
    waiting = _wake_waiting_job(services, tx, job, stats, now, waits_for_children=waits)
    if waiting is not None:
        return waiting

    # A new delivery number: the task is new to the queue even if the old one was delivered.
    rescued = job.with_changes(
        now,
        delivery=job.delivery + 1,
        rescues=job.rescues + 1,
        wake_at=job.next_wake_at(_next_rescue_at(services, job, now)),
    )
    store_job(tx, rescued)
    return "rescued", rescued


def _give_up_purchases(services: Services, job: Job, now: datetime) -> Job | None:
    """The ended job without what could not be cancelled or resolved in time; None before that."""
    if now > job.status_at[job.status] + _GIVE_UP_AFTER and job.operations:
        log.error(
            "operations of an ended job could not be cancelled for six hours and are given up: "
            "cancel them at the provider by hand",
            extra={"action": "given_up", "job_id": job.job_id, "operations": job.operations},
        )
        return job.without_operations(now, job.operations)
    return report_unknown_purchases(services, job)


def _wake_waiting_job(
    services: Services,
    tx: Transaction,
    job: Job,
    stats: QueueStats | None,
    now: datetime,
    *,
    waits_for_children: bool,
) -> tuple[str, Job | None] | None:
    """Set the next check of a job that waits for room, in a queue, or for its child jobs.

    None if it does not wait.

    The next check comes after as long again: a few for a job, however long it waits. Where no
    limits are set any more, a job that waited for room goes on its queue.
    """
    if job.status is Status.THROTTLED and services.rules.limits is None:
        admitted = put_on_queue(services, job)
        store_job(tx, admitted)
        if job.waits_for is WaitsFor.USER:
            tx.update(ACCOUNTS, job.own_account_id, {"waiting": Increment(-1)})
        return "rescued", admitted
    throttled = job.status is Status.THROTTLED
    since = job.status_at.get(Status.THROTTLED, now) if throttled else job.task_due_at
    waits = throttled or waits_for_children
    if since is None or not (waits or _is_task_waiting(since, stats, now)):
        return None
    longest = _LONGEST_UNCOUNTED if waits_for_children else _LONGEST_RESCUE
    wait = min(max(now - since, services.rules.rescue_after), longest)
    store_job(tx, job.with_changes(job.updated_at, wake_at=job.next_wake_at(now + wait)))
    return "waiting", job if throttled else None


def _is_task_waiting(due_at: datetime, stats: QueueStats | None, now: datetime) -> bool:
    """True while a queue may still come to a task that was due at `due_at`.

    A queue takes its tasks about in the order in which they were due: as long as an older one is in
    it, this one is not lost. After an hour it counts as lost all the same.
    """
    if stats is None or stats.oldest_at is None:
        return False
    return due_at <= now < due_at + _LONGEST_RESCUE and stats.oldest_at <= due_at + CLOCK_TOLERANCE


def _next_rescue_at(services: Services, job: Job, now: datetime) -> datetime:
    """The next rescue, later each time that the job had to be rescued since it last ran."""
    start = max(now, job.next_attempt_at or now)
    multiple: int = 2 ** min(job.rescues, 10)
    wait = min(services.rules.rescue_after * multiple, _LONGEST_RESCUE)
    return first_wake_at(services, start, now) + wait
