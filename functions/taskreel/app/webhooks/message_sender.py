"""The provider behind jobs of the type `webhook`: it sends a message of the caller's own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from random import Random
from typing import Any

from pydantic_core import to_json

from taskreel.app.webhooks.endpoints import open_own_endpoint
from taskreel.domain.client_webhook import WebhookAnswer
from taskreel.domain.errors import PermanentError, RateLimitedError, RunError, TemporaryError
from taskreel.domain.webhook_events import SENDER
from taskreel.ports import Clock, Done, Generation, Pending, SendWebhook, Store, WebhookMessage

#: How often an address may ask for a rest, and the least rest: it doubles up to the longest.
_MOST_RESTS = 20
_FIRST_REST = timedelta(seconds=5)
_LONGEST_LEAST_REST = timedelta(minutes=10)


class MessageSender:
    """`Provider` that posts a job's message once a try, signed with the keys of its owner.

    A message may come more than once, with the same `webhook-id`, as all webhooks do.
    """

    name = SENDER

    def __init__(self, store: Store, webhooks: SendWebhook, clock: Clock, random: Random) -> None:
        self._store = store
        self._webhooks = webhooks
        self._clock = clock
        self._random = random

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Done | Pending:
        """Post the message; the answer's status and beginning are the result."""
        endpoint = await self._store.transaction(
            lambda tx: open_own_endpoint(tx, request.user_id, self._clock, self._random)
        )
        now = self._clock.now()
        message = WebhookMessage(
            url=request.params["url"],
            id=f"msg_{idempotency_key}",
            body=to_json(request.params["message"]).decode(),
            at=now,
            keys=endpoint.valid_keys(now),
        )
        answer = await self._webhooks.send(message)
        if not answer.succeeded:
            raise _explain_failure(answer, request.waits)
        return Done(
            data={
                "status": answer.status,
                "answer": answer.body,
                "milliseconds": answer.milliseconds,
            }
        )

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        """Send the message again."""
        del operation  # `start` never leaves one
        return await self.start(request, idempotency_key=request.name)

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        """Nothing goes on after `start`."""

    async def close(self) -> None:
        """The connections are closed by their owner."""


def _explain_failure(answer: WebhookAnswer, rests: int) -> RunError:
    """The error of an answer that is no success. One that asks for a rest counts no attempt.

    Each rest is longer than the last, and after `_MOST_RESTS` attempts count again: the message is
    free, so an address that always asks for a second more would be asked for a month.
    """
    if answer.is_gone:
        return PermanentError("The address answered 410 Gone.", code="webhook_gone")
    message = answer.error or f"The address answered {answer.status}."
    rest = answer.find_rest() if answer.status is not None else None
    if rest is not None and rests < _MOST_RESTS:
        least = min(_FIRST_REST * 2**rests, _LONGEST_LEAST_REST)
        return RateLimitedError(message, code="webhook_throttled", retry_after=max(rest, least))
    return TemporaryError(message, code="webhook_failed")
