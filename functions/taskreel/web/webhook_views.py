"""The views of webhook endpoints, their keys and their deliveries."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from taskreel.app.services import Services
from taskreel.domain.client_webhook import DeliveryTry, SigningKey, WebhookDelivery, WebhookEndpoint
from taskreel.web.responses import View, is_absent


class KeyView(View):
    """A key: with the shared secret the receiver checks signatures, or with the public key."""

    signature: str
    secret: str | None = Field(exclude_if=is_absent)
    public_key: str | None = Field(exclude_if=is_absent)
    created_at: datetime
    #: A replaced key signs until then.
    expires_at: datetime | None = Field(exclude_if=is_absent)


class KeysView(View):
    """The keys that sign at present, the newest first."""

    keys: list[KeyView]


class EndpointView(View):
    """An endpoint; its keys are shown when it is created and by `GET …/keys`."""

    endpoint_id: str
    user_id: str
    url: str | None
    events: list[str]
    project_id: str | None = Field(exclude_if=is_absent)
    description: str | None = Field(exclude_if=is_absent)
    state: str
    disabled_reason: str | None = Field(exclude_if=is_absent)
    disabled_at: datetime | None = Field(exclude_if=is_absent)
    failing_since: datetime | None = Field(exclude_if=is_absent)
    resting_until: datetime | None = Field(exclude_if=is_absent)
    keys: list[KeyView] | None = Field(default=None, exclude_if=is_absent)
    created_at: datetime
    updated_at: datetime


class EndpointPage(View):
    """Endpoints, newest first; pass `nextCursor` as `cursor` to get the next page."""

    endpoints: list[EndpointView]
    next_cursor: str | None


class TryView(View):
    """One try, and the beginning of the answer, or the reason why there was none."""

    at: datetime
    url: str
    status: int | None = Field(exclude_if=is_absent)
    error: str | None = Field(exclude_if=is_absent)
    body: str
    milliseconds: int

    @classmethod
    def of(cls, one: DeliveryTry) -> TryView:
        """The view of a try."""
        return cls(**dict(one))


class DeliveryView(View):
    """A message: its id is the header `webhook-id`, the same in every try; `body` is what is sent.

    It is made at the first try.
    """

    delivery_id: str
    endpoint_id: str
    event: str
    job_id: str | None = Field(exclude_if=is_absent)
    state: str
    reason: str | None = Field(exclude_if=is_absent)
    attempt: int
    next_try_at: datetime | None = Field(exclude_if=is_absent)
    body: str | None = Field(exclude_if=is_absent)
    tries: list[TryView]
    created_at: datetime


class DeliveryPage(View):
    """Deliveries, newest first; pass `nextCursor` as `cursor` to get the next page."""

    deliveries: list[DeliveryView]
    next_cursor: str | None


class SentAgainView(View):
    """The numbers of deliveries that are sent again, and of pending ones, which were skipped."""

    sent: int
    skipped: int
    #: True when there are others, beyond what one request sends.
    more: bool


def build_endpoint_view(
    services: Services, endpoint: WebhookEndpoint, *, with_keys: bool = False
) -> EndpointView:
    """The view of an endpoint."""
    fields: dict[str, Any] = dict(endpoint) | {
        "events": list(endpoint.events),
        "keys": build_key_views(services, endpoint) if with_keys else None,
    }
    return EndpointView(**fields)


def build_delivery_view(delivery: WebhookDelivery) -> DeliveryView:
    """The view of a delivery."""
    fields = dict(delivery) | {"tries": [TryView.of(one) for one in delivery.tries]}
    return DeliveryView(**fields)


def build_key_views(services: Services, endpoint: WebhookEndpoint) -> list[KeyView]:
    """The views of the keys that sign now, the newest first."""
    valid = reversed(endpoint.valid_keys(services.clock.now()))
    return [_build_key_view(services, key) for key in valid]


def _build_key_view(services: Services, key: SigningKey) -> KeyView:
    public = services.webhooks.public_key(key)
    return KeyView(
        signature=str(key.kind),
        # The secret half of an Ed25519 key never leaves this service.
        secret=key.secret if public is None else None,
        public_key=public,
        created_at=key.created_at,
        expires_at=key.expires_at,
    )
