"""A job's position: the jobs ahead of it, and when it will start and end.

Cheap at any number of jobs: one capped count, and the recent jobs of a type once in two minutes.
"""

from __future__ import annotations

from taskreel.app.flow.slots import active_limit, has_window, list_rooms
from taskreel.app.job_counts import MOST_COUNTED, find_line
from taskreel.app.recent_jobs import RecentTimes
from taskreel.app.services import Services
from taskreel.domain.eta import NOW, Estimate, estimate_run, estimate_wait
from taskreel.domain.job import Job
from taskreel.domain.job_fields import WaitsFor
from taskreel.domain.job_status import Status
from taskreel.domain.record import Record
from taskreel.jobtypes import JOB_TYPES
from taskreel.ports import Operator, Query
from taskreel.store_collections import JOBS


class QueuePosition(Record, kw_only=True):
    """The position of a job; None where there is none, or nothing to estimate it from."""

    #: Jobs that start before it; at most MOST_COUNTED, which means that many or more.
    ahead: int | None = None
    starts_in: Estimate | None = None
    ends_in: Estimate | None = None

    @property
    def ahead_text(self) -> str | None:
        """The number for people: `1,000+` if there are more than are counted."""
        if self.ahead is None:
            return None
        return f"{MOST_COUNTED:,}+" if self.ahead >= MOST_COUNTED else f"{self.ahead:,}"


async def find_position(services: Services, job: Job) -> QueuePosition:
    """The position of a job as it is now; its estimated start is checked when it starts."""
    now = services.clock.now()
    services.calibration.note_change(None, job)
    if job.status.final or job.status is Status.BLOCKED or job.has_unknown_state:
        return QueuePosition()
    times = await services.recent_jobs.read(services.store, job.job_type, now)
    run = estimate_run(times.running)
    if job.status is Status.PROCESSING:
        passed = (now - job.status_at[Status.PROCESSING]).total_seconds()
        return QueuePosition(ahead=0, starts_in=NOW, ends_in=run and run.reduced(passed))
    if job.status is Status.THROTTLED:
        ahead, wait = await _wait_for_room(services, job, times)
    elif job.next_attempt_at is not None and job.next_attempt_at > now:
        seconds = (job.next_attempt_at - now).total_seconds()
        ahead, wait = 0, Estimate(seconds, seconds)
    else:
        ahead, wait = await _wait_in_queue(services, job, times)
    if wait is not None:
        scale = await services.calibration.read_scale(services.store, job.job_type, now)
        wait = wait.with_band(scale)
        services.calibration.note_prediction(job, wait, now)
    ends_in = None if run is None or wait is None else run.after(wait)
    return QueuePosition(ahead=ahead, starts_in=wait, ends_in=ends_in)


async def _wait_for_room(
    services: Services, job: Job, times: RecentTimes
) -> tuple[int, Estimate | None]:
    """The wait of a THROTTLED job: for its owner's limit, for the room of its type, or both."""
    limits = services.rules.limits
    ahead = await _count_before(services, job)
    if limits is None:
        return ahead, None
    window = limits.window(job.job_type)
    if job.waits_for is not WaitsFor.USER:
        needed = await list_rooms(services, limits, job)
        rooms = [room for room in needed if room.reason is job.waits_for]
        places = rooms[0].places if rooms else window
        return ahead, _wait_among_ranks(services, job, ahead, places, times)
    from taskreel.app.credits.balances import load_account  # of few jobs: cold start

    account = await load_account(services, job.limit_owner)
    places = active_limit(limits, account)
    wait = estimate_wait(ahead, places, times.in_place)
    if wait is None or not has_window(job.job_type):
        return ahead, wait
    waiting = await services.counts.read_waiting(
        services.store, ("jobType", job.job_type), window, services.clock.now()
    )
    then = estimate_wait(waiting, window, times.in_place) if waiting else NOW
    return ahead, wait if then is None else wait.after(then)


def _wait_among_ranks(
    services: Services, job: Job, ahead: int, places: int, times: RecentTimes
) -> Estimate | None:
    """The wait in order of rank, with those who come later and overtake by their head start."""
    limits, now = services.rules.limits, services.clock.now()
    rank = job.rank or job.created_at
    if limits is None:
        return estimate_wait(ahead, places, times.in_place)
    rates = times.arrivals
    # A job that arrives at t has the rank t - head start: it goes before this one until then.
    windows = {
        priority: max((rank + limits.head_start(priority) - now).total_seconds(), 0.0)
        for priority in rates
    }

    def count_overtakers(seconds: float) -> float:
        return sum(rates[one] * min(seconds, windows[one]) for one in rates)

    return estimate_wait(ahead, places, times.in_place, count_overtakers)


async def _count_before(services: Services, job: Job) -> int:
    """The jobs that wait for the same room and have a lower rank."""
    shared = {
        WaitsFor.USER: find_line(job.limit_owner),
        WaitsFor.PROVIDER: ("providerSlot", job.provider_slot),
        WaitsFor.PROJECT: ("projectSlot", job.project_slot),
    }
    field, value = shared.get(job.waits_for or WaitsFor.TYPE, ("jobType", job.job_type))
    where: tuple[tuple[str, Operator, object], ...] = (
        (field, "==", value),
        ("waitsFor", "==", str(job.waits_for)),
        ("rank", "<", job.rank or job.created_at),
    )
    query = Query(collection=JOBS, where=where, order=(("rank", "asc"),), limit=MOST_COUNTED)
    return int((await services.store.aggregate(query))["count"])


async def _wait_in_queue(
    services: Services, job: Job, times: RecentTimes
) -> tuple[int, Estimate | None]:
    """The wait of a job that is on its queue, behind those that were made before it."""
    query = Query(
        collection=JOBS,
        where=(
            ("jobType", "==", job.job_type),
            ("status", "==", str(Status.QUEUED)),
            ("createdAt", "<", job.created_at),
        ),
        order=(("createdAt", "desc"),),
        limit=MOST_COUNTED,
    )
    ahead = int((await services.store.aggregate(query))["count"])
    if ahead == 0:
        return 0, NOW
    job_type = JOB_TYPES.get(job.job_type)
    places = job_type.queue.concurrent_dispatches if job_type is not None else 1
    return ahead, estimate_wait(ahead - 1, places, times.running)
