"""The deliveries of one job's events."""

from __future__ import annotations

import asyncio

from taskreel.app.services import Services
from taskreel.domain.client_webhook import WebhookDelivery
from taskreel.domain.errors import UnreadableDocumentError
from taskreel.domain.ids import hashed_delivery_id
from taskreel.domain.job import Job
from taskreel.store_collections import WEBHOOK_DELIVERIES

#: The newest changes of a job's status whose deliveries are read.
_MOST_CHANGES = 25


async def find_job_deliveries(services: Services, job: Job) -> list[WebhookDelivery]:
    """The deliveries of the job's newest events, oldest first.

    Their ids follow from the change of status and the endpoint, so no index is needed: one read
    for each change that an endpoint wants.
    """
    ids = [
        hashed_delivery_id(job.job_id, f"{change.status} {change.at.isoformat()}", one.endpoint_id)
        for change in job.history[-_MOST_CHANGES:]
        for one in job.webhooks
        if one.wants(f"job.{change.status.lower()}")
    ]
    found = await asyncio.gather(*(_load(services, id_) for id_ in dict.fromkeys(ids)))
    return sorted((one for one in found if one is not None), key=lambda one: one.created_at)


async def _load(services: Services, id_: str) -> WebhookDelivery | None:
    try:
        return await services.store.get(WEBHOOK_DELIVERIES, id_)
    except UnreadableDocumentError:
        return None
