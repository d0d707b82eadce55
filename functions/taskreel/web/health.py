"""The route of the system's health; without FastAPI, since load balancers ask it often."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from taskreel.app.health import DependencyHealth, HealthReport, ProviderHealth, QueueHealth
from taskreel.domain.health import Health, MachineFacts, Thresholds
from taskreel.web.auth import ApiContext, authenticate
from taskreel.web.http import (
    JsonResponse,
    View,
    check_query,
    find_header,
    is_absent,
    parse_boolean,
)


class DependencyView(View):
    """The store, the bucket or the queue service; `latencyMs` is null if it did not answer."""

    status: Health
    latency_ms: float | None


class QueueHealthView(View):
    """A queue. `errorRate` is the share of FAILED among the last hour's ended jobs of its type."""

    queue: str
    job_type: str | None
    status: Health
    reasons: tuple[str, ...]
    paused: bool | None
    depth: int | None
    oldest_seconds: float | None
    error_rate: float | None


class ProviderHealthView(View):
    """A configured provider, and its models that are paused after failures."""

    provider: str
    status: Health
    paused_models: tuple[str, ...]


class MachineView(View):
    """The instance that answered: memory, processors, network, and the running jobs' disk.

    Without the token of an admin of the deployment `status` alone: the facts describe its machine.
    """

    status: Health
    reasons: tuple[str, ...] | None = Field(default=None, exclude_if=is_absent)
    facts: MachineFacts | None = Field(default=None, exclude_if=is_absent)


class HealthView(View):
    """The health of the system, at most five seconds old.

    `unhealthy` (status 503): nothing can be answered now. `degraded`: jobs are accepted and can be
    read, but some wait or fail.
    `reasons` name the parts that are not healthy, with the values that crossed the `thresholds`.
    """

    status: Health
    reasons: tuple[str, ...]
    checked_at: datetime
    store: DependencyView
    bucket: DependencyView
    queue_service: DependencyView
    queues: tuple[QueueHealthView, ...]
    providers: tuple[ProviderHealthView, ...]
    thresholds: Thresholds
    machine: MachineView | None = Field(default=None, exclude_if=is_absent)


async def read_health(request: Request) -> Response:
    """With `deep=true` also memory, processors, disk and network of this instance, for admins."""
    check_query(request, "deep")
    deep = parse_boolean(request, "deep")
    monitor = ApiContext.of(request).health()
    report = await monitor.read_report()
    view = build_health_view(report, monitor.limits)
    if deep:
        facts, verdict = monitor.inspect_machine()
        machine = MachineView(status=verdict.status)
        if await _is_admin(request):
            machine = MachineView(status=verdict.status, reasons=verdict.reasons, facts=facts)
        view = view.model_copy(update={"machine": machine})
    bad = report.status is Health.UNHEALTHY
    return JsonResponse(view, HTTPStatus.SERVICE_UNAVAILABLE if bad else HTTPStatus.OK)


async def _is_admin(request: Request) -> bool:
    """Tell if the request has an admin's token. Raises UnauthenticatedError for an invalid one."""
    if find_header(request, b"authorization") is None:
        return False
    return (await authenticate(request)).caller.admin


def build_health_view(report: HealthReport, limits: Thresholds) -> HealthView:
    """The report as it is sent."""
    return HealthView(
        status=report.status,
        reasons=report.reasons,
        checked_at=report.checked_at,
        store=_build_dependency(report.store),
        bucket=_build_dependency(report.bucket),
        queue_service=_build_dependency(report.queue_service),
        queues=tuple(map(_build_queue, report.queues)),
        providers=tuple(map(_build_provider, report.providers)),
        thresholds=limits,
    )


def _build_dependency(found: DependencyHealth) -> DependencyView:
    return DependencyView(status=found.verdict.status, latency_ms=found.latency_ms)


def _build_queue(found: QueueHealth) -> QueueHealthView:
    facts = found.facts
    return QueueHealthView(
        queue=found.queue,
        job_type=found.job_type,
        status=found.verdict.status,
        reasons=found.verdict.reasons,
        paused=None if facts is None else facts.paused,
        depth=None if facts is None else facts.depth,
        oldest_seconds=None if facts is None else facts.oldest_seconds,
        error_rate=None if facts is None else facts.error_rate,
    )


def _build_provider(found: ProviderHealth) -> ProviderHealthView:
    return ProviderHealthView(
        provider=found.provider,
        status=found.verdict.status,
        paused_models=found.paused_models,
    )
