"""The events that webhooks get, the forms of their messages, and the subscriptions to them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field

from taskreel.domain.job_status import Status
from taskreel.domain.value import StoredValue, accept_unknown

#: The time that an endpoint has to answer.
ANSWER_SECONDS = 30.0
#: The events that a webhook gets unless it names others.
FINAL_EVENTS = ("job.completed", "job.failed", "job.cancelled", "job.expired")
#: The provider that sends the messages of `webhook` jobs; every deployment has it.
SENDER = "webhooks"
TEST_EVENT = "webhook.test"
DISABLED_EVENT = "webhook.disabled"
#: Most of a cap on the user's spend is spent.
SPEND_ALERT_EVENT = "credits.spend_alert"


class Signature(StrEnum):
    """The kinds of signatures of Standard Webhooks."""

    #: HMAC-SHA256 with a shared secret, `whsec_…`.
    HMAC = "v1"
    #: Ed25519 with a secret key, `whsk_…`, of which the receiver has the public half, `whpk_…`.
    ED25519 = "v1a"


class MessageForm(StrEnum):
    """The forms of messages of other services, whose clients named the webhook."""

    FAL = "fal"
    REPLICATE = "replicate"
    #: Alerts for operators: the body is made with the delivery, and the address is a setting.
    SLACK = "slack"


class WebhookSubscription(StoredValue):
    """The events of jobs that an endpoint gets. The account has it, and so has each job.

    A job has it from its submission on, so that its changes need no further reads.
    """

    endpoint_id: str
    events: tuple[str, ...]
    #: Only jobs of this project.
    project_id: str | None = None
    #: The address of one job's own webhook; None for an endpoint, which has its own.
    url: str | None = None
    #: None for this API's own `{type, timestamp, data}`.
    form: Annotated[MessageForm, accept_unknown(MessageForm)] | None = None

    def wants(self, event: str) -> bool:
        """True for an event that it lists, or that `*` or `job.*` stands for."""
        if event in self.events or "*" in self.events:
            return True
        return f"{event.partition('.')[0]}.*" in self.events


def list_wanted(
    subscriptions: Sequence[WebhookSubscription], project_id: str | None
) -> tuple[WebhookSubscription, ...]:
    """The subscriptions to the jobs of a project."""
    return tuple(one for one in subscriptions if one.project_id in {None, project_id})


#: Every name that a subscription may list.
EVENT_NAMES = (
    "*",
    "job.*",
    *(f"job.{status.value.lower()}" for status in Status),
    "webhook.*",
    TEST_EVENT,
    DISABLED_EVENT,
    "credits.*",
    SPEND_ALERT_EVENT,
)


def _check_event(name: str) -> str:
    if name not in EVENT_NAMES:
        raise ValueError(f"is no event; use one of: {', '.join(EVENT_NAMES)}")
    return name


EventNames = Annotated[
    list[Annotated[str, AfterValidator(_check_event), Field(max_length=64)]],
    Field(min_length=1, max_length=20),
]
