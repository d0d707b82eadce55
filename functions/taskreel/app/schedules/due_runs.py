"""The due runs of recurring jobs: each is submitted once, by however many sweeps.

A run's job has an id made of its recurring job and the time that it was due, so submitting it
twice creates it once. Only after that the recurring job moves on to its next time, if it still
stands at the same one.
"""

from __future__ import annotations

import logging
from collections import Counter
from datetime import datetime, timedelta

from taskreel.app.caller import Caller
from taskreel.app.jobs.cancel import cancel_job
from taskreel.app.jobs.job_store import load_job
from taskreel.app.jobs.submit import JobRequest, submit_job
from taskreel.app.query_pages import build_due_query, read_pages
from taskreel.app.schedules.schedule_owner import explain_ended_key
from taskreel.app.services import Services
from taskreel.domain.cron import CronSchedule
from taskreel.domain.errors import StoreError, TaskreelError
from taskreel.domain.job import Job
from taskreel.domain.recurring_job import (
    Overlap,
    RecurrenceState,
    RecurringJob,
    RecurringRun,
    RunResult,
)
from taskreel.domain.value import is_known
from taskreel.jobtypes import find_job_type
from taskreel.ports import Row, Transaction
from taskreel.store_collections import RECURRING_JOBS

log = logging.getLogger(__name__)

_PAGE = 100
#: A queued run asks that often for the end of the job that it waits for.
_ASK_AGAIN = timedelta(seconds=30)


async def make_due_runs(services: Services) -> dict[str, int]:
    """Make the due run of each recurring job; returns the number of runs by result.

    Of several missed times one run is made, late. No recurring job stops the others.
    """
    now = services.clock.now()
    counts: Counter[str] = Counter()
    due = build_due_query(RECURRING_JOBS, now, page=_PAGE, shards=services.rules.wake_shards)
    async for rows in read_pages(services.store, due):
        for row in rows:
            counts[await _make_run_safely(services, row, now)] += 1
    return dict(counts)


async def _make_run_safely(services: Services, row: Row[RecurringJob], now: datetime) -> str:
    try:
        run = await _make_run(services, row.value, now)
    except StoreError as error:
        log.warning(
            "a due run could not be stored; the next sweep tries again",
            extra={"action": "run_unwritten", "recurring_job_id": row.id, "error": error.message},
        )
        return "run_unwritten"
    except Exception:
        log.exception(
            "a recurring job crashed: it needs an operator",
            extra={"action": "run_crashed", "recurring_job_id": row.id},
        )
        return "run_crashed"
    return "run_waiting" if run is None else f"run_{run.result}"


async def _make_run(
    services: Services, recurring: RecurringJob, now: datetime
) -> RecurringRun | None:
    """Make the run and record it; None while it waits for an earlier job.

    One in a state of a newer revision makes no run here.
    """
    if not is_known(recurring.state):
        return None
    due_at = recurring.next_run_at or now
    unfinished = await _find_unfinished_job(services, recurring)
    run: RecurringRun | None = None
    if unfinished is not None:
        match recurring.overlap:
            case Overlap.QUEUE:
                pass
            case Overlap.REPLACE:
                owner = _restore_caller(recurring)
                await cancel_job(services, owner, unfinished.job_id, unfinished.job_type)
                run = await _submit_run(services, recurring, due_at, now)
            case _:
                run = RecurringRun(
                    due_at=due_at,
                    at=now,
                    result=RunResult.SKIPPED,
                    job_id=unfinished.job_id,
                    reason="The job of an earlier run has not ended.",
                )
    else:
        run = await _submit_run(services, recurring, due_at, now)
    reason = None
    if run is not None and run.result is RunResult.REFUSED:
        reason = await explain_ended_key(services, recurring)
    await services.store.transaction(
        lambda tx: _record_run(tx, recurring, run, due_at, now, pause_reason=reason)
    )
    return run


async def _find_unfinished_job(services: Services, recurring: RecurringJob) -> Job | None:
    if recurring.last_job_id is None:
        return None
    job = await load_job(services.store, recurring.last_job_id)
    return None if job is None or job.status.final else job


async def _submit_run(
    services: Services, recurring: RecurringJob, due_at: datetime, now: datetime
) -> RecurringRun:
    """Submit the job of a run. A request that is refused is recorded, and the schedule goes on."""
    try:
        job_type = find_job_type(recurring.job_type)
        submission = job_type.submission.load_stored(recurring.payload)
        if recurring.skip_cache:
            submission = submission.model_copy(update={"skip_cache": True})
        request = JobRequest(
            job_type=job_type,
            submission=submission,
            # Two sweeps that make the same run create one job.
            idempotency_key=f"{recurring.recurring_job_id}@{due_at.isoformat()}",
        )
        submitted = await submit_job(services, _restore_caller(recurring), request)
    except StoreError:
        raise
    except TaskreelError as error:
        log.warning(
            "a run of a recurring job was refused",
            extra={
                "action": "run_refused",
                "recurring_job_id": recurring.recurring_job_id,
                "user_id": recurring.user_id,
                "error": error.message,
            },
        )
        return RecurringRun(due_at=due_at, at=now, result=RunResult.REFUSED, reason=error.message)
    return RecurringRun(
        due_at=due_at, at=now, result=RunResult.SUBMITTED, job_id=submitted.job.job_id
    )


async def _record_run(
    tx: Transaction,
    seen: RecurringJob,
    run: RecurringRun | None,
    due_at: datetime,
    now: datetime,
    *,
    pause_reason: str | None,
) -> None:
    """Record the run and move on, unless another sweep or the owner has changed it meanwhile.

    One for which no run can be made any more is paused instead.
    """
    recurring = await tx.get(RECURRING_JOBS, seen.recurring_job_id)
    if recurring is None or recurring.next_run_at != seen.next_run_at:
        return
    if recurring.wake_at is None:
        return
    if run is None:
        recurring = recurring.with_changes(now, wake_at=now + _ASK_AGAIN)
    else:
        schedule = CronSchedule(recurring.cron_expression, recurring.time_zone)
        next_run_at = schedule.next_after(max(now, due_at))
        recurring = recurring.record_run(run).schedule_next(next_run_at, now)
        # Another may have taken it over meanwhile.
        is_same_owner = recurring.user_id == seen.user_id
        if pause_reason and is_same_owner and recurring.state is RecurrenceState.ACTIVE:
            recurring = recurring.pause(now, pause_reason)
    tx.set(RECURRING_JOBS, recurring.recurring_job_id, recurring)


def _restore_caller(recurring: RecurringJob) -> Caller:
    projects = recurring.projects
    return Caller(
        user_id=recurring.user_id,
        tier=recurring.tier,
        projects=None if projects is None else frozenset(projects),
    )
