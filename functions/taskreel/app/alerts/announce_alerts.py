"""Check the conditions of alerts at the end of a sweep, and announce what has changed.

The stored state decides what is announced, in the commit that stores the message: of two sweeps at
once the second finds it announced. The message is a webhook's delivery, with its lease and its
tries. The sweep's own process makes the first try, because an alert may be that no other runs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from msgspec.structs import replace

from taskreel.app.alerts.findings import Reading, find_conditions, find_late_sweep
from taskreel.app.alerts.message import build_alert_body, build_test_body
from taskreel.app.audit_entries import record_admin_act
from taskreel.app.caller import Caller
from taskreel.app.jobs.enqueue import enqueue_tasks
from taskreel.app.messages.job_events import build_delivery_task
from taskreel.app.query_pages import WAKE_SHARDS
from taskreel.app.services import OperatorAlerts, Services
from taskreel.app.webhooks.sending import process_delivery_task
from taskreel.domain.alerts import (
    ALERT_STATE,
    REMINDED_AFTER,
    ActiveAlert,
    AlertKind,
    AlertState,
    AlertThresholds,
    Announcement,
    Change,
    Finding,
)
from taskreel.domain.client_webhook import (
    DELIVERY_RETENTION,
    WAKE_AFTER,
    WebhookAnswer,
    WebhookDelivery,
)
from taskreel.domain.errors import ConflictError, StoreError, UnreadableDocumentError
from taskreel.domain.ids import find_wake_shard, hashed_delivery_id, random_id
from taskreel.domain.webhook_events import MessageForm
from taskreel.ports import SendWebhook, Store, Transaction, WebhookMessage
from taskreel.store_collections import ALERTS, WEBHOOK_DELIVERIES

log = logging.getLogger(__name__)

#: The endpoint of alerts' deliveries, and the user: no id of either begins so (`domain.ids`).
_RECEIVER = "operators:alerts"
_EVENT = "operators.alert"
#: A state in which nothing has changed is written so often, for the time of the last sweep.
_WRITTEN_EVERY = timedelta(seconds=100)
#: A check that takes longer is given up: the sweep does not wait for it.
_CHECK_SECONDS = 20.0
#: The time for storing that a sweep has ended, where its check was given up.
_NOTE_SECONDS = 5.0

#: The next state, and what is to be announced.
_Step = tuple[AlertState, tuple[Announcement, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertReport:
    """The alerts that are active, and where they are announced."""

    active: tuple[ActiveAlert, ...]
    swept_at: datetime | None
    #: The host of ALERT_WEBHOOK_URL, which itself is a secret; None without it.
    receiver: str | None
    thresholds: AlertThresholds


async def check_alerts(services: Services, overdue_seconds: float) -> None:
    """Check the conditions after a sweep that has used the store. Raises nothing.

    `overdue_seconds`: how long its most overdue job had been due.
    """
    alerts = services.alerts
    now = services.clock.now()
    if alerts is None or not alerts.is_due(alerts.checked_at, now):
        return
    alerts.checked_at = now
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            await _announce_store_again(services, alerts)
            state = alerts.discount_absence(await _load_state(services.store))
            reading = await find_conditions(
                services, state, _read_limits(alerts), overdue_seconds=overdue_seconds, now=now
            )
            await _advance_after_sweep(services, alerts, reading, now)
    except (StoreError, TimeoutError) as error:
        log.warning(
            "the conditions of alerts could not be checked; the next sweep does so",
            extra={"action": "alerts_unchecked", "error": str(error)},
        )
        await _note_sweep(services, now)
    except Exception:
        log.exception("the check of alerts crashed", extra={"action": "alerts_crashed"})
        await _note_sweep(services, now)


async def _load_state(reader: Store | Transaction) -> AlertState:
    """The stored state; an empty one for one that cannot be read: the next commit replaces it."""
    try:
        return await reader.get(ALERTS, ALERT_STATE) or AlertState()
    except UnreadableDocumentError:
        log.exception(
            "the state of the alerts cannot be read and is replaced",
            extra={
                "action": "document_unreadable",
                "collection": ALERTS.name,
                "document_id": ALERT_STATE,
            },
        )
        return AlertState()


async def _note_sweep(services: Services, now: datetime) -> None:
    """Store that a sweep has ended although its check failed: it is not late. Raises nothing."""

    async def write(tx: Transaction) -> None:
        state = await _load_state(tx)
        tx.set(ALERTS, ALERT_STATE, state.model_copy(update={"swept_at": now}))

    with suppress(StoreError, TimeoutError):
        async with asyncio.timeout(_NOTE_SECONDS):
            await services.store.transaction(write)


def _read_limits(alerts: OperatorAlerts) -> AlertThresholds:
    return AlertThresholds.model_validate(alerts.thresholds)


async def announce_late_sweep(services: Services) -> None:
    """Announce that no sweep has ended for long, from a process that is not the sweep's.

    Raises StoreError.
    """
    alerts = services.alerts
    if alerts is None:
        return
    now = services.clock.now()
    state = alerts.discount_absence(await _load_state(services.store))
    finding = find_late_sweep(state, _read_limits(alerts), now)
    if finding is None:
        return
    delivery = await _advance_lateness(services, alerts, finding, now)
    if delivery is not None:
        # No sweep would find the message, should this process end before it is sent.
        task = replace(build_delivery_task(delivery), at=now + WAKE_AFTER)
        await enqueue_tasks(services, [task])


async def _advance_after_sweep(
    services: Services, alerts: OperatorAlerts, reading: Reading, now: datetime
) -> None:
    """Store the state after a sweep, which has checked every condition."""

    def advance(before: AlertState) -> _Step:
        state, announced = before.advance(reading.findings, now)
        changes = {
            "swept_at": now,
            "checked_up_to": reading.checked_up_to,
            "wrong_accounts": reading.wrong_accounts,
        }
        return state.model_copy(update=changes), announced

    await _store_step(services, alerts, advance, now)


async def _advance_lateness(
    services: Services, alerts: OperatorAlerts, finding: Finding, now: datetime
) -> WebhookDelivery | None:
    """Store that the sweep is late; the other alerts stay as they are. Returns the message."""

    def advance(before: AlertState) -> _Step:
        late = [one for one in before.active if one.kind is AlertKind.SWEEP_LATE]
        if late and now - late[0].announced_at < REMINDED_AFTER:
            return before, ()
        others = [one for one in before.active if one.kind is not AlertKind.SWEEP_LATE]
        alone = before.model_copy(update={"active": tuple(late)})
        found, announced = alone.advance((finding,), now)
        return before.model_copy(update={"active": (*others, *found.active)}), announced

    return await _store_step(services, alerts, advance, now)


async def _store_step(
    services: Services,
    alerts: OperatorAlerts,
    advance: Callable[[AlertState], _Step],
    now: datetime,
) -> WebhookDelivery | None:
    """Store the next state and its message in one commit, and make the message's first try."""

    async def write(tx: Transaction) -> tuple[tuple[Announcement, ...], WebhookDelivery | None]:
        before = await _load_state(tx)
        state, announced = advance(before)
        delivery = _build_delivery(services, alerts, announced, now)
        if announced or _is_worth_a_write(before, state):
            tx.set(ALERTS, ALERT_STATE, state)
        if delivery is not None:
            tx.create(WEBHOOK_DELIVERIES, delivery.delivery_id, delivery)
        return announced, delivery

    announced, delivery = await services.store.transaction(write)
    _log_changes(announced)
    if delivery is not None:
        _start_send(services, alerts, delivery.delivery_id)
    return delivery


def _is_worth_a_write(before: AlertState, state: AlertState) -> bool:
    if state == before:
        return False
    if before.swept_at is None or state.swept_at is None:
        return True
    if state.swept_at - before.swept_at >= _WRITTEN_EVERY:
        return True
    unchanged = before.model_copy(update={"swept_at": state.swept_at})
    return unchanged != state


def _build_delivery(
    services: Services, alerts: OperatorAlerts, announced: Sequence[Announcement], now: datetime
) -> WebhookDelivery | None:
    """The message of what is announced; None without any, or without a receiver."""
    if not announced or alerts.url is None:
        return None
    names = [f"{one.change} {one.alert.kind} {one.alert.subject}" for one in announced]
    delivery_id = hashed_delivery_id(_RECEIVER, now.isoformat(), *names)
    return WebhookDelivery(
        delivery_id=delivery_id,
        endpoint_id=_RECEIVER,
        user_id=_RECEIVER,
        event=_EVENT,
        form=MessageForm.SLACK,
        occurred_at=now,
        data={},
        body=build_alert_body(alerts.url, announced, now, services.rules.api_base_url),
        next_try_at=now,
        wake_at=now + WAKE_AFTER,
        wake_shard=find_wake_shard(delivery_id, WAKE_SHARDS),
        created_at=now,
        updated_at=now,
        expire_at=now + DELIVERY_RETENTION,
    )


def _log_changes(announced: Sequence[Announcement]) -> None:
    for one in announced:
        level = logging.INFO if one.change is Change.ENDED else logging.WARNING
        log.log(
            level,
            "alert %s: %s %s",
            one.change,
            one.alert.kind,
            one.alert.subject,
            extra={
                "action": "alert_changed",
                "change": str(one.change),
                "alert": str(one.alert.kind),
                "subject": one.alert.subject,
                "reason": one.alert.text,
            },
        )


def _start_send(services: Services, alerts: OperatorAlerts, delivery_id: str) -> None:
    """Make the first try beside the sweep; a try that is lost is repeated by a task."""

    async def send() -> None:
        try:
            await process_delivery_task(services, delivery_id)
        except Exception:
            log.warning(
                "an alert could not be sent; a task tries again",
                exc_info=True,
                extra={"action": "alert_unsent", "delivery_id": delivery_id},
            )

    alerts.start_send(send())


# ── Without the store ────────────────────────────────────────────────────────────────────────────


async def announce_store_lost(services: Services, error: StoreError) -> None:
    """Announce that the store cannot be used, every few hours of it. Raises nothing.

    Nothing can be stored, so this process alone decides: each of several announces it once.
    """
    alerts = services.alerts
    if alerts is None:
        return
    now = services.clock.now()
    alerts.store_lost_at = alerts.store_lost_at or now
    last = alerts.store_announced_at
    if last is not None and now - last < REMINDED_AFTER:
        return
    # A message that is refused is in no document, so that a later sweep has to send it again.
    if not alerts.is_due(alerts.store_tried_at, now):
        return
    alerts.store_tried_at = now
    change = Change.BEGUN if last is None else Change.LASTS
    alert = _build_store_alert(alerts.store_lost_at, now, error.message)
    await _post_unstored(services, alerts, Announcement(change, alert), now)


async def _announce_store_again(services: Services, alerts: OperatorAlerts) -> None:
    """Announce that the store can be used again, if this process has announced the contrary."""
    since = alerts.store_lost_at
    if since is not None and alerts.store_tried_at is not None:
        now = services.clock.now()
        announced = Announcement(Change.ENDED, _build_store_alert(since, now, ""))
        _log_changes([announced])
        delivery = _build_delivery(services, alerts, [announced], now)
        if delivery is not None:
            await _store_delivery(services, delivery)
            _start_send(services, alerts, delivery.delivery_id)
    alerts.store_lost_at = alerts.store_announced_at = alerts.store_tried_at = None


async def _store_delivery(services: Services, delivery: WebhookDelivery) -> None:
    async def write(tx: Transaction) -> None:
        tx.create(WEBHOOK_DELIVERIES, delivery.delivery_id, delivery)

    await services.store.transaction(write)


def _build_store_alert(since: datetime, now: datetime, text: str) -> ActiveAlert:
    return ActiveAlert(
        kind=AlertKind.STORE_UNREACHABLE, text=text, since=since, seen_at=now, announced_at=now
    )


async def _post_unstored(
    services: Services, alerts: OperatorAlerts, announced: Announcement, now: datetime
) -> None:
    """Post the message beside the sweep; what the receiver has taken counts as announced."""
    _log_changes([announced])
    url, sender = alerts.url, alerts.sender
    if url is None or sender is None:
        alerts.store_announced_at = now
        return
    body = build_alert_body(url, [announced], now, services.rules.api_base_url)

    async def post() -> None:
        answer = await _post_message(services, sender, url, body)
        if answer.succeeded and alerts.store_lost_at is not None:
            alerts.store_announced_at = now

    alerts.start_send(post())


async def _post_message(
    services: Services, sender: SendWebhook, url: str, body: str
) -> WebhookAnswer:
    """Post a message once. What it says is in no document, so it does not wait for the store."""
    id_ = f"msg_{random_id(services.random)}"
    message = WebhookMessage(url=url, id=id_, body=body, at=services.clock.now(), keys=())
    answer = await sender.send(message)
    if not answer.succeeded:
        log.warning(
            "an alert was refused: %s",
            answer.status or answer.error,
            extra={"action": "alert_refused", "status": answer.status},
        )
    return answer


# ── For operators ────────────────────────────────────────────────────────────────────────────────


async def read_alerts(services: Services) -> AlertReport:
    """The active alerts, with a late sweep as it is now. Raises StoreError."""
    alerts = services.alerts or OperatorAlerts()
    now = services.clock.now()
    limits = _read_limits(alerts)
    state = await _load_state(services.store)
    watched = alerts.discount_absence(state)
    active = [one for one in state.active if one.kind != AlertKind.SWEEP_LATE]
    late = find_late_sweep(watched, limits, now)
    if late is not None and watched.swept_at is not None:
        since = watched.swept_at
        active.insert(
            0,
            ActiveAlert(
                kind=late.kind, text=late.text, since=since, seen_at=now, announced_at=since
            ),
        )
    return AlertReport(
        active=tuple(active),
        swept_at=state.swept_at,
        receiver=_find_host(alerts.url),
        thresholds=limits,
    )


def _find_host(url: str | None) -> str | None:
    return urlsplit(url).hostname if url else None


async def send_test_alert(services: Services, caller: Caller) -> WebhookAnswer:
    """Post a test message now, for an admin. Raises ConflictError without ALERT_WEBHOOK_URL."""
    alerts = services.alerts
    if alerts is None or alerts.url is None or alerts.sender is None:
        raise ConflictError(
            "No alert can be sent: ALERT_WEBHOOK_URL is not set. Set it to the address of an "
            "incoming webhook (Slack, Mattermost, Discord with /slack, Google Chat)."
        )
    body = build_test_body(alerts.url, services.clock.now(), services.rules.api_base_url)

    host = _find_host(alerts.url) or ""

    async def record(tx: Transaction) -> None:
        record_admin_act(services, tx, caller, "test alert sent", subject=host, owner=None)

    await services.store.transaction(record)
    return await _post_message(services, alerts.sender, alerts.url, body)
