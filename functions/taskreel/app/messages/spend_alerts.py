"""Alerts of spend caps: once a period, when a hold brings the spend to most of a cap."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from taskreel.app.messages.job_events import build_delivery_task
from taskreel.app.query_pages import WAKE_SHARDS
from taskreel.app.services import Services
from taskreel.domain.client_webhook import DELIVERY_RETENTION, WAKE_AFTER, WebhookDelivery
from taskreel.domain.credits import Account, CappedSpend, SpendCap
from taskreel.domain.ids import find_wake_shard, hashed_delivery_id
from taskreel.domain.job import Job
from taskreel.domain.job_metrics import PROJECT_SPEND_CAPS, SPEND_CAPS
from taskreel.domain.webhook_events import SPEND_ALERT_EVENT, WebhookSubscription, list_wanted
from taskreel.ports import Task, Transaction
from taskreel.store_collections import WEBHOOK_DELIVERIES

if TYPE_CHECKING:  # with projects alone: cold start
    from taskreel.domain.project import Project

log = logging.getLogger(__name__)

C = TypeVar("C", bound=CappedSpend)


@dataclass(frozen=True, slots=True)
class SpendAlerts:
    """The alerts that a hold has made, and their deliveries to the user's webhook endpoints."""

    user_id: str
    caps: tuple[SpendCap, ...] = ()
    deliveries: tuple[WebhookDelivery, ...] = ()
    #: Of the project whose caps they are; None for the user's own.
    project_id: str | None = None


def create_spend_alerts(
    tx: Transaction, account: Account, at: datetime
) -> tuple[Account, SpendAlerts]:
    """Create the alerts that are due after a hold; the account that is to be stored with them.

    The account lists the periods that have had theirs, so that there is one a period and cap. The
    caller calls `announce_spend_alerts` after the commit.
    """
    return _create_alerts(tx, account, account.user_id, account.webhooks, at)


def create_project_alerts(
    tx: Transaction, project: Project, owner: Account, at: datetime
) -> tuple[Project, SpendAlerts]:
    """The same for a project's caps: its owner's webhook endpoints get them."""
    id_ = project.project_id
    return _create_alerts(tx, project, owner.user_id, list_wanted(owner.webhooks, id_), at, id_)


def _create_alerts(
    tx: Transaction,
    capped: C,
    user_id: str,
    endpoints: Iterable[WebhookSubscription],
    at: datetime,
    project_id: str | None = None,
) -> tuple[C, SpendAlerts]:
    caps = tuple(capped.find_alerts(at))
    if not caps:
        return capped, SpendAlerts(user_id, project_id=project_id)
    current = {cap.period for cap in capped.list_caps(at)}
    alerted = {*capped.alerted, *(cap.period for cap in caps)} & current
    subscribed = [one for one in endpoints if one.wants(SPEND_ALERT_EVENT)]
    deliveries = tuple(
        _build_delivery(user_id, one.endpoint_id, cap, at, project_id)
        for cap in caps
        for one in subscribed
    )
    for delivery in deliveries:
        tx.set(WEBHOOK_DELIVERIES, delivery.delivery_id, delivery)
    marked = capped.model_copy(update={"alerted": tuple(sorted(alerted))})
    return marked, SpendAlerts(user_id, caps, deliveries, project_id)


def announce_spend_alerts(services: Services, job: Job, alerts: SpendAlerts) -> list[Task]:
    """Log and count the alerts, once they are stored; the tasks that deliver them, to be enqueued.

    `job` is the one whose hold has made them.
    """
    for cap in alerts.caps:
        event = SPEND_CAPS if alerts.project_id is None else PROJECT_SPEND_CAPS
        services.count_event(job.job_type, event, services.clock.now())
        log.warning(
            "most of the %s cap of %s is spent: %d of %d credits",
            cap.name,
            "a user" if alerts.project_id is None else f"project {alerts.project_id}",
            cap.spent,
            cap.limit,
            extra={
                "action": "spend_alert",
                "user_id": alerts.user_id,
                "project_id": alerts.project_id,
                **describe_cap(cap),
            },
        )
    return [build_delivery_task(delivery) for delivery in alerts.deliveries]


def describe_cap(cap: SpendCap) -> dict[str, object]:
    """The facts of a cap, as webhooks and logs have them."""
    return {
        "cap": cap.name,
        "period": cap.period,
        "limit": cap.limit,
        "spent": cap.spent,
        "resetsAt": cap.resets_at,
    }


def _build_delivery(
    user_id: str, endpoint_id: str, cap: SpendCap, at: datetime, project_id: str | None = None
) -> WebhookDelivery:
    # The id is the same however often a transaction runs; a cap that was raised alerts again.
    named = f"{cap.period} {cap.limit}"
    of_project = {} if project_id is None else {"projectId": project_id}
    if project_id is not None:
        named += f" {project_id}"
    delivery_id = hashed_delivery_id(user_id, SPEND_ALERT_EVENT, named, endpoint_id)
    return WebhookDelivery(
        delivery_id=delivery_id,
        endpoint_id=endpoint_id,
        user_id=user_id,
        event=SPEND_ALERT_EVENT,
        occurred_at=at,
        data={"userId": user_id, **of_project, **describe_cap(cap)},
        next_try_at=at,
        wake_at=at + WAKE_AFTER,
        wake_shard=find_wake_shard(delivery_id, WAKE_SHARDS),
        created_at=at,
        updated_at=at,
        expire_at=at + DELIVERY_RETENTION,
    )
