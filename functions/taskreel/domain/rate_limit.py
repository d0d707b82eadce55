"""Rate limits by GCRA, the generic cell rate algorithm: one stored time for each policy.

The stored time is the theoretical arrival time: when the bucket of the caller would be full again.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from math import ceil

from pydantic import Field

from taskreel.domain.errors import RateExceededError
from taskreel.domain.record import Record
from taskreel.domain.value import Value

#: The policies, as a problem and the header fields name them.
READS, WRITES, REFUSALS = "reads", "writes", "refusals"


#: The clocks of two instances may differ by so much.
_CLOCK_TOLERANCE = timedelta(seconds=5)


class Rate(Value):
    """`per_minute` requests on average, and up to `burst` at once."""

    per_minute: float = Field(gt=0, le=1_000_000)  # the interval is whole microseconds
    burst: int = Field(ge=1)

    @property
    def interval(self) -> timedelta:
        """The time in which one request is earned."""
        return timedelta(minutes=1) / self.per_minute

    @property
    def window(self) -> timedelta:
        """The time in which a spent burst is earned again."""
        return self.burst * self.interval


class RateDecision(Record):
    """The decision on one request."""

    rate: Rate
    allowed: bool
    #: The time to store; of a refused request the one that was stored.
    arrival: datetime
    #: Requests that may follow at once.
    remaining: int
    #: Until the next request is allowed (refused), or until one more is earned.
    wait: timedelta


def decide_request(rate: Rate, arrival: datetime | None, now: datetime) -> RateDecision:
    """Decide on a request at `now`; `arrival` is the stored time, None for a first request."""
    interval, window = rate.interval, rate.window
    stored = now if arrival is None else max(arrival, now)
    if stored - now > window + _CLOCK_TOLERANCE:
        # No burst reaches so far: the clock has gone back, and that locks no caller out.
        stored = now
    following = stored + interval
    if following - now > window:
        return RateDecision(rate, False, stored, 0, following - now - window)
    remaining = int((window - (following - now)) / interval)
    # The room that is not a whole request yet grows into one.
    wait = interval - (window - (following - now) - remaining * interval)
    return RateDecision(rate, True, following, remaining, wait)


def refuse_request(policy: str, decision: RateDecision) -> RateExceededError:
    """The error of a request over the limit of a policy."""
    seconds = count_seconds(decision.wait)
    return RateExceededError(
        f"Too many requests: the policy {policy!r} allows {decision.rate.per_minute:g} a minute, "
        f"and {decision.rate.burst} at once. Send the next one in {seconds} s.",
        policy=policy,
        retry_after=decision.wait,
    )


def count_seconds(wait: timedelta) -> int:
    """The whole seconds of a wait, at least one: asking earlier would be refused again."""
    return max(1, ceil(wait.total_seconds()))
