"""A provider whose answers a test writes down, and that counts what it sells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from taskreel.domain.errors import (
    AMBIGUOUS,
    UNSURE,
    PermanentError,
    ProviderDownError,
    RateLimitedError,
    TemporaryError,
)
from taskreel.ports import Clock, Done, Generation, Pending

#: Longer than an attempt of the job types in these tests may last, 28 minutes.
LATE_SECONDS = 1750.0


@dataclass
class ScriptedProvider:
    """A provider that follows `providerOptions.script`, one step for each call, then is done.

    Unless it is paid, it honours idempotency keys.
    """

    clock: Clock
    name: str = "studio"
    calls: Counter[str] = field(default_factory=Counter)
    #: How often each unit was bought, by the unit's key.
    sold: Counter[str] = field(default_factory=Counter)
    accepted: dict[str, str] = field(default_factory=dict)
    honours_keys: bool = True
    #: While set, it cannot cancel anything.
    refuses_cancel: bool = False
    #: The units whose work was accepted without an answer, and those that were answered too late.
    unanswered: set[str] = field(default_factory=set)
    answered_late: set[str] = field(default_factory=set)

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Done | Pending:
        if self.honours_keys and idempotency_key in self.accepted:
            return _pending(idempotency_key, 0)
        self.sold[idempotency_key] += 1
        match self._step(request, idempotency_key):
            case "temporary":
                self.sold[idempotency_key] -= 1
                raise TemporaryError("not now")
            case "permanent":
                self.sold[idempotency_key] -= 1
                raise PermanentError("never")
            case "limited":
                self.sold[idempotency_key] -= 1
                raise RateLimitedError("patience", retry_after=timedelta(seconds=20))
            case "pending":
                self.accepted[idempotency_key] = "running"
                return _pending(idempotency_key, 2)
            case "slow":
                await self.clock.sleep(12)
            case "late":
                await self.clock.sleep(LATE_SECONDS)
                self.answered_late.add(idempotency_key)
            case "unanswered":
                self.unanswered.add(idempotency_key)
                raise PermanentError(UNSURE, code=AMBIGUOUS)
            case _:
                pass
        return Done()

    async def poll(self, operation: Mapping[str, Any], _request: Generation, /) -> Done | Pending:
        key, left = str(operation["key"]), int(operation["left"])
        if left > 0:
            return _pending(key, left - 1)
        self.accepted[key] = "done"
        return Done()

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        if self.refuses_cancel:
            raise ProviderDownError("cancelling fails now")
        self.accepted[str(operation["key"])] = "cancelled"

    async def close(self) -> None:
        """Nothing is open."""

    def _step(self, request: Generation, key: str) -> str:
        script = request.params.get("providerOptions", {}).get("script", [])
        place = self.calls[key]
        self.calls[key] += 1
        return str(script[place]) if place < len(script) else "done"


def _pending(key: str, left: int) -> Pending:
    return Pending(operation={"key": key, "left": left}, poll_after=timedelta(seconds=15))
