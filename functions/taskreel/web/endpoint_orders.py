"""The bodies that create and change a webhook endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from taskreel.app.services import Services
from taskreel.domain.errors import InvalidError
from taskreel.domain.value import Value
from taskreel.domain.webhook_events import FINAL_EVENTS, EventNames, Signature
from taskreel.jobtypes.fields import ProjectId

_LONGEST_URL = 2000


class EndpointOrder(Value):
    """An endpoint: the `url` gets the `events` of your jobs, or of those of one project.

    `events` are `job.` and a status in lower case, `job.*`, `credits.spend_alert`, or `*`; absent:
    those of a job's end.
    `signature` is `v1` (a shared secret) or `v1a` (Ed25519).
    """

    url: str = Field(min_length=1, max_length=_LONGEST_URL)
    events: EventNames = Field(default=list(FINAL_EVENTS))
    project_id: ProjectId | None = None
    description: str | None = Field(default=None, max_length=500)
    signature: Signature = Signature.HMAC


class EndpointPatch(Value):
    """The fields to change; `enabled: true` also forgets an endpoint's failures."""

    url: str | None = Field(default=None, min_length=1, max_length=_LONGEST_URL)
    events: EventNames | None = None
    description: str | None = Field(default=None, max_length=500)
    enabled: bool | None = None


def find_url_fault(body: Mapping[str, Any], services: Services) -> list[InvalidError]:
    """The fault of the address, where other fields are wrong."""
    url = body.get("url")
    if isinstance(url, str) and 0 < len(url) <= _LONGEST_URL:
        try:
            services.webhooks.check_url(url, "url")
        except InvalidError as error:
            return [error]
    return []
