"""Examples of the responses of queues, accounts, the audit log and the models' performance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from pydantic import BaseModel

from taskreel.app.alerts.announce_alerts import AlertReport
from taskreel.app.credits.accounts import AccountSums
from taskreel.app.operations.orders import Forecast
from taskreel.app.records.model_performance import ModelDay
from taskreel.domain.alerts import ActiveAlert, AlertKind, AlertThresholds
from taskreel.domain.audit_log import AuditEntry
from taskreel.domain.client_webhook import WebhookAnswer
from taskreel.domain.credits import Account
from taskreel.domain.erasure import Erasure, ErasurePhase, ErasureProof
from taskreel.domain.job_status import Status
from taskreel.domain.operation import BulkAction, BulkOperation, JobFilter, RefusedJob
from taskreel.web.accounts import AccountPage, build_account_view, build_sums_view
from taskreel.web.alerts import build_alerts_view, build_test_view
from taskreel.web.audit_log import AuditPage, build_entry_view
from taskreel.web.console_links import build_deployment_view
from taskreel.web.erasures import ErasureForecast, build_erasure_view
from taskreel.web.model_performance import ModelDaysView, build_model_day_view
from taskreel.web.operations import (
    ForecastView,
    OperationsPage,
    OperationView,
    build_forecast_view,
    build_operation_view,
)
from taskreel.web.queue_locations import LocationsView, LocationView
from taskreel.web.queues import ClearedView, QueueControlView
from taskreel.web.result_cache import PurgedView

_AT = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)
_QUEUE = "image-generation-queue"
_ACCOUNT = Account(
    user_id="ada", available=96, held=1, captured=3, granted=100, active=1, tier="pro"
)
_SHARDED = _ACCOUNT.model_copy(update={"max_active": 200, "shards": 4, "shard_documents": 4})
_SUMS = AccountSums(
    users=2, available=185, held=3, captured=7, granted=200, expired=5, complete=True
)
_ERASURE = Erasure(
    erasure_id="ers_4k7m2xq9w3r5t8v6b2n4c6z8a1",
    pseudonym="erased-8v6b2n4c6z8a14k7m2xq9w3r5t",
    phase=ErasurePhase.DONE,
    ordered_by="root",
    reason="Request 2026-114",
    removed={"jobs": 41, "files": 55, "webhook_endpoints": 1, "webhook_deliveries": 60},
    pseudonymised={"accounts": 1, "ledger": 42},
    proof=ErasureProof(documents=120_411, files=310_922, mentions={"jobs": 1}),
    created_at=_AT,
    updated_at=_AT,
    ended_at=_AT,
)
_ENTRY = AuditEntry(
    entry_id="audit.4k7m2xq9w3r5t8v6b2n4c6z8a1",
    at=_AT,
    user_id="root",
    action="queue paused",
    subject=_QUEUE,
    reason="The provider is down",
)
_REFUSED = RefusedJob(job_id="job_4k7m2xq9w3r5t8v6b2n4c6z8a1", reason="it is COMPLETED already")
_OPERATION = BulkOperation(
    operation_id="op_7m2xq9w3r5t8v6b2n4c6z8a14k",
    user_id="ada",
    tier="pro",
    action=BulkAction.CANCEL,
    filter=JobFilter(status=(Status.QUEUED,), job_type="image-generation"),
    limit=500,
    seen=40,
    changed=39,
    refused=1,
    refused_jobs=(_REFUSED,),
    created_at=_AT,
    updated_at=_AT,
    expire_at=_AT,
)


def _build_operation() -> OperationView:
    return build_operation_view(_OPERATION)


def _build_forecast() -> ForecastView:
    forecast = Forecast(seen=40, eligible=39, refused=1, refused_jobs=[_REFUSED], complete=True)
    forecast.reasons[_REFUSED.reason] = 1
    return build_forecast_view(forecast)


_MODEL_DAY = ModelDay(
    day="2026-11-26",
    provider="bfl",
    model="flux-2-pro",
    calls=41,
    credits=41,
    released=2,
    cost_usd=1.64,
    errors={"provider_unavailable": 2},
    run_ms={"95": 41},
)

_LOCATION = LocationView(
    location="europe-central2",
    drained=True,
    depth=3,
    ordered_by="root",
    ordered_at=_AT,
    reason="Maintenance in the region",
)

#: Name of a response's schema → its example.
OPERATOR_EXAMPLES: Mapping[str, Callable[[], BaseModel]] = {
    "AccountPage": lambda: AccountPage(
        accounts=[build_account_view(_ACCOUNT, None)], next_cursor=None
    ),
    "AccountView": lambda: build_account_view(_SHARDED, None),
    "AccountSumsView": lambda: build_sums_view(_SUMS),
    "AlertsView": lambda: build_alerts_view(
        AlertReport(
            active=(
                ActiveAlert(
                    kind=AlertKind.BREAKER_OPEN,
                    subject="bfl.flux-2-pro",
                    text="It failed too often.",
                    since=_AT,
                    seen_at=_AT,
                    announced_at=_AT,
                ),
            ),
            swept_at=_AT,
            receiver="hooks.slack.com",
            thresholds=AlertThresholds(),
        )
    ),
    "AlertTestView": lambda: build_test_view(WebhookAnswer(status=200, milliseconds=120)),
    "DeploymentView": lambda: build_deployment_view("my-project"),
    "AuditPage": lambda: AuditPage(entries=[build_entry_view(_ENTRY)], next_cursor=None),
    "ClearedView": lambda: ClearedView(
        queue=_QUEUE, dry_run=False, cancelled=12, running=1, refunded=12, more=False
    ),
    "ErasureForecast": lambda: ErasureForecast(
        removed={"jobs": 41, "files": 44},
        pseudonymised={"accounts": 1, "ledger": 42, "projects": 1},
    ),
    "ErasureView": lambda: build_erasure_view(_ERASURE),
    "LocationView": lambda: _LOCATION,
    "LocationsView": lambda: LocationsView(locations=[_LOCATION]),
    "ModelDaysView": lambda: ModelDaysView(days=[build_model_day_view(_MODEL_DAY)]),
    "ForecastView": _build_forecast,
    "OperationView": _build_operation,
    "OperationsPage": lambda: OperationsPage(operations=[_build_operation()], next_cursor=None),
    "PurgedView": lambda: PurgedView(job_type="image-generation", user_id=None, purged_at=_AT),
    "QueueControlView": lambda: QueueControlView(
        job_type="image-generation",
        queue=_QUEUE,
        paused=True,
        depth=3,
        ordered_by="root",
        ordered_at=_AT,
        reason="The provider is down",
    ),
}
