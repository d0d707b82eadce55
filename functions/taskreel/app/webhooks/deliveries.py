"""Deliveries of webhooks for their owners: list, read, send again, and a test event."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from taskreel.app.audit_entries import record_admin_act
from taskreel.app.caller import Caller
from taskreel.app.jobs.enqueue import enqueue_tasks
from taskreel.app.jobs.queries import Page, decode_cursor, query_page
from taskreel.app.messages.job_events import build_delivery_task
from taskreel.app.query_pages import read_pages, read_value
from taskreel.app.services import Services
from taskreel.domain.client_webhook import (
    DELIVERY_RETENTION,
    WAKE_AFTER,
    DeliveryState,
    WebhookDelivery,
    WebhookEndpoint,
)
from taskreel.domain.errors import ConflictError, NotFoundError
from taskreel.domain.ids import random_delivery_id
from taskreel.domain.webhook_events import TEST_EVENT
from taskreel.ports import Operator, Query, Row, Transaction
from taskreel.store_collections import WEBHOOK_DELIVERIES

#: A request sends at most so many deliveries again.
MOST_SENT_AGAIN = 1000
_LONGEST_ID = 100
_PAGE = 100


def build_notice(
    services: Services, endpoint: WebhookEndpoint, event: str, data: dict[str, Any]
) -> WebhookDelivery:
    """The delivery of an event that is not a job's."""
    now = services.clock.now()
    return WebhookDelivery(
        delivery_id=random_delivery_id(services.random),
        endpoint_id=endpoint.endpoint_id,
        user_id=endpoint.user_id,
        event=event,
        occurred_at=now,
        data=data,
        next_try_at=now,
        wake_at=now + WAKE_AFTER,
        wake_shard=services.random.randrange(services.rules.wake_shards),
        created_at=now,
        updated_at=now,
        expire_at=now + DELIVERY_RETENTION,
    )


async def send_test(
    services: Services, caller: Caller, endpoint: WebhookEndpoint
) -> WebhookDelivery:
    """Send a `webhook.test` event to the endpoint, whatever its events are."""
    if endpoint.url is None:
        raise ConflictError(
            "The default endpoint has no address of its own: submit a job with webhookUrl."
        )
    data = {"endpointId": endpoint.endpoint_id, "message": "This is a test."}
    delivery = build_notice(services, endpoint, TEST_EVENT, data)

    async def create(tx: Transaction) -> None:
        tx.create(WEBHOOK_DELIVERIES, delivery.delivery_id, delivery)
        action, subject = "webhook test sent", endpoint.endpoint_id
        record_admin_act(services, tx, caller, action, subject=subject, owner=endpoint.user_id)

    await services.store.transaction(create)
    await enqueue_tasks(services, [build_delivery_task(delivery)])
    return delivery


async def list_deliveries(
    services: Services,
    endpoint: WebhookEndpoint,
    *,
    state: DeliveryState | None,
    limit: int,
    cursor: str | None,
) -> Page[WebhookDelivery]:
    """The deliveries to an endpoint, newest first."""
    query = _query_deliveries(endpoint, state)
    query = replace(query, after=decode_cursor(cursor) if cursor else None)
    return await query_page(services, query, limit=limit)


async def find_delivery(services: Services, caller: Caller, id_: str) -> WebhookDelivery:
    """The delivery, if there is one that the caller may see. Raises NotFoundError."""
    found = None
    if len(id_) <= _LONGEST_ID:
        found = await services.store.get(WEBHOOK_DELIVERIES, id_)
    if found is None or not (caller.admin or found.user_id == caller.user_id):
        raise NotFoundError(f"There is no webhook delivery {id_} that you may see.")
    return found


async def send_again(services: Services, caller: Caller, id_: str) -> WebhookDelivery:
    """Send a delivery that has ended once more, with the same id and body.

    One that is still pending is tried now. Raises NotFoundError, and ConflictError while a try is
    under way.
    """

    async def write(tx: Transaction) -> WebhookDelivery:
        delivery = await tx.get(WEBHOOK_DELIVERIES, id_)
        if delivery is None:
            raise NotFoundError(f"There is no webhook delivery {id_} any more.")
        now = services.clock.now()
        if delivery.lease_until is not None and delivery.lease_until > now:
            raise ConflictError("This delivery is being sent at this moment.")
        again = delivery.send_again(now)
        tx.set(WEBHOOK_DELIVERIES, id_, again)
        owner = delivery.user_id
        record_admin_act(services, tx, caller, "webhook sent again", subject=id_, owner=owner)
        return again

    again = await services.store.transaction(write)
    await enqueue_tasks(services, [build_delivery_task(again)])
    return again


async def send_range_again(
    services: Services,
    caller: Caller,
    endpoint: WebhookEndpoint,
    *,
    state: DeliveryState | None,
    since: datetime,
    until: datetime | None,
) -> dict[str, int]:
    """Send the deliveries again that were made in a range of time: the numbers sent and skipped.

    Pending ones are skipped, and those that cannot be read. Stops after MOST_SENT_AGAIN; `more` is
    1 if there are others.
    """
    counts: Counter[str] = Counter(sent=0, skipped=0, more=0)
    query = replace(_query_deliveries(endpoint, state), limit=_PAGE)
    where = [*query.where, ("createdAt", ">=", since)]
    if until is not None:
        where.append(("createdAt", "<=", until))
    query = replace(query, where=tuple(where))

    async def record(tx: Transaction) -> None:
        action, subject = "webhooks sent again", endpoint.endpoint_id
        record_admin_act(services, tx, caller, action, subject=subject, owner=endpoint.user_id)

    if caller.admin:
        await services.store.transaction(record)
    bulk = replace(caller, in_bulk=True)
    async for rows in read_pages(services.store, query):
        for row in rows:
            if counts["sent"] >= MOST_SENT_AGAIN:
                counts["more"] = 1
                return dict(counts)
            is_sent = await _send_again_if_ended(services, bulk, row)
            counts["sent" if is_sent else "skipped"] += 1
    return dict(counts)


async def _send_again_if_ended(
    services: Services, caller: Caller, row: Row[WebhookDelivery]
) -> bool:
    """Send the delivery again; False for one that has not ended, has gone, or cannot be read."""
    delivery = read_value(row)
    if delivery is None or delivery.state not in {DeliveryState.SUCCEEDED, DeliveryState.FAILED}:
        return False
    try:
        await send_again(services, caller, row.id)
    except (ConflictError, NotFoundError):  # a try has begun, or it was removed since
        return False
    return True


def _query_deliveries(
    endpoint: WebhookEndpoint, state: DeliveryState | None
) -> Query[WebhookDelivery]:
    where: list[tuple[str, Operator, Any]] = [("endpointId", "==", endpoint.endpoint_id)]
    if state is not None:
        where.append(("state", "==", str(state)))
    return Query(
        collection=WEBHOOK_DELIVERIES,
        where=tuple(where),
        order=(("createdAt", "desc"),),
    )
