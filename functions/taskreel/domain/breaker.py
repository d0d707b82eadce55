"""A circuit breaker for one provider's model: paused after repeated failures, then probed.

closed ──(failure rate over a window)──▶ open ──(time is up)──▶ half-open ──(success)──▶ closed
                                          ▲                         │
                                          └─────(probe fails)───────┘ for twice as long

Half-open is not stored: open becomes half-open as time passes. An administrator's override takes
precedence over all of it.

A failure is unmistakably the provider's (no connection, 5xx, its account), or it may be due to the
input of one user (an operation that failed, no output). The second kind counts only when several
users meet it, and of each user only a few: one user's inputs never pause a provider for all.
A request without an answer says nothing by itself of the provider: the instance that sent it may
lack processor time, or its network. It counts only when several instances meet it.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AwareDatetime, Field

from taskreel.domain.errors import PermanentError, ProviderDownError, RunError, TemporaryError
from taskreel.domain.record import Record
from taskreel.domain.value import StoredValue, accept_unknown, is_known

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
#: Error code of a job that waits for a paused provider.
PROVIDER_RESTING = "provider_resting"
#: Those of them that no input of a user's can cause.
_UNMISTAKABLE_CODES = frozenset({"model_retired", "provider_auth", "provider_out_of_credit"})
#: Users and instances whose failures one step of the window lists; more say nothing more.
_MAX_LISTED = 20
#: Changes of its state that a breaker remembers.
MOST_BREAKER_CHANGES = 30


class BreakerState(StrEnum):
    """State at a given time."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class BreakerRule(Record, kw_only=True):
    """Thresholds. A breaker stays open `open_seconds`, doubled with each failed probe."""

    window_seconds: float = 120
    #: Fewer calls than this in a window never open a breaker.
    min_calls: int = 5
    failure_rate: float = 0.5
    #: Failures that may be due to an input count when so many users met them…
    min_users: int = 3
    #: …and of each user at most so many in a window.
    max_failures_per_user: int = 2
    #: Requests without an answer count when so many instances sent them…
    min_instances: int = 2
    #: …and of each instance at most so many in a window.
    max_unanswered_per_instance: int = 3
    open_seconds: float = 30
    max_open_seconds: float = 900
    #: A probe without a result after this time is given up, and another may start.
    probe_seconds: float = 120
    #: Work that waits for a probe reads the breaker again after so long, at the earliest.
    min_wait_seconds: float = 5


class WindowStep(StoredValue):
    """The calls that ended in one step of the window; `index` counts steps since 1970."""

    index: int
    succeeded: int = 0
    #: Failures that are unmistakably the provider's.
    failed: int = 0
    #: The other failures, by the hash of the user; None for none.
    user_failures: dict[str, int] | None = None
    #: Requests without an answer, by `instance`, or `instance:user` where the user's input may be
    #: the cause; None for none.
    unanswered: dict[str, int] | None = None

    def count_failure(self, user: str | None, instance: str | None) -> WindowStep:
        """The step with one more failure (see `Breaker.record_result`)."""
        if instance is not None:
            key = instance if user is None else f"{instance}:{user}"
            return self.model_copy(update={"unanswered": _count_one(self.unanswered, key)})
        if user is not None:
            return self.model_copy(update={"user_failures": _count_one(self.user_failures, user)})
        return self.model_copy(update={"failed": self.failed + 1})


def _count_one(counts: dict[str, int] | None, key: str) -> dict[str, int]:
    counts = dict(counts or {})
    if key in counts or len(counts) < _MAX_LISTED:
        counts[key] = counts.get(key, 0) + 1
    return counts


class BreakerChange(StoredValue):
    """A change of a breaker's state that was written; `by_hand`: by an administrator."""

    at: AwareDatetime
    state: Annotated[BreakerState, accept_unknown(BreakerState)]
    by_hand: bool = False


class Breaker(StoredValue):
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
    forced: Annotated[BreakerState, accept_unknown(BreakerState)] | None = None
    #: The newest changes of its state, the oldest first.
    changes: tuple[BreakerChange, ...] = Field(default=(), exclude_if=lambda value: not value)

    def follow(self, stored: Breaker, now: datetime) -> Self:
        """This breaker as the successor of the stored one: with its changes, and the newest."""
        changes = stored.changes
        state = self.state_at(now)
        # One that has opened again after a probe is open since another time.
        if state is not stored.state_at(now) or self.since != stored.since:
            change = BreakerChange(at=now, state=state, by_hand=self.forced is not None)
            changes = (*changes, change)[-MOST_BREAKER_CHANGES:]
        return self.model_copy(update={"changes": changes})

    def force(self, state: BreakerState | None, now: datetime) -> Self:
        """The breaker as it stays open or closed; with None it begins again to follow results."""
        return self._begin_again(now).model_copy(update={"forced": state})

    def state_at(self, now: datetime) -> BreakerState:
        """Closed, open or half-open.

        An override that only a newer revision knows is none here: the results decide.
        """
        if self.forced is not None and is_known(self.forced):
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
                return None if self.forced is BreakerState.OPEN else self.probe_at
            case BreakerState.HALF_OPEN:
                return now if self.probe_until is None else max(now, self.probe_until)

    def waits_until(self, now: datetime, rule: BreakerRule) -> datetime | None:
        """Time at which work that is not admitted now asks again; None as in `admits_at`.

        A probe may succeed at any moment, or hang until it is given up. Work that waits for it
        asks again when the probe has run twice as long as now: soon, and only a few times.
        """
        admits_at = self.admits_at(now)
        if admits_at is None or self.state_at(now) is not BreakerState.HALF_OPEN:
            return admits_at
        if admits_at <= now:
            return admits_at
        probe_began_at = admits_at - timedelta(seconds=rule.probe_seconds)
        wait = max(now - probe_began_at, timedelta(seconds=rule.min_wait_seconds))
        return min(admits_at, now + wait)

    def record_start(self, now: datetime, rule: BreakerRule) -> Breaker:
        """The breaker once work has started; in half-open state that work is the one probe.

        Only to be called after `admits_at` returned `now`.
        """
        if self.state_at(now) is not BreakerState.HALF_OPEN:
            return self
        return self.model_copy(update={"probe_until": now + timedelta(seconds=rule.probe_seconds)})

    def free_probe(self, begun_at: datetime, now: datetime) -> Breaker:
        """The breaker once work begun at `begun_at` has ended without a word on the provider.

        A request that was refused, or has to wait, neither closes nor opens it. If it was the
        probe, another may begin: one user's such requests must not hold up all others.
        """
        is_probe = self.since is None or begun_at >= self.since
        if self.probe_until is None or self.state_at(now) is not BreakerState.HALF_OPEN:
            return self
        return self.model_copy(update={"probe_until": None}) if is_probe else self

    def record_result(
        self,
        *,
        failed: bool,
        begun_at: datetime,
        now: datetime,
        rule: BreakerRule,
        user: str | None = None,
        instance: str | None = None,
    ) -> Breaker:
        """The breaker once work begun at `begun_at` has ended (see `counts_against_provider`).

        `user` is the hash of the user whose input may have caused a failure, None for one that is
        unmistakably the provider's (see `is_unmistakable`). `instance` is the one that sent a
        request without an answer, None where the provider answered, or refused the connection.
        """
        is_forced = self.forced is not None and is_known(self.forced)
        if is_forced or (self.since is not None and begun_at < self.since):
            return self
        match self.state_at(now):
            case BreakerState.CLOSED:
                return self._count_result(
                    failed=failed, now=now, rule=rule, user=user, instance=instance
                )
            case BreakerState.OPEN:
                return self
            case BreakerState.HALF_OPEN:
                return self._end_probe(
                    failed=failed, now=now, rule=rule, user=user, instance=instance
                )

    def _count_result(
        self,
        *,
        failed: bool,
        now: datetime,
        rule: BreakerRule,
        user: str | None,
        instance: str | None,
    ) -> Breaker:
        steps = self._add_result(failed=failed, now=now, rule=rule, user=user, instance=instance)
        if failed and _exceeds_failure_rate(steps, rule):
            return self._trip_open(now, rule)
        return self.model_copy(update={"steps": steps})

    def _end_probe(
        self,
        *,
        failed: bool,
        now: datetime,
        rule: BreakerRule,
        user: str | None,
        instance: str | None,
    ) -> Breaker:
        """The breaker after a probe: closed, open again, or free for the next probe.

        The last when an input of one user, or one instance, may be the cause: neither must hold
        the breaker open.
        """
        if not failed:
            return self._begin_again(now)
        if user is None and instance is None:
            return self._trip_open(now, rule)
        steps = self._add_result(failed=True, now=now, rule=rule, user=user, instance=instance)
        if instance is not None:
            is_confirmed = _count_unanswered(steps, rule) > 0
        else:
            is_confirmed = len(_sum_user_failures(steps)) >= rule.min_users
        if is_confirmed:
            return self._trip_open(now, rule)
        return self.model_copy(update={"steps": steps, "probe_until": None})

    def _add_result(
        self,
        *,
        failed: bool,
        now: datetime,
        rule: BreakerRule,
        user: str | None,
        instance: str | None,
    ) -> tuple[WindowStep, ...]:
        """The steps of the window up to now, with one more result."""
        index = int(now.timestamp() * WINDOW_STEPS // rule.window_seconds)
        recent = {
            step.index: step for step in self.steps if index - WINDOW_STEPS < step.index <= index
        }
        step = recent.get(index, WindowStep(index=index))
        if failed:
            recent[index] = step.count_failure(user, instance)
        else:
            recent[index] = step.model_copy(update={"succeeded": step.succeeded + 1})
        return tuple(recent.values())

    def _trip_open(self, now: datetime, rule: BreakerRule) -> Breaker:
        doublings = min(self.openings, 32)
        seconds = min(rule.open_seconds * 2.0**doublings, rule.max_open_seconds)
        return self._begin_again(now).model_copy(
            update={
                "probe_at": now + timedelta(seconds=seconds),
                "openings": self.openings + 1,
            }
        )

    def _begin_again(self, now: datetime) -> Self:
        """The breaker without results, probes or an override; fields of a newer revision stay."""
        return self.with_fields_of(type(self)(since=now))


def _exceeds_failure_rate(steps: tuple[WindowStep, ...], rule: BreakerRule) -> bool:
    failed = sum(step.failed for step in steps) + _count_unanswered(steps, rule)
    by_user = _sum_user_failures(steps)
    if len(by_user) >= rule.min_users:
        failed += sum(min(count, rule.max_failures_per_user) for count in by_user.values())
    calls = failed + sum(step.succeeded for step in steps)
    return calls >= rule.min_calls and failed >= rule.failure_rate * calls


def _count_unanswered(steps: tuple[WindowStep, ...], rule: BreakerRule) -> int:
    """The requests without an answer that count: of several instances, and of each a few.

    Those to which one user's input may have led count only when several users met them.
    """
    totals: Counter[str] = Counter()
    for step in steps:
        totals.update(step.unanswered or {})
    sent = [(*key.partition(":")[::2], count) for key, count in totals.items()]
    users = {user for _, user, _ in sent if user}
    by_instance: Counter[str] = Counter()
    for instance, user, count in sent:
        if not user or len(users) >= rule.min_users:
            by_instance[instance] += count
    if len(by_instance) < rule.min_instances:
        return 0
    return sum(min(count, rule.max_unanswered_per_instance) for count in by_instance.values())


def _sum_user_failures(steps: tuple[WindowStep, ...]) -> Counter[str]:
    """The failures of each user over the window, without those that are surely the provider's."""
    totals: Counter[str] = Counter()
    for step in steps:
        totals.update(step.user_failures or {})
    return totals


def counts_against_provider(error: RunError) -> bool:
    """Tell if an error is the provider's fault.

    A rate limit is a wait; moderation and validation are about the request; a lost lease is ours.
    """
    if isinstance(error, ProviderDownError):
        return True
    return isinstance(error, TemporaryError | PermanentError) and error.code in PROVIDER_FAULT_CODES


def is_unmistakable(error: RunError) -> bool:
    """Tell if an error that counts is not due to the input.

    No connection, a 5xx, and a refused account are not; a failed operation may be. Of a request
    without an answer, the cause may still be the instance that sent it (`RunError.unanswered`).
    """
    return isinstance(error, ProviderDownError) or error.code in _UNMISTAKABLE_CODES


def explain_resting(provider: str, until: datetime | None) -> str:
    """The sentence for a job that waits for a breaker; `until` is None while it is forced open."""
    if until is None:
        return (
            f"{provider} is paused by an administrator. The job waits, uses no attempt, and is "
            "tried again from time to time."
        )
    return (
        f"{provider} is paused until {until:%Y-%m-%d %H:%M:%S} UTC after repeated failures, and no "
        "other provider is available. The job is tried again then; waiting uses no attempt."
    )
