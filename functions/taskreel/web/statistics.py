"""The API of statistics: jobs, queues, and performance by day."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import ConfigDict, Field

from taskreel.app.records.statistics import (
    MOST_COUNTED,
    JobStatistics,
    QueueStatistics,
    count_user_jobs,
    load_metrics,
    read_queue_statistics,
    sum_all_jobs,
)
from taskreel.domain.errors import ForbiddenError
from taskreel.domain.job_metrics import (
    ETA_CHECKED,
    ETA_WITHIN_P50,
    ETA_WITHIN_P90,
    RETRIED,
    SUBMITTED,
    DailyMetrics,
    find_quantile,
)
from taskreel.domain.job_status import Status
from taskreel.domain.queue_control import QueueControl
from taskreel.domain.value import Value
from taskreel.jobtypes import find_job_type
from taskreel.web.http import JsonResponse
from taskreel.web.openapi_problems import document_problems
from taskreel.web.responses import View, is_absent
from taskreel.web.route_parameters import Authenticated

router = APIRouter(prefix="/api/jobs", tags=["statistics"])


class StatisticsQuery(Value):
    """`userId`: the jobs of that user. `days`: the period of the statistics of all users."""

    model_config = ConfigDict(defer_build=False)  # FastAPI builds none of its own

    user_id: Annotated[str, Field(max_length=256)] | None = None
    days: int = Field(default=30, ge=1, le=90)


class PeriodQuery(Value):
    """`days`: so many days, today included."""

    model_config = ConfigDict(defer_build=False)

    days: int = Field(default=7, ge=1, le=90)


class JobStatisticsView(View):
    """Jobs by status and by type.

    Of one user: the stored jobs, each number up to `countedUpTo`. Of all users (admin): the jobs
    that were submitted, or have ended, in the period, also by priority and by day.
    """

    user_id: str | None
    since: datetime | None = Field(exclude_if=is_absent)
    counted_up_to: int | None = Field(exclude_if=is_absent)
    by_status: dict[str, int]
    by_type: dict[str, int]
    by_priority: dict[str, int] | None = Field(exclude_if=is_absent)
    by_day: dict[str, dict[str, int]] | None = Field(exclude_if=is_absent)


class QueueCountsView(View):
    """A queue's jobs: waiting, active and delayed now; completed and failed in the last hour."""

    name: str
    paused: bool | None
    waiting: int
    active: int
    completed: int
    failed: int
    delayed: int


class QueuePerformanceView(View):
    """The last hour: averages in milliseconds, ended jobs a minute, and the share that failed.

    `ended` are the jobs that ended in each ten minutes of the last two hours, the oldest first;
    `waits` the mean waits of those that started in them, null where none did.
    """

    avg_processing_time: float | None
    avg_wait_time: float | None
    throughput: float
    error_rate: float | None
    ended: list[int]
    waits: list[float | None]


class QueueLimitsView(View):
    """The limits of a queue: tasks started a second, tasks that run at a time, and its jobs.

    `jobs`: so many of the type are on the queue or run; more wait by their rank. It is null where
    there is no such limit.
    """

    dispatches_per_second: float
    concurrent_dispatches: int
    jobs: int | None


class QueueOrderView(View):
    """The newest order of an administrator."""

    paused: bool
    ordered_by: str
    ordered_at: datetime
    reason: str


class QueueStatisticsView(View):
    """The queue of a job type."""

    job_type: str
    queue: QueueCountsView
    performance: QueuePerformanceView
    limits: QueueLimitsView
    #: For admins.
    order: QueueOrderView | None = Field(exclude_if=is_absent)


class QueuesStatisticsView(View):
    """All queues. Numbers of jobs now are exact up to `countedUpTo`."""

    queues: list[QueueStatisticsView]
    counted_up_to: int


class QuantilesView(View):
    """The times, in milliseconds, below which half, 90 % and 99 % of the jobs were."""

    p50: float | None
    p90: float | None
    p99: float | None


class EstimatesView(View):
    """Estimated starts that callers have read: the shares that came before their p50 and p90."""

    checked: int
    within_p50: float
    within_p90: float


class DayPerformanceView(View):
    """A job type on a day (UTC). `wait` is the time before the start, `run` that of the last run.

    `estimates` tells how good the estimated starts were; null where none was checked. `credits` and
    `costUsd`, what was spent, are for admins.
    """

    day: str
    job_type: str
    submitted: int
    completed: int
    failed: int
    cancelled: int
    expired: int
    retried: int
    success_rate: float | None
    wait: QuantilesView
    run: QuantilesView
    estimates: EstimatesView | None
    credits: int | None = Field(exclude_if=is_absent)
    cost_usd: float | None = Field(exclude_if=is_absent)


class PerformanceView(View):
    """Days and types with jobs, oldest first."""

    days: list[DayPerformanceView]


@router.get(
    "/stats",
    summary="Jobs by status and type",
    response_model=JobStatisticsView,
    responses=document_problems("forbidden"),
)
async def read_job_statistics(
    wanted: Annotated[StatisticsQuery, Query()], context: Authenticated
) -> Response:
    """Your own; for an admin those of all users, or of the one that `userId` names."""
    services, caller = context.services, context.caller
    user_id = wanted.user_id or (None if caller.admin else caller.user_id)
    if user_id is None:
        since = services.clock.now() - timedelta(days=wanted.days - 1)
        found = await sum_all_jobs(services, since)
        return JsonResponse(build_statistics_view(found, None, since))
    if user_id != caller.user_id and not caller.admin:
        raise ForbiddenError("Only an admin may read the statistics of other users.")
    return JsonResponse(build_statistics_view(await count_user_jobs(services, user_id), user_id))


@router.get(
    "/queues/stats",
    summary="What waits, runs and fails on each queue",
    response_model=QueuesStatisticsView,
)
async def read_queues_statistics(context: Authenticated) -> Response:
    """Its cost does not depend on the number of jobs."""
    found = await read_queue_statistics(context.services)
    return JsonResponse(build_queues_view(found, with_orders=context.caller.admin))


@router.get(
    "/performance",
    summary="Waits, runs, success and cost by day and job type",
    response_model=PerformanceView,
)
async def read_performance(
    wanted: Annotated[PeriodQuery, Query()], context: Authenticated
) -> Response:
    """From counts that each process stores every half minute; quantiles are within 5 %."""
    now = context.services.clock.now()
    first = now - timedelta(days=wanted.days - 1)
    metrics = await load_metrics(context.services, first, now)
    days = [build_day_view(one, with_costs=context.caller.admin) for one in metrics]
    return JsonResponse(PerformanceView(days=days))


# ── Building them ────────────────────────────────────────────────────────────────────────────────


def build_statistics_view(
    found: JobStatistics, user_id: str | None, since: datetime | None = None
) -> JobStatisticsView:
    """The statistics of a user, or of all since a time."""
    by_day = found.by_day
    return JobStatisticsView(
        user_id=user_id,
        since=since,
        counted_up_to=MOST_COUNTED if user_id is not None else None,
        by_status=dict(found.by_status),
        by_type=dict(found.by_type),
        by_priority=None if found.by_priority is None else dict(found.by_priority),
        by_day=None if by_day is None else {day: dict(counts) for day, counts in by_day.items()},
    )


def build_queues_view(found: list[QueueStatistics], *, with_orders: bool) -> QueuesStatisticsView:
    """The queues as they are sent."""
    return QueuesStatisticsView(
        queues=[
            QueueStatisticsView(
                job_type=one.job_type,
                queue=QueueCountsView(
                    name=one.queue,
                    paused=one.paused,
                    waiting=one.waiting,
                    active=one.active,
                    completed=one.completed,
                    failed=one.failed,
                    delayed=one.delayed,
                ),
                performance=QueuePerformanceView(
                    avg_processing_time=one.avg_run_ms,
                    avg_wait_time=one.avg_wait_ms,
                    throughput=one.throughput,
                    error_rate=one.error_rate,
                    ended=list(one.ended),
                    waits=list(one.waits_ms),
                ),
                limits=_build_limits(one),
                order=_build_order(one.control) if with_orders else None,
            )
            for one in found
        ],
        counted_up_to=MOST_COUNTED,
    )


def _build_limits(one: QueueStatistics) -> QueueLimitsView:
    declared = find_job_type(one.job_type).queue
    return QueueLimitsView(
        dispatches_per_second=declared.dispatches_per_second,
        concurrent_dispatches=declared.concurrent_dispatches,
        jobs=one.window,
    )


def _build_order(control: QueueControl | None) -> QueueOrderView | None:
    if control is None:
        return None
    return QueueOrderView(
        paused=control.paused,
        ordered_by=control.user_id,
        ordered_at=control.at,
        reason=control.reason,
    )


def build_day_view(metrics: DailyMetrics, *, with_costs: bool) -> DayPerformanceView:
    """A day of a job type."""
    counts = metrics.counts
    completed, failed = counts.get(Status.COMPLETED, 0), counts.get(Status.FAILED, 0)
    ended = completed + failed
    return DayPerformanceView(
        day=metrics.day,
        job_type=metrics.job_type,
        submitted=counts.get(SUBMITTED, 0),
        completed=completed,
        failed=failed,
        cancelled=counts.get(Status.CANCELLED, 0),
        expired=counts.get(Status.EXPIRED, 0),
        retried=counts.get(RETRIED, 0),
        success_rate=round(completed / ended, 4) if ended else None,
        wait=_build_quantiles(metrics.wait_ms),
        run=_build_quantiles(metrics.run_ms),
        estimates=_build_estimates(metrics),
        credits=round(metrics.sums.get("credits", 0)) if with_costs else None,
        cost_usd=round(metrics.sums.get("costUsd", 0.0), 6) if with_costs else None,
    )


def _build_estimates(metrics: DailyMetrics) -> EstimatesView | None:
    counts = metrics.counts
    checked = counts.get(ETA_CHECKED, 0)
    if not checked:
        return None
    return EstimatesView(
        checked=checked,
        within_p50=round(counts.get(ETA_WITHIN_P50, 0) / checked, 4),
        within_p90=round(counts.get(ETA_WITHIN_P90, 0) / checked, 4),
    )


def _build_quantiles(buckets: dict[str, int]) -> QuantilesView:
    return QuantilesView(
        p50=find_quantile(buckets, 0.5),
        p90=find_quantile(buckets, 0.9),
        p99=find_quantile(buckets, 0.99),
    )
