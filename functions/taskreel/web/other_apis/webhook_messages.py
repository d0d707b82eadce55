"""Messages to the webhooks that fal's and Replicate's clients name, as those services send them.

They are signed as all webhooks are, by Standard Webhooks, which is how Replicate's clients verify
them; those for fal's also as fal signs.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from taskreel.app.services import Services
from taskreel.domain.client_webhook import WebhookDelivery
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.webhook_events import MessageForm
from taskreel.web.fal_webhook_keys import FalWebhookKeys
from taskreel.web.file_links import FileLinks
from taskreel.web.other_apis.fal_request import build_result, describe_failure
from taskreel.web.other_apis.replicate_prediction import (
    PredictionLinks,
    build_prediction,
    build_removed_prediction,
)

_REMOVED = "The job was removed before this message was made."


async def render_message(
    services: Services, links: FileLinks, delivery: WebhookDelivery, job: Job | None
) -> dict[str, Any]:
    """The message of the delivery. The job is None when it has been removed."""
    status = Status(delivery.data["status"])
    if delivery.form is MessageForm.FAL:
        return await _render_for_fal(services, delivery, job, status)
    if job is None:
        return build_removed_prediction(delivery.data["jobId"], status)
    # A job may have gone on since: the message shows the state that it is about.
    shown = job.model_copy(update={"status": status}) if not status.final else job
    made = PredictionLinks(links, services, job)
    return build_prediction(shown, services.rules.api_base_url, made)


def sign_message(
    link_keys: Sequence[str], delivery: WebhookDelivery, body: str, at: datetime
) -> dict[str, str]:
    """The headers by which the other service's clients verify a try; Replicate has none."""
    if delivery.form is not MessageForm.FAL:
        return {}
    keys = FalWebhookKeys(link_keys)
    return keys.sign(delivery.data["jobId"], delivery.user_id, at, body)


async def _render_for_fal(
    services: Services, delivery: WebhookDelivery, job: Job | None, status: Status
) -> dict[str, Any]:
    id_ = delivery.data["jobId"]
    message: dict[str, Any] = {"request_id": id_, "gateway_request_id": id_}
    if job is None:
        word = "OK" if status is Status.COMPLETED else "ERROR"
        return {**message, "status": word, "payload": None, "payload_error": _REMOVED}
    failure = describe_failure(job)
    if failure is None:
        return {**message, "status": "OK", "payload": await build_result(services, job)}
    _, code, text = failure
    payload = {"detail": text, "error_type": code}
    return {**message, "status": "ERROR", "error": text, "payload": payload}
