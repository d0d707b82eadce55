"""A circuit breaker for one model of one provider: who keeps failing is left alone for a while, then tried once.

closed ──(failures ≥ the rate, over a window)──▶ open ──(its time is up)──▶ half-open ──(the probe succeeds)──▶ closed
                                                  ▲                            │
                                                  └──────(the probe fails)─────┘ for twice as long

Half-open is not stored: it is what open becomes by the passing of time. An admin's word goes before all of it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import AwareDatetime, Field

from taskreel.domain.errors import PermanentError, ProviderDownError, RunError, TemporaryError
from taskreel.domain.value import Value

#: The window moves in steps of a sixth, so that a breaker stays a small document.
STEPS = 6
#: Errors that say something about the provider, not about the request: no answer, no work done, no account, no model.
ITS_FAULT = frozenset(
    {
        "ambiguous_create",
        "model_retired",
        "no_output",
        "operation_failed",
        "provider_auth",
        "provider_out_of_credit",
    }
)


class BreakerState(StrEnum):
    """What a breaker says now."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class BreakerRule(Value):
    """When a breaker opens, and for how long: `open_seconds`, doubled with each failed probe up to the maximum."""

    window_seconds: float = Field(default=120, gt=0)
    #: Fewer calls than this in a window prove nothing.
    min_calls: int = Field(default=5, ge=1)
    failure_rate: float = Field(default=0.5, gt=0, le=1)
    open_seconds: float = Field(default=30, gt=0)
    max_open_seconds: float = Field(default=900, gt=0)
    #: A probe that has not reported by then is given up, and another may go.
    probe_seconds: float = Field(default=120, gt=0)


class Step(Value):
    """The calls that ended in one step of the window; `index` counts steps since 1970."""

    index: int
    succeeded: int = 0
    failed: int = 0


class Breaker(Value):
    """What is known of one provider × model. `BreakerRule` and the time are arguments everywhere."""

    steps: tuple[Step, ...] = ()
    #: Set while open: from when a probe may go.
    probe_at: AwareDatetime | None = None
    #: Set while a probe is out: until when it is waited for.
    probe_until: AwareDatetime | None = None
    #: Times it opened without closing in between.
    openings: int = 0
    #: When it last opened or closed; work begun before then says nothing about what is now.
    since: AwareDatetime | None = None
    #: An admin's word, until it is taken back.
    forced: BreakerState | None = None

    def state(self, now: datetime) -> BreakerState:
        """Closed, open or half-open."""
        if self.forced is not None:
            return self.forced
        if self.probe_at is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self.probe_at else BreakerState.HALF_OPEN

    def admits_at(self, now: datetime) -> datetime | None:
        """From when work may begin: now, a time to come, or None while an admin keeps it open."""
        match self.state(now):
            case BreakerState.CLOSED:
                return now
            case BreakerState.OPEN:
                return self.probe_at if self.forced is None else None
            case BreakerState.HALF_OPEN:
                return now if self.probe_until is None else max(now, self.probe_until)

    def begun(self, now: datetime, rule: BreakerRule) -> Breaker:
        """Work begins; when half-open it is the one probe. Only after `admits_at` said now."""
        if self.state(now) is not BreakerState.HALF_OPEN:
            return self
        return self.model_copy(update={"probe_until": now + timedelta(seconds=rule.probe_seconds)})

    def ended(
        self, *, failed: bool, begun_at: datetime, now: datetime, rule: BreakerRule
    ) -> Breaker:
        """Work that began at `begun_at` succeeded or failed by the provider's doing (see `blames`)."""
        if self.forced is not None or (self.since is not None and begun_at < self.since):
            return self
        match self.state(now):
            case BreakerState.CLOSED:
                return self._counted(failed=failed, now=now, rule=rule)
            case BreakerState.OPEN:
                return self
            case BreakerState.HALF_OPEN:
                return self._opened(now, rule) if failed else Breaker(since=now)

    def by_hand(self, state: BreakerState | None, now: datetime) -> Breaker:
        """An admin keeps it open or closed, or takes that back: then it starts afresh."""
        return Breaker(since=now, forced=state)

    def _counted(self, *, failed: bool, now: datetime, rule: BreakerRule) -> Breaker:
        index = int(now.timestamp() * STEPS // rule.window_seconds)
        recent = {step.index: step for step in self.steps if index - STEPS < step.index <= index}
        step = recent.get(index, Step(index=index))
        recent[index] = Step(
            index=index, succeeded=step.succeeded + (not failed), failed=step.failed + failed
        )
        steps = tuple(recent.values())
        return (
            self._opened(now, rule)
            if failed and _too_many(steps, rule)
            else self.model_copy(update={"steps": steps})
        )

    def _opened(self, now: datetime, rule: BreakerRule) -> Breaker:
        doublings = min(self.openings, 32)
        seconds = min(rule.open_seconds * 2.0**doublings, rule.max_open_seconds)
        return Breaker(
            probe_at=now + timedelta(seconds=seconds), openings=self.openings + 1, since=now
        )


def _too_many(steps: tuple[Step, ...], rule: BreakerRule) -> bool:
    failed = sum(step.failed for step in steps)
    calls = failed + sum(step.succeeded for step in steps)
    return calls >= rule.min_calls and failed >= rule.failure_rate * calls


def blames(error: RunError) -> bool:
    """Whether an error counts against its provider.

    A rate limit is a wait; moderation and validation are about the request; a lost lease is our own affair.
    """
    if isinstance(error, ProviderDownError):
        return True
    return isinstance(error, TemporaryError | PermanentError) and error.code in ITS_FAULT
