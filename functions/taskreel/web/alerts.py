"""The API of alerts, for administrators: the active ones, and a test message."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from fastapi.requests import Request
from fastapi.responses import Response

from taskreel.app.alerts.announce_alerts import AlertReport, read_alerts, send_test_alert
from taskreel.domain.alerts import CONDITIONS, ActiveAlert, AlertKind, AlertThresholds, Severity
from taskreel.domain.client_webhook import WebhookAnswer
from taskreel.domain.value import is_known
from taskreel.web.http import JsonResponse, View, check_query
from taskreel.web.openapi_problems import document_problems
from taskreel.web.route_parameters import AuthenticatedAdmin

router = APIRouter(prefix="/api/alerts", tags=["alerts"])


class AlertView(View):
    """A condition that holds, or has ended within five minutes."""

    kind: str
    #: The job type or the provider's model; empty for a condition of the whole system.
    subject: str
    severity: Severity
    title: str
    text: str
    advice: str
    since: datetime
    seen_at: datetime
    announced_at: datetime


class AlertsView(View):
    """The active alerts. `receiver` is the host of ALERT_WEBHOOK_URL; null: none is sent."""

    alerts: list[AlertView]
    swept_at: datetime | None
    receiver: str | None
    thresholds: AlertThresholds


class AlertTestView(View):
    """The receiver's answer to a test message; `status` is null where it gave none."""

    delivered: bool
    status: int | None
    error: str | None
    milliseconds: int


@router.get(
    "",
    summary="The active alerts (admin)",
    response_model=AlertsView,
    responses=document_problems("forbidden"),
)
async def list_alerts(request: Request, context: AuthenticatedAdmin) -> Response:
    """As the last sweep found them, and whether the sweep is late now."""
    check_query(request)
    return JsonResponse(build_alerts_view(await read_alerts(context.services)))


@router.post(
    "/test",
    summary="Send a test message to ALERT_WEBHOOK_URL (admin)",
    response_model=AlertTestView,
    responses=document_problems("forbidden", "conflict"),
)
async def test_alerts(request: Request, context: AuthenticatedAdmin) -> Response:
    """Sent once, at once; the response has the receiver's status."""
    check_query(request)
    return JsonResponse(build_test_view(await send_test_alert(context.services, context.caller)))


def build_alerts_view(report: AlertReport) -> AlertsView:
    """The alerts as they are sent, the most severe first."""
    views = [build_alert_view(one) for one in report.active if is_known(one.kind)]
    order = list(Severity)
    views.sort(key=lambda view: (-order.index(view.severity), view.since))
    return AlertsView(
        alerts=views,
        swept_at=report.swept_at,
        receiver=report.receiver,
        thresholds=report.thresholds,
    )


def build_alert_view(alert: ActiveAlert) -> AlertView:
    """An alert as it is sent."""
    condition = CONDITIONS[AlertKind(alert.kind)]
    return AlertView(
        kind=str(alert.kind),
        subject=alert.subject,
        severity=condition.severity,
        title=condition.title,
        text=alert.text,
        advice=condition.advice,
        since=alert.since,
        seen_at=alert.seen_at,
        announced_at=alert.announced_at,
    )


def build_test_view(answer: WebhookAnswer) -> AlertTestView:
    """The answer as it is sent, without the receiver's text."""
    return AlertTestView(
        delivered=answer.succeeded,
        status=answer.status,
        error=answer.error,
        milliseconds=answer.milliseconds,
    )
