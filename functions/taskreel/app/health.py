"""The health of the system, measured at most every few seconds, however often it is read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from msgspec.structs import replace

from taskreel.app.messages.job_task import POLL_QUEUE, WEBHOOK_QUEUE, queue_of_type
from taskreel.app.query_pages import read_value
from taskreel.app.services import SWEEP_LATE_SECONDS, Services
from taskreel.domain.errors import EncryptionKeyError, TaskreelError
from taskreel.domain.health import (
    REQUEST_FAULTS,
    Health,
    MachineFacts,
    QueueFacts,
    Thresholds,
    Verdict,
    judge_latency,
    judge_machine,
    judge_queue,
)
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.record import Record
from taskreel.jobtypes import JOB_TYPES
from taskreel.ports import Query, QueueStats
from taskreel.store_collections import ALERTS, HEALTH, JOBS

if TYPE_CHECKING:
    from taskreel.domain.breaker import Breaker  # of paid providers: cold start

log = logging.getLogger(__name__)

#: A report is shown so long; a load balancer may ask every second.
REPORT_AGE = timedelta(seconds=5)
#: The ended jobs are counted less often: two counts a type.
_COUNTS_AGE = timedelta(seconds=60)
#: A key that was right stays so, and a store is encrypted from one deployment to the next.
_KEY_AGE = timedelta(seconds=60)
_COUNTED_PERIOD = timedelta(hours=1)
#: A count costs the same, however many jobs there are.
_MAX_COUNT = 1000
#: So many failures are read, where there are many, to tell whose fault they are.
_FAILURE_SAMPLE = 50
#: A dependency that has not answered by then is unhealthy; other calls wait longer for it.
_SECONDS = 3.0
_NEVER = datetime.min.replace(tzinfo=UTC)


class DependencyHealth(Record, kw_only=True):
    """A dependency, and the milliseconds after which it answered; None if it did not."""

    verdict: Verdict
    latency_ms: float | None


class QueueHealth(Record, kw_only=True):
    """A queue; `facts` is None when it could not be asked."""

    queue: str
    #: None for the queue of polls, which serves all types.
    job_type: str | None
    verdict: Verdict
    facts: QueueFacts | None


class ProviderHealth(Record, kw_only=True):
    """A configured provider, and its models that are paused."""

    provider: str
    verdict: Verdict
    paused_models: tuple[str, ...]


class HealthReport(Record, kw_only=True):
    """The health of all parts at a time. `reasons` begin with the part's name."""

    status: Health
    reasons: tuple[str, ...]
    checked_at: datetime
    store: DependencyHealth
    bucket: DependencyHealth
    queue_service: DependencyHealth
    queues: tuple[QueueHealth, ...]
    providers: tuple[ProviderHealth, ...]


class _EndedJobs(Record):
    """The jobs of a type that ended in the last hour; see QueueFacts."""

    completed: int = 0
    failed: int = 0
    refused_share: float = 0.0


class HealthMonitor:
    """Measures the health; several callers at once share one measurement."""

    def __init__(
        self,
        services: Services,
        read_machine: Callable[[], MachineFacts],
        limits: Thresholds | None = None,
    ) -> None:
        self.limits = limits or Thresholds()
        self._services = services
        self._read_machine = read_machine
        self._report: HealthReport | None = None
        self._lock = asyncio.Lock()
        self._counts: Mapping[str, _EndedJobs] = {}
        self._counted_at = _NEVER
        self._key_checked_at = _NEVER

    async def read_report(self) -> HealthReport:
        """The report, at most REPORT_AGE old."""
        async with self._lock:
            now = self._services.clock.now()
            report = self._report
            if report is None or now - report.checked_at >= REPORT_AGE:
                before, report = report, await self._measure(now)
                if report.store.latency_ms is not None:  # else each call of it would wait again
                    await self._watch_sweep()
                self._report = report
                _log_change(before, report)
            return report

    async def _watch_sweep(self) -> None:
        """Announce a late sweep: the only alert that the sweep cannot announce itself."""
        services, now = self._services, self._services.clock.now()
        alerts = services.alerts
        if alerts is None or not alerts.is_due(alerts.watched_at, now):
            return
        alerts.watched_at = now
        try:
            async with asyncio.timeout(_SECONDS):
                state = await services.store.get(ALERTS, "state")
                late = float(alerts.thresholds.get("sweepLateSeconds", SWEEP_LATE_SECONDS))
                if state is not None and alerts.discount_absence(state).is_sweep_late(late, now):
                    from taskreel.app.alerts.announce_alerts import (
                        announce_late_sweep,
                    )  # seldom: cold start

                    await announce_late_sweep(services)
        except (TaskreelError, TimeoutError, OSError) as error:
            log.warning(
                "the time of the last sweep could not be read",
                extra={"action": "alerts_unchecked", "error": str(error)},
            )

    def inspect_machine(self) -> tuple[MachineFacts, Verdict]:
        """This instance's memory, processors and disk."""
        facts = self._read_machine()
        return facts, judge_machine(facts, self.limits)

    async def _measure(self, now: datetime) -> HealthReport:
        services = self._services
        store, bucket, (queue_service, queues), providers = await asyncio.gather(
            self._check_store(now),
            self._time_call(lambda: services.blobs.info("health/probe")),
            self._check_queues(now),
            self._check_providers(now),
        )
        parts: list[tuple[str, Verdict]] = [
            ("store", store.verdict),
            ("bucket", bucket.verdict),
            ("queue service", queue_service.verdict),
            *((f"queue {one.queue}", one.verdict) for one in queues),
            *((f"provider {one.provider}", one.verdict) for one in providers),
        ]
        status = store.verdict.status
        if status is Health.HEALTHY and any(found.status != status for _, found in parts):
            # Only without the store can nothing be answered. Without a queue, a provider or the
            # bucket jobs are accepted and read, and wait.
            status = Health.DEGRADED
        return HealthReport(
            status=status,
            reasons=tuple(f"{name}: {reason}" for name, found in parts for reason in found.reasons),
            checked_at=now,
            store=store,
            bucket=bucket,
            queue_service=queue_service,
            queues=queues,
            providers=providers,
        )

    async def _check_store(self, now: datetime) -> DependencyHealth:
        """The store, and whether the settings have its key: without it nothing may be written."""
        services = self._services
        found = await self._time_call(lambda: services.store.get(HEALTH, "probe"))
        if found.latency_ms is None or now - self._key_checked_at < _KEY_AGE:
            return found
        key = await self._time_call(services.check_encryption)
        if key.latency_ms is None:
            return key
        self._key_checked_at = now
        return found

    async def _time_call(self, call: Callable[[], Awaitable[object]]) -> DependencyHealth:
        began = self._services.clock.now()
        try:
            async with asyncio.timeout(_SECONDS):
                await call()
        except (TaskreelError, TimeoutError, OSError) as error:
            return DependencyHealth(verdict=_explain_silence(error), latency_ms=None)
        latency_ms = (self._services.clock.now() - began) / timedelta(milliseconds=1)
        return DependencyHealth(
            verdict=judge_latency(latency_ms, self.limits), latency_ms=round(latency_ms, 1)
        )

    async def _check_queues(
        self, now: datetime
    ) -> tuple[DependencyHealth, tuple[QueueHealth, ...]]:
        names: list[tuple[str, str | None]] = [
            *((queue_of_type(job_type), job_type) for job_type in JOB_TYPES),
            (POLL_QUEUE, None),
            (WEBHOOK_QUEUE, None),
        ]
        found: dict[str, QueueStats] = {}

        async def read_all() -> None:
            stats = await asyncio.gather(*(self._services.tasks.stats(queue) for queue, _ in names))
            found.update({one.queue: one for one in stats})

        service, counts = await asyncio.gather(self._time_call(read_all), self._count_ended(now))
        silent = {
            name for one in found.values() for name, there in one.locations.items() if not there
        }
        if silent:
            reason = f"{', '.join(sorted(silent))} cannot be reached; tasks go elsewhere"
            service = replace(service, verdict=Verdict.of((Health.DEGRADED, reason)))
        return service, tuple(
            self._judge_queue(
                queue, job_type, found.get(queue), counts.get(job_type or "", _EndedJobs()), now
            )
            for queue, job_type in names
        )

    def _judge_queue(
        self,
        queue: str,
        job_type: str | None,
        stats: QueueStats | None,
        ended: _EndedJobs,
        now: datetime,
    ) -> QueueHealth:
        if stats is None:
            # The queue service is unhealthy, which says it once for all queues.
            unknown = Verdict(status=Health.UNHEALTHY)
            return QueueHealth(queue=queue, job_type=job_type, verdict=unknown, facts=None)
        oldest = stats.oldest_at
        facts = QueueFacts(
            paused=stats.paused,
            depth=stats.depth,
            oldest_seconds=None if oldest is None else max((now - oldest).total_seconds(), 0.0),
            completed=ended.completed,
            failed=ended.failed,
            refused_share=ended.refused_share,
        )
        verdict = judge_queue(facts, self.limits)
        return QueueHealth(queue=queue, job_type=job_type, verdict=verdict, facts=facts)

    async def _count_ended(self, now: datetime) -> Mapping[str, _EndedJobs]:
        """Count the last hour's ended jobs of each type; none while the store cannot be read."""
        if now - self._counted_at < _COUNTS_AGE:
            return self._counts
        names = list(JOB_TYPES)
        try:
            async with asyncio.timeout(_SECONDS):
                counts = await asyncio.gather(
                    *(
                        self._count_jobs(name, status, now - _COUNTED_PERIOD)
                        for name in names
                        for status in (Status.COMPLETED, Status.FAILED)
                    )
                )
                found = {
                    name: await self._look_into_failures(
                        name, completed, failed, now - _COUNTED_PERIOD
                    )
                    for name, completed, failed in zip(
                        names, counts[::2], counts[1::2], strict=True
                    )
                }
        except (TaskreelError, TimeoutError):
            return {}
        self._counts, self._counted_at = found, now
        return found

    async def _look_into_failures(
        self, job_type: str, completed: int, failed: int, since: datetime
    ) -> _EndedJobs:
        """The counts, with a sample of the failures where they are so many that they matter."""
        ended = _EndedJobs(completed, failed)
        enough = completed + failed >= self.limits.error_rate_min_jobs
        if not enough or failed < self.limits.error_rate.degraded * (completed + failed):
            return ended
        query = replace(_query_ended(job_type, Status.FAILED, since), limit=_FAILURE_SAMPLE)
        jobs = [
            job
            for row in await self._services.store.query(query)
            if (job := read_value(row)) is not None
        ]
        refused = sum(job.error is not None and job.error.code in REQUEST_FAULTS for job in jobs)
        return replace(ended, refused_share=refused / len(jobs) if jobs else 0.0)

    async def _count_jobs(self, job_type: str, status: Status, since: datetime) -> int:
        query = _query_ended(job_type, status, since)
        return int((await self._services.store.aggregate(query))["count"])

    async def _check_providers(self, now: datetime) -> tuple[ProviderHealth, ...]:
        registry = self._services.providers
        breakers: Mapping[str, Breaker] = {}
        try:
            async with asyncio.timeout(_SECONDS):
                if registry.paid_names:  # no other has a breaker: cold start
                    breakers = await registry.breakers.load_breakers(now)
        except (TaskreelError, TimeoutError):
            return ()  # they are in the store, which is reported
        return tuple(
            self._judge_provider(name, breakers, now)
            for name in registry.all_names
            if registry.is_configured(name)
        )

    def _judge_provider(
        self, name: str, breakers: Mapping[str, Breaker], now: datetime
    ) -> ProviderHealth:
        if not breakers:  # the table of models is not needed: cold start
            return ProviderHealth(provider=name, verdict=Verdict.of(), paused_models=())
        from taskreel.app.providers.circuit_breakers import breaker_id
        from taskreel.domain.breaker import BreakerState

        models = [
            str(one["name"]) for one in self._services.providers.catalogue.list_models(name, now)
        ]
        paused = tuple(
            model
            for model in models
            if (breaker := breakers.get(breaker_id(name, model))) is not None
            and breaker.state_at(now) is not BreakerState.CLOSED
        )
        health = Health.HEALTHY
        if paused:
            health = Health.UNHEALTHY if len(paused) == len(models) else Health.DEGRADED
        reason = f"paused after failures: {', '.join(paused)}"
        return ProviderHealth(
            provider=name, verdict=Verdict.of((health, reason)), paused_models=paused
        )


def _query_ended(job_type: str, status: Status, since: datetime) -> Query[Job]:
    return Query(
        collection=JOBS,
        where=(
            ("jobType", "==", job_type),
            ("status", "==", str(status)),
            ("createdAt", ">=", since),
        ),
        order=(("createdAt", "desc"),),
        limit=_MAX_COUNT,
    )


def _explain_silence(error: Exception) -> Verdict:
    """The verdict on a dependency that did not answer; the log has the reason."""
    log.warning("health probe failed", extra={"action": "health_probe_failed", "error": str(error)})
    if isinstance(error, TimeoutError):
        reason = f"it has not answered within {_SECONDS:g} s"
    elif isinstance(error, EncryptionKeyError):
        reason = error.reason
    else:
        reason = "it cannot be reached"
    return Verdict(status=Health.UNHEALTHY, reasons=(reason,))


def _log_change(before: HealthReport | None, after: HealthReport) -> None:
    """Log a change of status: an alert can be made of these lines."""
    if (before.status if before else Health.HEALTHY) is not after.status:
        level = logging.INFO if after.status is Health.HEALTHY else logging.WARNING
        log.log(
            level,
            "health is %s",
            after.status,
            extra={"action": "health_changed", "reasons": list(after.reasons)},
        )
