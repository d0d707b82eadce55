"""Send a delivery: claim it, send its body once, record the answer; and rescue lost ones.

At least once: a try whose answer could not be recorded is repeated, with the same `webhook-id`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic_core import to_json

from taskreel.app.jobs.enqueue import enqueue_tasks
from taskreel.app.jobs.job_store import load_job
from taskreel.app.messages.job_events import build_delivery_task
from taskreel.app.query_pages import build_due_query, read_pages
from taskreel.app.services import Services
from taskreel.app.webhooks.deliveries import build_notice
from taskreel.app.webhooks.endpoints import open_own_endpoint
from taskreel.domain.client_webhook import (
    DISABLED_AFTER,
    WAKE_AFTER,
    DeliveryState,
    EndpointState,
    WebhookAnswer,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEndpointChanges,
)
from taskreel.domain.errors import StoreError
from taskreel.domain.ids import own_endpoint_id
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.unit import CLOCK_TOLERANCE
from taskreel.domain.value import is_known
from taskreel.domain.webhook_events import ANSWER_SECONDS, DISABLED_EVENT
from taskreel.ports import Transaction, WebhookMessage
from taskreel.store_collections import ACCOUNTS, WEBHOOK_DELIVERIES, WEBHOOK_ENDPOINTS

log = logging.getLogger(__name__)

#: A try holds its delivery for as long as it may take, and a little longer to record its answer.
_LEASE = timedelta(seconds=ANSWER_SECONDS + 20)
#: A delivery that only a newer revision can make is tried again then: a rollout takes minutes.
_LEFT_TO_NEWER = timedelta(minutes=10)
_PAGE = 100
#: A message has less than 20 kB; the other files are in the job's result.
_MOST_FILES = 10


@dataclass(frozen=True, slots=True)
class _Try:
    """A claimed delivery, and the endpoint whose keys sign it."""

    delivery: WebhookDelivery
    endpoint: WebhookEndpoint
    url: str
    body: str


async def process_delivery_task(services: Services, delivery_id: str) -> bool:
    """Make the delivery's next try, if it is due; False while another try is under way."""
    store = services.store
    delivery = await store.get(WEBHOOK_DELIVERIES, delivery_id)
    if delivery is None or delivery.state is not DeliveryState.PENDING:
        return True
    body = delivery.body or ""
    if not body and _knows_form(delivery):
        body = await _render_body(services, delivery)
    claimed = await store.transaction(lambda tx: _claim(services, tx, delivery_id, body))
    if isinstance(claimed, bool):
        return claimed
    if isinstance(claimed, WebhookDelivery):
        await enqueue_tasks(services, [build_delivery_task(claimed)])
        return True

    now = services.clock.now()
    message = WebhookMessage(
        url=claimed.url,
        id=delivery_id,
        body=claimed.body,
        at=now,
        keys=claimed.endpoint.known_keys(now),
        headers=_sign_as_other_service(services, claimed, now),
    )
    await _record(services, claimed, await services.webhooks.send(message))
    return True


def _sign_as_other_service(services: Services, made: _Try, now: datetime) -> Mapping[str, str]:
    """The headers of another service's signature, beside that of Standard Webhooks."""
    if made.delivery.form is None:
        return {}
    return services.sign_message(made.delivery, made.body, now)


def _knows_form(delivery: WebhookDelivery) -> bool:
    return delivery.form is None or is_known(delivery.form)


def _find_pause(
    services: Services, delivery: WebhookDelivery, endpoint: WebhookEndpoint | None, now: datetime
) -> datetime | None:
    """The time of the next try of a delivery that cannot be sent now; None for any other.

    Its endpoint rests, or its form, its endpoint's state or all keys are of a newer revision.
    """
    if not _knows_form(delivery):
        return now + _LEFT_TO_NEWER
    if endpoint is None:
        return None
    if not is_known(endpoint.state):
        return now + _LEFT_TO_NEWER
    if not endpoint.known_keys(now) and not delivery.is_alert:
        return now + _LEFT_TO_NEWER
    is_enabled = endpoint.state is EndpointState.ENABLED
    if is_enabled and endpoint.resting_until is not None and endpoint.resting_until > now:
        # The random part spreads what waits for the same end.
        return endpoint.resting_until + timedelta(seconds=services.random.uniform(0, 10))
    return None


async def _claim(
    services: Services, tx: Transaction, delivery_id: str, body: str
) -> _Try | WebhookDelivery | bool:
    """Claim the delivery for a try.

    A delivery instead when its endpoint rests until later, or only a newer revision can send it,
    which is asked again then; True when nothing is to be done, False
    while another try holds it.
    """
    delivery = await tx.get(WEBHOOK_DELIVERIES, delivery_id)
    if delivery is None or delivery.state is not DeliveryState.PENDING:
        return True
    now = services.clock.now()
    if delivery.lease_until is not None and delivery.lease_until > now:
        return False
    if delivery.next_try_at is not None and delivery.next_try_at > now + CLOCK_TOLERANCE:
        return True  # an old task: the newer one comes at its time

    endpoint = await _find_endpoint(services, tx, delivery)
    url = delivery.url or (endpoint.url if endpoint else None)
    later = _find_pause(services, delivery, endpoint, now)
    if later is not None:
        # No try is counted.
        waiting = delivery.wait_until(later, now)
        tx.set(WEBHOOK_DELIVERIES, delivery_id, waiting)
        return waiting
    problem = None
    if delivery.is_alert and url is None:
        problem = "ALERT_WEBHOOK_URL is not set in the service that sends messages."
    elif endpoint is None or url is None:
        problem = "The endpoint has been deleted."
    elif endpoint.state is not EndpointState.ENABLED:
        problem = "The endpoint is disabled."
    if endpoint is None or url is None or problem is not None:
        tx.set(
            WEBHOOK_DELIVERIES,
            delivery_id,
            delivery.finish(DeliveryState.FAILED, problem, now),
        )
        return True
    # The lease is the fence: who records an answer must still hold it.
    lease_until = now + _LEASE
    claimed = delivery.with_changes(
        now,
        attempt=delivery.attempt + 1,
        body=delivery.body or body,
        lease_until=lease_until,
        wake_at=lease_until + WAKE_AFTER,
    )
    tx.set(WEBHOOK_DELIVERIES, delivery_id, claimed)
    return _Try(claimed, endpoint, url, claimed.body or body)


async def _find_endpoint(
    services: Services, tx: Transaction, delivery: WebhookDelivery
) -> WebhookEndpoint | None:
    """The endpoint with the address and the keys of a delivery; None when it is gone."""
    if delivery.is_alert:
        # Its address is a secret of the settings, so that no document has it. Nothing is signed.
        return WebhookEndpoint(
            endpoint_id=delivery.endpoint_id,
            user_id=delivery.user_id,
            url=services.alerts.url if services.alerts else None,
            signing_keys=(),
            created_at=delivery.created_at,
            updated_at=delivery.created_at,
        )
    if delivery.endpoint_id == own_endpoint_id(delivery.user_id):
        return await open_own_endpoint(tx, delivery.user_id, services.clock, services.random)
    return await tx.get(WEBHOOK_ENDPOINTS, delivery.endpoint_id)


async def _record(services: Services, made: _Try, answer: WebhookAnswer) -> None:
    """Record the answer with the delivery, and what it says of the endpoint."""
    notices: list[WebhookDelivery] = []

    async def write(tx: Transaction) -> WebhookDelivery | None:
        notices.clear()
        delivery = await tx.get(WEBHOOK_DELIVERIES, made.delivery.delivery_id)
        if delivery is None or delivery.lease_until != made.delivery.lease_until:
            return None
        now = services.clock.now()
        recorded = delivery.record_try(answer, delivery.hide_address(made.url), now)
        tx.set(WEBHOOK_DELIVERIES, recorded.delivery_id, recorded)
        # A job's own address says nothing of the keys that sign for all such addresses; that of
        # alerts is in no document.
        if delivery.url is None and not delivery.is_alert:
            notices.extend(await _judge_endpoint(services, tx, made.endpoint, answer, now))
        return recorded

    recorded = await services.store.transaction(write)
    if recorded is None:
        return
    pending = [recorded] if recorded.state is DeliveryState.PENDING else []
    await enqueue_tasks(services, [build_delivery_task(one) for one in [*pending, *notices]])
    log.info(
        "a webhook was tried: %s",
        answer.status or answer.error,
        extra={
            "action": "webhook_sent",
            "delivery_id": recorded.delivery_id,
            "endpoint_id": recorded.endpoint_id,
            "job_id": recorded.job_id,
            "state": str(recorded.state),
            "attempt": recorded.attempt,
            "status": answer.status,
            "milliseconds": answer.milliseconds,
        },
    )


async def _judge_endpoint(
    services: Services,
    tx: Transaction,
    seen: WebhookEndpoint,
    answer: WebhookAnswer,
    now: datetime,
) -> list[WebhookDelivery]:
    """Change the endpoint where the answer changes something; the notices of its disabling.

    An endpoint that answers costs no write.
    """
    if answer.succeeded and seen.failing_since is None and seen.resting_until is None:
        return []
    endpoint = await tx.get(WEBHOOK_ENDPOINTS, seen.endpoint_id)
    if endpoint is None or endpoint.state is not EndpointState.ENABLED:
        return []
    rest = answer.find_rest()
    changes: WebhookEndpointChanges = {
        "failing_since": None if answer.succeeded else endpoint.failing_since or now,
        "resting_until": None if rest is None else now + rest,
    }
    changed = endpoint.with_changes(now, **changes)
    reason = None
    if answer.is_gone:
        reason = "It answered 410 Gone."
    elif changed.failing_since and now - changed.failing_since >= DISABLED_AFTER:
        reason = f"It has only failed for {DISABLED_AFTER.days} days."
    if reason is None:
        tx.set(WEBHOOK_ENDPOINTS, endpoint.endpoint_id, changed)
        return []
    disabled = changed.disable(reason, now)
    tx.set(WEBHOOK_ENDPOINTS, endpoint.endpoint_id, disabled)
    log.warning(
        "a webhook endpoint was disabled: tell its owner",
        extra={
            "action": "webhook_disabled",
            "endpoint_id": endpoint.endpoint_id,
            "user_id": endpoint.user_id,
            "reason": reason,
        },
    )
    return await _notify_others(services, tx, disabled)


async def _notify_others(
    services: Services, tx: Transaction, disabled: WebhookEndpoint
) -> list[WebhookDelivery]:
    """Take the endpoint out of the account, and tell the user's other endpoints of it."""
    account = await tx.get(ACCOUNTS, disabled.user_id)
    if account is None:
        return []
    others = tuple(one for one in account.webhooks if one.endpoint_id != disabled.endpoint_id)
    tx.set(ACCOUNTS, disabled.user_id, account.model_copy(update={"webhooks": others}))
    data = {
        "endpointId": disabled.endpoint_id,
        "url": disabled.url,
        "reason": disabled.disabled_reason,
    }
    notices = []
    for one in others:
        endpoint = await tx.get(WEBHOOK_ENDPOINTS, one.endpoint_id)
        if endpoint is not None and endpoint.state is EndpointState.ENABLED:
            notice = build_notice(services, endpoint, DISABLED_EVENT, data)
            tx.create(WEBHOOK_DELIVERIES, notice.delivery_id, notice)
            notices.append(notice)
    return notices


async def _render_body(services: Services, delivery: WebhookDelivery) -> str:
    """The message: `{type, timestamp, data}`; with links instead of large results.

    One that another service's client asked for has that service's form.
    """
    if delivery.form is not None:
        job = await load_job(services.store, delivery.job_id) if delivery.job_id else None
        return to_json(await services.render_message(services, delivery, job)).decode()
    data = dict(delivery.data)
    if delivery.job_id is not None:
        base = services.rules.api_base_url
        data["urls"] = {"self": f"{base}/api/jobs/{delivery.data['jobType']}/{delivery.job_id}"}
        if delivery.event == "job.completed":
            job = await load_job(services.store, delivery.job_id)
            if job is not None and job.status is Status.COMPLETED:
                data["artifacts"] = await _describe_files(services, job)
    body = {"type": delivery.event, "timestamp": delivery.occurred_at, "data": data}
    return to_json(body).decode()


async def _describe_files(services: Services, job: Job) -> list[dict[str, Any]]:
    """The first files, with URLs that expire; the job's own address has all, and new URLs."""
    lifetime = services.rules.signed_url_lifetime
    return [
        {
            "name": artifact.name,
            "contentType": artifact.content_type,
            "bytes": artifact.bytes,
            "sha256": artifact.sha256,
            "url": await services.blobs.signed_url(artifact.path, expires_in=lifetime),
        }
        for artifact in job.artifacts[:_MOST_FILES]
    ]


async def rescue_deliveries(services: Services) -> dict[str, int]:
    """Send another task for each delivery whose task is overdue; the number of them, by action.

    No delivery stops the others.
    """
    now = services.clock.now()
    counts: Counter[str] = Counter()
    due = build_due_query(WEBHOOK_DELIVERIES, now, page=_PAGE, shards=services.rules.wake_shards)
    async for rows in read_pages(services.store, due):
        for row in rows:
            counts[await _rescue_safely(services, row.id)] += 1
    return dict(counts)


async def _rescue_safely(services: Services, delivery_id: str) -> str:
    """`_rescue`, with every error logged instead of raised."""
    try:
        return await _rescue(services, delivery_id)
    except StoreError as error:
        log.warning(
            "a webhook's delivery could not be written; the next sweep tries again",
            extra={
                "action": "webhook_unwritten",
                "delivery_id": delivery_id,
                "error": str(error),
            },
        )
        return "webhook_unwritten"
    except Exception:
        log.exception(
            "a webhook's delivery could not be rescued: it needs an operator",
            extra={"action": "webhook_crashed", "delivery_id": delivery_id},
        )
        return "webhook_crashed"


async def _rescue(services: Services, delivery_id: str) -> str:
    async def write(tx: Transaction) -> WebhookDelivery | None:
        delivery = await tx.get(WEBHOOK_DELIVERIES, delivery_id)
        now = services.clock.now()
        if delivery is None or delivery.wake_at is None or delivery.wake_at > now:
            return None
        if not is_known(delivery.state):
            return None
        rescued = delivery.wait_until(max(now, delivery.next_try_at or now), now)
        tx.set(WEBHOOK_DELIVERIES, delivery_id, rescued)
        return rescued

    rescued = await services.store.transaction(write)
    if rescued is None:
        return "webhook_asleep"
    await enqueue_tasks(services, [build_delivery_task(rescued)])
    return "webhook_rescued"
