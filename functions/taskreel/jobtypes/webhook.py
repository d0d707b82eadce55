"""One signed message of the caller's own, sent to an address of theirs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import Field

from taskreel.domain.retry_policy import RetryPolicy
from taskreel.domain.webhook_events import SENDER
from taskreel.jobtypes.job_type import JobType, Unit
from taskreel.jobtypes.queue_limits import WEBHOOK_LIMITS
from taskreel.jobtypes.submission import Submission
from taskreel.ports import Capability


class Webhook(Submission):
    """`{webhookUrl, payload}`: `payload` is posted to `webhookUrl` as JSON.

    It is signed as Standard Webhooks are, with the keys of `GET
    /api/webhook-endpoints/default/keys`. With `dependsOn`, or in a pipeline, it may contain results
    of other jobs. The address gets the message, and no events of the job.
    """

    webhook_url: str = Field(
        min_length=1, max_length=2000, description="The address that gets the message."
    )
    message: dict[str, Any] = Field(
        alias="payload", description="The message: a JSON object of your own."
    )
    retry_count: int | None = Field(default=None, exclude=True, description="Ignored.")


def _build_units(job: Webhook) -> tuple[Unit, ...]:
    params = {"url": job.webhook_url, "message": job.message}
    # A message is no generation: it costs nothing, and is limited as every write is.
    return (
        Unit(
            capability=Capability.WEBHOOK, params=params, credits=0, name="answer", provider=SENDER
        ),
    )


WEBHOOK = JobType(
    name="webhook",
    summary="A signed message to an address of yours",
    submission=Webhook,
    capability=Capability.WEBHOOK,
    units=_build_units,
    # Bee-queue's five retries: six attempts.
    retry=RetryPolicy(max_attempts=6, min_backoff_seconds=1.0),
    timeout=timedelta(seconds=30),
    queue=WEBHOOK_LIMITS,
    example={
        "webhookUrl": "https://example.com/hooks",
        "payload": {"event": "film.published", "film": 17},
    },
)
