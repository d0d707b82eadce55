"""Credits: one account a user, five numbers, and the only arithmetic on them.

Always `granted = available + held + captured + expired`. A movement is a set of increments, so that
it can be applied to a value here, and without a read to a document in the store.

The spend of a day and of a month (UTC) is what is held and captured of the holds made in it. Each
period has a number of its own in the account, in a field that is named for it: so a release, which
reads no account, returns credits to the period of its hold, however late it comes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Self

from pydantic import Field, NonNegativeInt, with_config
from typing_extensions import TypedDict

from taskreel.domain.errors import SpendCapError, TooFewCreditsError
from taskreel.domain.ids import project_of_account, shard_account_id
from taskreel.domain.record import Record
from taskreel.domain.stored_record import StoredRecord
from taskreel.domain.value import STRICT, StoredValue, accept_unknown, validate_changes
from taskreel.domain.webhook_events import WebhookSubscription


class Movement(Record, kw_only=True):
    """Increments of an account's numbers; they leave granted the sum of the other parts."""

    available: int = 0
    held: int = 0
    captured: int = 0
    granted: int = 0
    expired: int = 0

    def increments(self) -> dict[str, int]:
        """The increments that are not 0, by field name."""
        amounts = {
            "available": self.available,
            "held": self.held,
            "captured": self.captured,
            "granted": self.granted,
            "expired": self.expired,
        }
        return {name: amount for name, amount in amounts.items() if amount}


class CreditGrant(StoredValue):
    """A grant with a priority or an end of its own."""

    grant_id: str
    amount: int
    priority: int
    expires_at: datetime | None = None
    created_at: datetime

    @property
    def left_field(self) -> str:
        """The field of the account with the credits that remain."""
        return name_left(self.grant_id)

    @property
    def held_field(self) -> str:
        """The field of the account with the credits that holds have of it."""
        return name_held(self.grant_id)

    def has_expired(self, at: datetime) -> bool:
        """True from its end on."""
        return self.expires_at is not None and self.expires_at <= at


class GrantShare(StoredValue):
    """The credits that a hold took of a grant; of the pool without a `grant_id`."""

    grant_id: str | None = None
    amount: int
    expires_at: datetime | None = None


#: The alert of a cap comes when so much of it is spent.
ALERT_PERCENT = 80
#: The field of a period's spend is `spent20261127` or `spent202611`.
_SPENT = "spent"
#: The characters of a month in a day's date.
_MONTH = 7


class CappedSpend(StoredValue):
    """A stored document that counts what is spent, and may cap it."""

    #: The credits that may be spent in a day and in a month; None is no limit.
    daily_cap: int | None = None
    monthly_cap: int | None = None
    #: The periods in which an alert said that most of a cap is spent.
    alerted: tuple[str, ...] = Field(default=(), exclude_if=lambda value: not value)

    def read_count(self, name: str) -> int:
        """A number in a field that is named for a period or a grant; 0 without one."""
        count: int = (self.model_extra or {}).get(name, 0)
        return count

    def count_hold(self, cost: int, at: datetime, whose: str) -> dict[str, int]:
        """The numbers of the day and the month after a hold of `cost`, by their fields.

        Raises SpendCapError for a cost that a cap does not leave; `whose` cap, for its text.
        """
        if self.has_caps:
            for cap in self.list_caps(at):
                if cap.limit is not None and cap.spent + cost > cap.limit:
                    raise _refuse_spend(cap, cost, whose)
        day = name_day(at)
        fields = (_spend_field(day), _spend_field(day[:_MONTH]))
        return {name: self.read_count(name) + cost for name in fields}

    def without_stale_spend(self, at: datetime) -> Self:
        """The same, on the first hold of a day without the numbers of periods long past."""
        if _spend_field(name_day(at)) in (self.model_extra or {}):
            return self
        stale = self._name_stale_spend(at)
        return type(self)(**{name: value for name, value in self if name not in stale})

    def find_caps(self, at: datetime) -> tuple[SpendCap, SpendCap]:
        """The caps of the day and the month at `at`, with what is spent of them."""
        day = at.astimezone(UTC).date()
        return (
            SpendCap(
                name="daily",
                period=day.isoformat(),
                limit=self.daily_cap,
                spent=self.count_spent(day.isoformat()),
                resets_on=day + timedelta(days=1),
            ),
            SpendCap(
                name="monthly",
                period=day.isoformat()[:_MONTH],
                limit=self.monthly_cap,
                spent=self.count_spent(day.isoformat()[:_MONTH]),
                resets_on=(day.replace(day=1) + timedelta(days=31)).replace(day=1),
            ),
        )

    def list_caps(self, at: datetime) -> list[SpendCap]:
        """All caps, also those of no period."""
        return [*self.find_caps(at)]

    def count_spent(self, period: str) -> int:
        """The spend of a day, `2026-11-27`, or a month, `2026-11`; 0 for one long past."""
        return self.read_count(_spend_field(period))

    @property
    def has_caps(self) -> bool:
        """True when only so much may be spent in a day or a month."""
        return self.daily_cap is not None or self.monthly_cap is not None

    def find_alerts(self, at: datetime) -> list[SpendCap]:
        """The caps of which most is spent, and whose period has had no alert yet."""
        return [cap for cap in self.list_caps(at) if cap.is_near and cap.period not in self.alerted]

    def without_stale_alerts(self, at: datetime) -> Self:
        """The same, without the alerts of caps of which less than most is spent, after a change."""
        near = {cap.period for cap in self.list_caps(at) if cap.is_near}
        alerted = tuple(period for period in self.alerted if period in near)
        return self.model_copy(update={"alerted": alerted})

    def _name_stale_spend(self, at: datetime) -> set[str]:
        """The numbers of past periods.

        Those of yesterday, last month, and later periods stay: clocks of machines differ.
        """
        day = at.astimezone(UTC).date()
        yesterday = _spend_field((day - timedelta(days=1)).isoformat())
        last_month = _spend_field((day.replace(day=1) - timedelta(days=1)).isoformat()[:_MONTH])
        oldest = {len(yesterday): yesterday, len(last_month): last_month}
        extra = self.model_extra or {}
        return {name for name in extra if name.startswith(_SPENT) and name < oldest[len(name)]}


class SpendCap(Record, kw_only=True):
    """A limit on the credits of a period, and what is held and captured of it."""

    #: `daily` or `monthly`; `total` of a project, whose period is `total`, too.
    name: str
    #: `2026-11-27` or `2026-11`.
    period: str
    limit: int | None
    spent: int
    resets_on: date | None

    @property
    def resets_at(self) -> datetime | None:
        """The end of the period; None for a cap on all that is spent."""
        day = self.resets_on
        return None if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC)

    @property
    def field(self) -> str:
        """The field of the account that counts the period's spend."""
        return _spend_field(self.period)

    @property
    def remaining(self) -> int | None:
        """The credits that it leaves; None without a limit."""
        return None if self.limit is None else max(self.limit - self.spent, 0)

    @property
    def is_near(self) -> bool:
        """True when most of it is spent."""
        return self.limit is not None and self.spent * 100 >= self.limit * ALERT_PERCENT


def count_release(held_on: str, released: int) -> dict[str, int]:
    """The increments that take `released` credits out of the spend of their hold's periods."""
    return {_spend_field(period): -released for period in (held_on, held_on[:_MONTH])}


def name_day(at: datetime) -> str:
    """The day of a hold, as its job stores it: `2026-11-27`, in UTC."""
    in_utc = at if at.tzinfo is UTC else at.astimezone(UTC)
    return _format_day(in_utc.date())


#: Remembered, as the names of fields are: the holds of a day share them.
_format_day = lru_cache(maxsize=64)(date.isoformat)


@lru_cache(maxsize=64)
def _spend_field(period: str) -> str:
    return _SPENT + period.replace("-", "")


def format_credits(amount: int) -> str:
    """`1 credit`, `3 credits`."""
    return f"{amount} credit" if amount == 1 else f"{amount} credits"


def _say_are(amount: int) -> str:
    return f"{amount} is" if amount == 1 else f"{amount} are"


def _refuse_spend(cap: SpendCap, cost: int, whose: str) -> SpendCapError:
    """The refusal of a job whose cost a cap does not leave; `whose` cap, for its text."""
    left, resets = max((cap.limit or 0) - cap.spent, 0), cap.resets_at
    when = f"{'on' if cap.name == 'daily' else 'in'} {cap.period} (UTC)" if resets else "in all"
    again = f"Submit it again after {resets:%Y-%m-%dT%H:%M:%SZ}, or ask" if resets else "Ask"
    return SpendCapError(
        f"This job costs {format_credits(cost)}, and {_say_are(left)} left of {whose} {cap.name} "
        f"cap of {format_credits(cap.limit or 0)}: {_say_are(cap.spent)} spent or held {when}. "
        f"{again} an administrator for a higher cap.",
        cap=cap.name,
        limit=cap.limit,
        spent=cap.spent,
        cost=cost,
        resetsAt=resets and resets.isoformat().replace("+00:00", "Z"),
    )


class Account(CappedSpend):
    """A user's balance, in whole credits, and their place in flow control."""

    user_id: str
    available: NonNegativeInt = 0
    held: NonNegativeInt = 0
    captured: NonNegativeInt = 0
    granted: NonNegativeInt = 0
    #: Of grants that have ended.
    expired: NonNegativeInt = Field(default=0, exclude_if=lambda value: not value)
    #: The open grants with a priority or an end of their own; others are one pool.
    grants: tuple[CreditGrant, ...] = Field(default=(), exclude_if=lambda value: not value)
    #: When the next of them ends, for the sweep.
    wake_at: datetime | None = None
    wake_shard: int | None = None
    #: Unfinished jobs that may run, and those that wait for the user's limit. A settlement moves
    #: them by increments; the sweep corrects a wrong number by counting.
    active: int = 0
    waiting: int = 0
    #: The tier of the user's last token, for decisions when no token is at hand.
    tier: str | None = None
    #: An administrator's limit on active jobs, instead of the tier's.
    max_active: int | None = None
    #: For each job type the place of the next job on the user's virtual clock.
    passes: dict[str, datetime] = Field(default_factory=dict)
    #: The theoretical arrival time of the rate limit on writes.
    writes_at: datetime | None = None
    #: The events that the user's webhook endpoints get; submitting a job reads the account anyway.
    webhooks: tuple[WebhookSubscription, ...] = Field(
        default=(), exclude_if=lambda value: not value
    )
    #: Of an account in several documents (`account_shards`): the number of this one, the shards
    #: that new jobs go to, and the documents that there are. All are 0 where there is one.
    shard: int = Field(default=0, exclude_if=lambda value: not value)
    shards: int = Field(default=0, exclude_if=lambda value: not value)
    shard_documents: int = Field(default=0, exclude_if=lambda value: not value)

    @property
    def document_id(self) -> str:
        """The id under which it is stored."""
        return shard_account_id(self.user_id, self.shard)

    def apply(self, movement: Movement, **changes: Any) -> Self:
        """The account after a movement. Raises ValidationError if a number falls below 0.

        `changes` are any others: a count of each day and grant has a field of its own name.
        """
        moved = {
            "available": self.available + movement.available,
            "held": self.held + movement.held,
            "captured": self.captured + movement.captured,
            "granted": self.granted + movement.granted,
            "expired": self.expired + movement.expired,
        }
        if min(moved.values()) < 0:
            validate_changes(_Numbers, moved)  # raises
        return self.model_copy(update={**moved, **changes})

    def increase(self, amounts: Mapping[str, int | float]) -> Self:
        """The account with numbers increased, by their stored names; those of a movement included.

        Raises ValueError if a number of credits falls below 0.
        """
        changed: dict[str, Any] = {}
        for name, amount in amounts.items():
            after = changed[name] = (getattr(self, name, None) or 0) + amount
            if after < 0 and name in _MOVED:
                raise ValueError(f"the account of {self.user_id} would have {after} {name} credits")
        return self.model_copy(update=changed)

    def hold(self, cost: int, at: datetime, shares: Sequence[GrantShare] = ()) -> Self:
        """The account with `cost` held at `at`, counted as spent in that day and month.

        `shares` are those of its grants. Raises TooFewCreditsError, and SpendCapError for a cost
        that a cap does not leave.
        """
        movement = hold_movement(self, cost)
        if not cost:
            return self
        fields = self.count_hold(cost, at, "your")
        for share in shares:
            if share.grant_id is not None:
                left, held = name_left(share.grant_id), name_held(share.grant_id)
                fields[left] = self.read_count(left) - share.amount
                fields[held] = self.read_count(held) + share.amount
        return self.without_stale_spend(at).apply(movement, **fields)

    def count_grant(self, grant: CreditGrant) -> tuple[int, int]:
        """The credits that remain of a grant, and those that holds have of it."""
        return self.read_count(grant.left_field), self.read_count(grant.held_field)


_MOVED = frozenset({"available", "held", "captured", "granted", "expired"})


@with_config(STRICT)
class _Numbers(TypedDict):
    """The numbers of an account that a movement changes."""

    available: NonNegativeInt
    held: NonNegativeInt
    captured: NonNegativeInt
    granted: NonNegativeInt
    expired: NonNegativeInt


def name_left(grant_id: str) -> str:
    """The field of an account with the credits that remain of a grant."""
    return f"grantLeft_{grant_id}"


def name_held(grant_id: str) -> str:
    """The field of an account with the credits that holds have of a grant."""
    return f"grantHeld_{grant_id}"


class EntryKind(StrEnum):
    """The kind of a ledger entry."""

    GRANT = "grant"
    CAPTURE = "capture"
    RELEASE = "release"
    EXPIRY = "expiry"


class LedgerEntry(StoredRecord, kw_only=True):
    """One create-only record of a grant, a settlement, or the end of a grant.

    A hold has no entry of its own: the job records it, until the settlement's entry closes it.
    `amount` was granted, captured, released or has expired; a capture below `held` has released
    the rest.
    """

    entry_id: str
    user_id: str
    kind: Annotated[EntryKind, accept_unknown(EntryKind)]
    amount: NonNegativeInt
    held: NonNegativeInt = 0
    job_id: str | None = None
    reason: str | None = None
    granted_by: str | None = None
    #: Of a grant with a priority or an end of its own.
    priority: int | None = None
    expires_at: datetime | None = None
    created_at: datetime

    def __post_init__(self) -> None:
        """Raise ValueError for a negative amount: nothing else would notice one."""
        if self.amount < 0 or self.held < 0:
            raise ValueError(f"an amount of credits is negative: {self!r}")


def grant_movement(amount: int) -> Movement:
    """New credits, available at once."""
    return Movement(available=amount, granted=amount)


def hold_movement(account: Account, cost: int) -> Movement:
    """Set `cost` aside. Raises TooFewCreditsError when the balance does not cover it."""
    if cost <= account.available:
        return Movement(available=-cost, held=cost)
    price, available = format_credits(cost), _say_are(account.available)
    project_id = project_of_account(account.user_id)
    if project_id is None:
        text = (
            f"This job costs {price} and {available} available. Ask for a grant, or choose a "
            "cheaper job."
        )
    else:
        text = (
            f"This job costs {price}, and {available} available in the account of project "
            f"{project_id}, which pays its jobs. Ask an administrator to grant credits to it, or "
            "choose a cheaper job."
        )
    raise TooFewCreditsError(text, available=account.available, cost=cost)


def settle_movement(held: int, captured: int) -> Movement:
    """Close a hold: `captured` is spent, the rest is available again.

    Raises ValueError unless 0 ≤ captured ≤ held: a job is never charged more than it held.
    """
    if not 0 <= captured <= held:
        raise ValueError(f"cannot capture {captured} of {held} held credits")
    return Movement(available=held - captured, held=-held, captured=captured)
