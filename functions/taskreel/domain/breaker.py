"""A circuit breaker for one provider's model: paused after repeated failures, then probed.

closed ──(failure rate over a window)──▶ open ──(time is up)──▶ half-open ──(success)──▶ closed
                                          ▲                         │
                                          └─────(probe fails)───────┘ for twice as long

Half-open is not stored: open becomes half-open as time passes. An administrator's override takes
precedence over all of it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from pydantic import AwareDatetime, Field

from taskreel.domain.errors import PermanentError, ProviderDownError, RunError, TemporaryError
from taskreel.domain.value import Value

#: The window moves in steps of a sixth, so that a breaker stays a small document.
WINDOW_STEPS = 6
#: Error codes that are the provider's fault and not the request's: no answer, no output, no account
#: or no model.
PROVIDER_FAULT_CODES = frozenset(
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
    """State at a given time."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class BreakerRule(Value):
    """Thresholds. A breaker stays open `open_seconds`, doubled with each failed probe."""

    window_seconds: float = Field(default=120, gt=0)
    #: Fewer calls than this in a window never open a breaker.
    min_calls: int = Field(default=5, ge=1)
    failure_rate: float = Field(default=0.5, gt=0, le=1)
    open_seconds: float = Field(default=30, gt=0)
    max_open_seconds: float = Field(default=900, gt=0)
    #: A probe without a result after this time is given up, and another may start.
    probe_seconds: float = Field(default=120, gt=0)


class WindowStep(Value):
    """The calls that ended in one step of the window; `index` counts steps since 1970."""

    index: int
    succeeded: int = 0
    failed: int = 0


class Breaker(Value):
    """The recent results of one provider's model. Rule and time are arguments everywhere."""

    steps: tuple[WindowStep, ...] = ()
    #: Set while open: the time from which a probe may start.
    probe_at: AwareDatetime | None = None
    #: Set while a probe runs: the time until which its result is awaited.
    probe_until: AwareDatetime | None = None
    #: Times it opened without closing in between.
    openings: int = 0
    #: Last time it opened or closed. Work begun before it says nothing about the present state.
    since: AwareDatetime | None = None
    #: An administrator's override.
    forced: BreakerState | None = None

    @classmethod
    def forced_by_admin(cls, state: BreakerState | None, now: datetime) -> Self:
        """A breaker that stays open or closed; with None a fresh one that follows results."""
        return cls(since=now, forced=state)

    def state_at(self, now: datetime) -> BreakerState:
        """Closed, open or half-open."""
        if self.forced is not None:
            return self.forced
        if self.probe_at is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self.probe_at else BreakerState.HALF_OPEN

    def admits_at(self, now: datetime) -> datetime | None:
        """Earliest time at which work may start; None while an administrator holds it open."""
        match self.state_at(now):
            case BreakerState.CLOSED:
                return now
            case BreakerState.OPEN:
                return self.probe_at if self.forced is None else None
            case BreakerState.HALF_OPEN:
                return now if self.probe_until is None else max(now, self.probe_until)

    def record_start(self, now: datetime, rule: BreakerRule) -> Breaker:
        """The breaker once work has started; in half-open state that work is the one probe.

        Only to be called after `admits_at` returned `now`.
        """
        if self.state_at(now) is not BreakerState.HALF_OPEN:
            return self
        return self.model_copy(update={"probe_until": now + timedelta(seconds=rule.probe_seconds)})

    def record_result(
        self, *, failed: bool, begun_at: datetime, now: datetime, rule: BreakerRule
    ) -> Breaker:
        """The breaker once work begun at `begun_at` has ended (see `counts_against_provider`)."""
        if self.forced is not None or (self.since is not None and begun_at < self.since):
            return self
        match self.state_at(now):
            case BreakerState.CLOSED:
                return self._count_result(failed=failed, now=now, rule=rule)
            case BreakerState.OPEN:
                return self
            case BreakerState.HALF_OPEN:
                return self._trip_open(now, rule) if failed else Breaker(since=now)

    def _count_result(self, *, failed: bool, now: datetime, rule: BreakerRule) -> Breaker:
        index = int(now.timestamp() * WINDOW_STEPS // rule.window_seconds)
        recent = {
            step.index: step for step in self.steps if index - WINDOW_STEPS < step.index <= index
        }
        step = recent.get(index, WindowStep(index=index))
        recent[index] = WindowStep(
            index=index, succeeded=step.succeeded + (not failed), failed=step.failed + failed
        )
        steps = tuple(recent.values())
        if failed and _exceeds_failure_rate(steps, rule):
            return self._trip_open(now, rule)
        return self.model_copy(update={"steps": steps})

    def _trip_open(self, now: datetime, rule: BreakerRule) -> Breaker:
        doublings = min(self.openings, 32)
        seconds = min(rule.open_seconds * 2.0**doublings, rule.max_open_seconds)
        return Breaker(
            probe_at=now + timedelta(seconds=seconds), openings=self.openings + 1, since=now
        )


def _exceeds_failure_rate(steps: tuple[WindowStep, ...], rule: BreakerRule) -> bool:
    failed = sum(step.failed for step in steps)
    calls = failed + sum(step.succeeded for step in steps)
    return calls >= rule.min_calls and failed >= rule.failure_rate * calls


def counts_against_provider(error: RunError) -> bool:
    """Tell if an error is the provider's fault.

    A rate limit is a wait; moderation and validation are about the request; a lost lease is ours.
    """
    if isinstance(error, ProviderDownError):
        return True
    return isinstance(error, TemporaryError | PermanentError) and error.code in PROVIDER_FAULT_CODES
