"""Client webhooks: endpoints of users, events of jobs, and their deliveries.

A delivery is one message to one endpoint. Its id is the `webhook-id` of Standard Webhooks: it is
the same in every try, and when the message is sent again by hand.
"""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random
from typing import Annotated, Any, Self, Unpack
from urllib.parse import urlsplit

from pydantic import with_config
from typing_extensions import TypedDict

from taskreel.domain.value import (
    STRICT,
    StoredValue,
    Value,
    accept_unknown,
    is_known,
    validate_changes,
)
from taskreel.domain.webhook_events import MessageForm, Signature, WebhookSubscription

#: The tries of one message; a user may send it again at any time.
MOST_TRIES = 14
#: The waits between the tries: five that double from a second on, then those of the Standard
#: Webhooks specification; 75 hours in all.
_WAITS = tuple(
    timedelta(seconds=seconds)
    for seconds in (1, 2, 4, 8, 16, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
#: An endpoint that has only failed for so long is disabled.
DISABLED_AFTER = timedelta(days=3)
#: A replaced key signs for so long beside the new one, unless the user says otherwise.
KEY_OVERLAP = timedelta(hours=24)
#: How long a delivery is retained.
DELIVERY_RETENTION = timedelta(days=30)
#: A `Retry-After` is honoured up to here.
_LONGEST_WAIT = timedelta(hours=24)
#: The wait after 429, 502 or 504 without `Retry-After`: the endpoint asks for fewer requests.
_THROTTLED_WAIT = timedelta(seconds=60)
_GONE = 410
_THROTTLING = frozenset({429, 502, 504})
_SECRET_BYTES = 32


class SigningKey(StoredValue):
    """A key of an endpoint; a replaced one signs until `expires_at`."""

    kind: Annotated[Signature, accept_unknown(Signature)] = Signature.HMAC
    secret: str
    created_at: datetime
    expires_at: datetime | None = None

    @classmethod
    def create(cls, kind: Signature, random: Random, at: datetime) -> Self:
        """A new key of 32 random bytes."""
        prefix = "whsk_" if kind is Signature.ED25519 else "whsec_"
        text = base64.b64encode(random.getrandbits(8 * _SECRET_BYTES).to_bytes(_SECRET_BYTES))
        return cls(kind=kind, secret=prefix + text.decode(), created_at=at)


class EndpointState(StrEnum):
    """The state of an endpoint."""

    ENABLED = "enabled"
    #: By its owner, by 410 Gone, or after DISABLED_AFTER of failures.
    DISABLED = "disabled"


class WebhookEndpoint(StoredValue):
    """An address that gets a user's events, and its keys. Frozen: each change is a new value.

    The one without a `url` has the keys of the webhooks that jobs name by `webhookUrl`.
    """

    endpoint_id: str
    user_id: str
    url: str | None = None
    description: str | None = None
    events: tuple[str, ...] = ()
    project_id: str | None = None
    state: Annotated[EndpointState, accept_unknown(EndpointState)] = EndpointState.ENABLED
    disabled_reason: str | None = None
    disabled_at: datetime | None = None
    #: The newest last; it is the one that is shown.
    signing_keys: tuple[SigningKey, ...]
    #: Since when no try has succeeded; None while it answers.
    failing_since: datetime | None = None
    #: It has asked for fewer requests: nothing is sent before this time.
    resting_until: datetime | None = None
    created_at: datetime
    updated_at: datetime

    @property
    def subscription(self) -> WebhookSubscription:
        """The events that it gets, for the account."""
        return WebhookSubscription(
            endpoint_id=self.endpoint_id, events=self.events, project_id=self.project_id
        )

    def with_changes(self, at: datetime, **changes: Unpack[WebhookEndpointChanges]) -> Self:
        """Copy it with these fields changed at `at`. Raises ValidationError for a wrong one."""
        return self.model_copy(
            update={"updated_at": at, **validate_changes(WebhookEndpointChanges, changes)}
        )

    def valid_keys(self, at: datetime) -> tuple[SigningKey, ...]:
        """The keys that sign at that time: the newest, and replaced ones for a while."""
        return tuple(
            key for key in self.signing_keys if key.expires_at is None or key.expires_at > at
        )

    def known_keys(self, at: datetime) -> tuple[SigningKey, ...]:
        """The valid keys of the kinds that this revision can sign with."""
        return tuple(key for key in self.valid_keys(at) if is_known(key.kind))

    def rotate_key(self, key: SigningKey, overlap: timedelta, at: datetime) -> Self:
        """Copy it with a new key; the present one signs for `overlap` longer."""
        until = at + overlap
        replaced = tuple(
            one.model_copy(update={"expires_at": min(one.expires_at or until, until)})
            for one in self.valid_keys(at)
        )
        return self.with_changes(at, signing_keys=(*replaced, key))

    def disable(self, reason: str, at: datetime) -> Self:
        """Copy it, disabled."""
        return self.with_changes(
            at, state=EndpointState.DISABLED, disabled_reason=reason, disabled_at=at
        )

    def enable(self, at: datetime) -> Self:
        """Copy it, enabled, with its failures forgotten."""
        return self.with_changes(
            at,
            state=EndpointState.ENABLED,
            disabled_reason=None,
            disabled_at=None,
            failing_since=None,
            resting_until=None,
        )


@with_config(STRICT)
class WebhookEndpointChanges(TypedDict, total=False):
    """The fields of a WebhookEndpoint that may change after it was made."""

    url: str
    description: str | None
    events: tuple[str, ...]
    state: EndpointState
    disabled_reason: str | None
    disabled_at: datetime | None
    signing_keys: tuple[SigningKey, ...]
    failing_since: datetime | None
    resting_until: datetime | None


class DeliveryState(StrEnum):
    """The state of a delivery."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    #: All tries have failed, or the endpoint is gone or disabled.
    FAILED = "failed"


class WebhookAnswer(Value):
    """An endpoint's answer to one try: its status, or the reason why there is none.

    `body` is its beginning.
    """

    status: int | None = None
    error: str | None = None
    body: str = ""
    retry_after: timedelta | None = None
    milliseconds: int = 0

    @property
    def succeeded(self) -> bool:
        """True for 2xx."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """True for 410: the endpoint wants nothing more."""
        return self.status == _GONE

    def find_rest(self) -> timedelta | None:
        """The time for which the endpoint asks for no further tries; None when it does not ask."""
        if self.succeeded or self.is_gone:
            return None
        if self.retry_after is not None:
            return min(self.retry_after, _LONGEST_WAIT)
        return _THROTTLED_WAIT if self.status in _THROTTLING else None


class DeliveryTry(StoredValue):
    """One try: when, to which address, and the answer."""

    at: datetime
    url: str
    status: int | None = None
    error: str | None = None
    body: str = ""
    milliseconds: int = 0


class WebhookDelivery(StoredValue):
    """One message to one endpoint, and its tries."""

    delivery_id: str
    endpoint_id: str
    user_id: str
    event: str
    job_id: str | None = None
    #: The address of a job's own webhook; None for that of the endpoint.
    url: str | None = None
    #: None for this API's own `{type, timestamp, data}`.
    form: Annotated[MessageForm, accept_unknown(MessageForm)] | None = None
    #: The event's time and facts, as they were in the commit that made it.
    occurred_at: datetime
    data: dict[str, Any]
    #: The text that is sent, made of them at the first try and never changed.
    body: str | None = None
    state: Annotated[DeliveryState, accept_unknown(DeliveryState)] = DeliveryState.PENDING
    #: Why it has failed for good.
    reason: str | None = None
    #: The number of tries since it was made or sent again by hand.
    attempt: int = 0
    tries: tuple[DeliveryTry, ...] = ()
    next_try_at: datetime | None = None
    #: Numbers its tasks.
    sends: int = 1
    #: The fence of a try: another delivery of the task waits until then.
    lease_until: datetime | None = None
    wake_at: datetime | None = None
    wake_shard: int = 0
    created_at: datetime
    updated_at: datetime
    expire_at: datetime

    @property
    def is_alert(self) -> bool:
        """True for an alert to operators."""
        return self.form is MessageForm.SLACK

    def hide_address(self, url: str) -> str:
        """The address as a try records it: of that of alerts, a secret, the host alone."""
        return f"https://{urlsplit(url).hostname}/…" if self.is_alert else url

    def with_changes(self, at: datetime, **changes: Unpack[WebhookDeliveryChanges]) -> Self:
        """Copy it with these fields changed at `at`. Raises ValidationError for a wrong one."""
        return self.model_copy(
            update={"updated_at": at, **validate_changes(WebhookDeliveryChanges, changes)}
        )

    def finish(self, state: DeliveryState, reason: str | None, at: datetime) -> Self:
        """Copy it in its last state."""
        return self.with_changes(
            at, state=state, reason=reason, next_try_at=None, lease_until=None, wake_at=None
        )

    def record_try(self, answer: WebhookAnswer, url: str, at: datetime) -> Self:
        """Copy it with a try's answer. It has succeeded or failed, or its next try is set."""
        one = DeliveryTry(
            at=at,
            url=url,
            status=answer.status,
            error=answer.error,
            body=answer.body,
            milliseconds=answer.milliseconds,
        )
        tried = self.with_changes(at, tries=(*self.tries, one)[-2 * MOST_TRIES :], lease_until=None)
        if answer.succeeded:
            return tried.finish(DeliveryState.SUCCEEDED, None, at)
        if answer.is_gone:
            return tried.finish(DeliveryState.FAILED, "The endpoint answered 410 Gone.", at)
        if self.attempt >= MOST_TRIES:
            return tried.finish(DeliveryState.FAILED, "All tries have failed.", at)
        wait = _WAITS[max(self.attempt, 1) - 1]
        rest = answer.find_rest()
        return tried.wait_until(at + (max(wait, rest) if rest else wait), at)

    def wait_until(self, next_try_at: datetime, at: datetime) -> Self:
        """Copy it with the time of its next try, and the number of the next task."""
        return self.with_changes(
            at,
            next_try_at=next_try_at,
            lease_until=None,
            sends=self.sends + 1,
            wake_at=next_try_at + WAKE_AFTER,
        )

    def send_again(self, at: datetime) -> Self:
        """Copy it to be sent again, now, with all tries before it; its body and id stay."""
        again = self.with_changes(at, state=DeliveryState.PENDING, reason=None, attempt=0)
        return again.wait_until(at, at).with_changes(at, expire_at=at + DELIVERY_RETENTION)


@with_config(STRICT)
class WebhookDeliveryChanges(TypedDict, total=False):
    """The fields of a WebhookDelivery that may change after it was made."""

    body: str | None
    state: DeliveryState
    reason: str | None
    attempt: int
    tries: tuple[DeliveryTry, ...]
    next_try_at: datetime | None
    sends: int
    lease_until: datetime | None
    wake_at: datetime | None
    expire_at: datetime


#: The sweep sends another task for a delivery whose task is overdue for so long.
WAKE_AFTER = timedelta(minutes=2)
