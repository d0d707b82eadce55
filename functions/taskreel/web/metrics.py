"""`GET /metrics`: the system's metrics for Prometheus, from the store.

Each instance answers with the same numbers, of all instances: take one target, the API's address.
Counters count since midnight (UTC) and begin again at 0 then, as they would in a process that was
restarted, which `rate` and `increase` expect.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import PlainTextResponse, Response

from taskreel.app.records.model_performance import ModelDay, list_model_days
from taskreel.app.records.store_metrics import READING_AGE, DueReading, MetricsReading
from taskreel.domain.breaker import BreakerState
from taskreel.domain.job_metrics import (
    ATTEMPTS,
    ETA_CHECKED,
    ETA_WITHIN_P50,
    ETA_WITHIN_P90,
    RETRIED,
    STARTED,
    SUBMITTED,
    SWEPT,
    DailyMetrics,
    count_up_to,
    find_quantile,
)
from taskreel.domain.job_status import Status
from taskreel.web.auth import ApiContext, authenticate_metrics
from taskreel.web.openapi_problems import document_problems
from taskreel.web.prometheus import (
    CONTENT_TYPE,
    Family,
    HistogramFamily,
    HistogramSeries,
    Labels,
    write_families,
)

router = APIRouter(tags=["statistics"])

_ENDED = tuple(one for one in Status if one.final)
_QUANTILES = (0.5, 0.95, 0.99)
#: The bounds of the histograms, in seconds.
_BOUNDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200)
_EXAMPLE = """\
# HELP taskreel_jobs Jobs that are not finished, by type and state; exact up to 1,000.
# TYPE taskreel_jobs gauge
taskreel_jobs{job_type="image-generation",state="QUEUED"} 3
"""
_Samples = Iterator[tuple[Labels, float]]


@router.get(
    "/metrics",
    summary="The system's metrics for Prometheus (admin, or METRICS_KEY)",
    response_class=PlainTextResponse,
    responses={
        "200": {
            "content": {"text/plain": {"schema": {"type": "string"}, "example": _EXAMPLE}},
        },
        **document_problems("forbidden"),
    },
)
async def read_metrics(
    context: Annotated[ApiContext, Depends(authenticate_metrics)],
) -> Response:
    """From stored counts of all instances, read at most every 15 seconds."""
    reading = await context.store_metrics().read()
    seconds = round(READING_AGE.total_seconds())
    headers = {"content-type": CONTENT_TYPE, "cache-control": f"private, max-age={seconds}"}
    return Response(write_families(build_families(reading)), headers=headers)


def build_families(reading: MetricsReading) -> list[Family | HistogramFamily]:
    """The families of metrics, in the order in which they are sent."""
    return [
        *_build_job_families(reading),
        *_build_time_families(reading),
        *_build_provider_families(reading),
        *_build_credit_families(reading),
        *_build_webhook_families(reading),
        *_build_operation_families(reading),
    ]


# ── Jobs ─────────────────────────────────────────────────────────────────────────────────────────


def _build_job_families(reading: MetricsReading) -> Iterator[Family]:
    yield Family(
        "taskreel_jobs",
        "gauge",
        "Jobs that are not finished, by type and state; exact up to 1,000.",
        [
            ({"job_type": job_type, "state": str(state)}, count)
            for (job_type, state), count in reading.depth.items()
        ],
    )
    yield Family(
        "taskreel_oldest_waiting_seconds",
        "gauge",
        "Time for which the oldest job that could run has waited, by type.",
        [({"job_type": name}, age) for name, age in reading.oldest_waiting.items()],
    )
    yield from _build_due_families("jobs", "Jobs", reading.due_jobs)
    counted = (
        ("taskreel_jobs_submitted_total", SUBMITTED, "Jobs that were submitted today (UTC)."),
        ("taskreel_jobs_started_total", STARTED, "Jobs whose first run began today (UTC)."),
        ("taskreel_jobs_retried_total", RETRIED, "Failed jobs that a user ran again today (UTC)."),
        ("taskreel_attempts_total", ATTEMPTS, "Runs of jobs that began today (UTC)."),
    )
    for name, key, text in counted:
        yield _count_today(reading, name, text, key)
    yield Family(
        "taskreel_jobs_ended_total",
        "counter",
        "Jobs that ended today (UTC), by type and final status.",
        [
            ({"job_type": job_type, "status": str(status)}, counts.get(status, 0))
            for job_type, counts in _read_counts(reading).items()
            for status in _ENDED
        ],
    )


def _build_due_families(noun: str, subject: str, due: DueReading) -> Iterator[Family]:
    yield Family(
        f"taskreel_{noun}_overdue",
        "gauge",
        f"{subject} whose time of the next act has passed; exact up to 1,000.",
        [({}, due.overdue)],
    )
    yield Family(
        f"taskreel_oldest_overdue_{noun}_seconds",
        "gauge",
        f"{subject}: time for which the most overdue has been due. Minutes: the sweep is late.",
        [({}, due.oldest_overdue_seconds)],
    )


def _count_today(reading: MetricsReading, name: str, text: str, key: str) -> Family:
    counts = _read_counts(reading)
    samples = [({"job_type": job_type}, one.get(key, 0)) for job_type, one in counts.items()]
    return Family(name, "counter", text, samples)


def _read_counts(reading: MetricsReading) -> dict[str, Mapping[str, int]]:
    """Today's counts by job type; none for a type that had jobs yesterday: its counters are 0."""
    types = sorted({one.job_type for one in reading.days})
    today = {one.job_type: one.counts for one in reading.days if one.day == reading.today}
    return {name: today.get(name, {}) for name in types}


# ── Times ────────────────────────────────────────────────────────────────────────────────────────


def _build_time_families(reading: MetricsReading) -> Iterator[Family | HistogramFamily]:
    waits = ("wait", "from the time at which a job could run to its first run", "waitMs")
    runs = ("run", "of jobs' last run", "runMs")
    for (name, text, key), read in ((waits, _read_waits), (runs, _read_runs)):
        today = [one for one in reading.days if one.day == reading.today]
        yield HistogramFamily(
            f"taskreel_job_{name}_seconds",
            f"Time {text}, today (UTC). The bound of an observation is exact within 10 %.",
            [_build_series(one, read(one), one.sums.get(key, 0.0)) for one in today],
        )
        yield Family(
            f"taskreel_job_{name}_quantile_seconds",
            "gauge",
            f"Time {text} of that share of the jobs at most, within 5 %, since yesterday (UTC).",
            list(_list_quantiles(reading.days, read)),
        )


def _read_waits(metrics: DailyMetrics) -> Mapping[str, int]:
    return metrics.wait_ms


def _read_runs(metrics: DailyMetrics) -> Mapping[str, int]:
    return metrics.run_ms


def _build_series(
    metrics: DailyMetrics, buckets: Mapping[str, int], total_ms: float
) -> HistogramSeries:
    return HistogramSeries(
        labels={"job_type": metrics.job_type},
        buckets={bound: count_up_to(buckets, round(bound * 1000)) for bound in _BOUNDS},
        count=sum(buckets.values()),
        total=total_ms / 1000,
    )


def _list_quantiles(
    days: Sequence[DailyMetrics], read: Callable[[DailyMetrics], Mapping[str, int]]
) -> _Samples:
    merged: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in days:
        merged[one.job_type].update(read(one))
    for job_type, buckets in sorted(merged.items()):
        for share in _QUANTILES:
            found = find_quantile(buckets, share)
            if found is not None:
                yield {"job_type": job_type, "share": f"{share:g}"}, found / 1000


# ── Providers ────────────────────────────────────────────────────────────────────────────────────


def _build_provider_families(reading: MetricsReading) -> Iterator[Family]:
    today = [one for one in list_model_days(reading.days) if one.day == reading.today]
    yield Family(
        "taskreel_provider_calls_total",
        "counter",
        "Finished calls of each provider's model, of jobs that ended today (UTC).",
        [(_name_model(one), one.calls) for one in today],
    )
    yield Family(
        "taskreel_provider_errors_total",
        "counter",
        "Failed calls of each provider's model today (UTC), by the error's code.",
        [
            ({**_name_model(one), "code": code}, count)
            for one in today
            for code, count in sorted(one.errors.items())
        ],
    )
    yield Family(
        "taskreel_provider_cost_dollars_total",
        "counter",
        "The providers' charges for calls of jobs that ended today (UTC).",
        [(_name_model(one), one.cost_usd) for one in today],
    )
    yield Family(
        "taskreel_breaker_state",
        "gauge",
        "1 for the present state of each circuit breaker that has seen a failure.",
        [
            (
                {"provider": one.provider, "model": one.model, "state": str(state)},
                int(one.state is state),
            )
            for one in reading.breakers
            for state in BreakerState
        ],
    )


def _name_model(one: ModelDay) -> dict[str, str]:
    return {"provider": one.provider, "model": one.model or ""}


# ── Credits, webhooks, operation ─────────────────────────────────────────────────────────────────


def _build_credit_families(reading: MetricsReading) -> Iterator[Family]:
    sums = reading.credits
    kinds = ("available", "held", "captured", "granted", "expired")
    yield Family(
        "taskreel_credits",
        "gauge",
        "Credits of all accounts, up to 20,000 accounts, read once an hour. "
        "granted = available + held + captured + expired.",
        [({"kind": kind}, getattr(sums, kind)) for kind in kinds],
    )
    yield Family("taskreel_accounts", "gauge", "Accounts.", [({}, sums.users)])
    yield Family(
        "taskreel_credits_read_timestamp_seconds",
        "gauge",
        "Time at which the accounts were read.",
        [({}, reading.credits_read_at.timestamp())],
    )
    yield Family(
        "taskreel_credits_captured_total",
        "counter",
        "Credits that jobs that ended today (UTC) were charged.",
        [
            ({"job_type": one.job_type}, one.sums.get("credits", 0.0))
            for one in reading.days
            if one.day == reading.today
        ],
    )


def _build_webhook_families(reading: MetricsReading) -> Iterator[Family]:
    due = reading.due_deliveries
    yield Family(
        "taskreel_webhook_deliveries_pending",
        "gauge",
        "Webhook messages that are not delivered yet; exact up to 1,000.",
        [({}, due.pending)],
    )
    yield from _build_due_families("webhook_deliveries", "Webhook messages", due)
    yield Family(
        "taskreel_webhook_endpoints",
        "gauge",
        "Webhook endpoints by state; disabled ones get nothing.",
        [({"state": str(state)}, count) for state, count in reading.endpoints.items()],
    )


def _build_operation_families(reading: MetricsReading) -> Iterator[Family]:
    yield Family(
        "taskreel_dead_letter_groups",
        "gauge",
        "Kinds of failures that are listed as dead letters; exact up to 1,000.",
        [({}, reading.dead_letter_groups)],
    )
    yield Family(
        "taskreel_sweep_actions_total",
        "counter",
        "Acts of the sweep on jobs today (UTC), by the status in which it found them. A job that "
        "is rescued in another status than SCHEDULED had lost its task or its worker.",
        list(_list_sweep_actions(reading)),
    )
    yield _count_today(
        reading,
        "taskreel_estimates_checked_total",
        "Estimated starts that were compared with the real ones today (UTC).",
        ETA_CHECKED,
    )
    yield Family(
        "taskreel_estimates_within_total",
        "counter",
        "Jobs that started today (UTC) by the time that was estimated for that share of them.",
        [
            ({"job_type": job_type, "share": share}, counts.get(key, 0))
            for job_type, counts in _read_counts(reading).items()
            for share, key in (("0.5", ETA_WITHIN_P50), ("0.9", ETA_WITHIN_P90))
        ],
    )
    yield Family(
        "taskreel_metrics_read_timestamp_seconds",
        "gauge",
        "Time at which these metrics were read from the store.",
        [({}, reading.at.timestamp())],
    )


def _list_sweep_actions(reading: MetricsReading) -> _Samples:
    for job_type, counts in _read_counts(reading).items():
        for name, count in sorted(counts.items()):
            group, _, rest = name.partition(".")
            if group == SWEPT:
                action, _, status = rest.partition(".")
                yield {"job_type": job_type, "action": action, "status": status}, count
