"""Credits: one account a user, four numbers, and the only arithmetic on them.

Always `granted = available + held + captured`. A movement is a set of increments, so that it can be
applied to a value here, and without a read to a document in the store.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, NonNegativeInt

from taskreel.domain.errors import TooFewCreditsError
from taskreel.domain.value import StoredValue, Value, accept_unknown
from taskreel.domain.webhook import WebhookSubscription


class Movement(Value):
    """Increments of an account's numbers; they keep granted = available + held + captured."""

    available: int = 0
    held: int = 0
    captured: int = 0
    granted: int = 0

    def increments(self) -> dict[str, int]:
        """The increments that are not 0, by field name."""
        return {name: amount for name, amount in self.model_dump().items() if amount}


class Account(StoredValue):
    """A user's balance, in whole credits, and their place in flow control."""

    user_id: str
    available: NonNegativeInt = 0
    held: NonNegativeInt = 0
    captured: NonNegativeInt = 0
    granted: NonNegativeInt = 0
    #: Unfinished jobs that may run, and those that wait for the user's limit. A settlement moves
    #: them by increments; the sweep mends a number that has gone wrong by counting.
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

    def apply(self, movement: Movement) -> Self:
        """The account after a movement. Raises ValidationError if a number falls below 0."""
        moved = {
            "available": self.available + movement.available,
            "held": self.held + movement.held,
            "captured": self.captured + movement.captured,
            "granted": self.granted + movement.granted,
        }
        # Made anew and not copied, so that the numbers are checked.
        return type(self)(**{**dict(self), **moved})


class EntryKind(StrEnum):
    """The kind of a ledger entry."""

    GRANT = "grant"
    CAPTURE = "capture"
    RELEASE = "release"


class LedgerEntry(StoredValue):
    """One create-only record of a grant or a settlement.

    A hold has no entry of its own: the job records it, until the settlement's entry closes it.
    `amount` was granted, captured or released; a capture below `held` has released the rest.
    """

    entry_id: str
    user_id: str
    kind: Annotated[EntryKind, accept_unknown(EntryKind)]
    amount: NonNegativeInt
    held: NonNegativeInt = 0
    job_id: str | None = None
    reason: str | None = None
    granted_by: str | None = None
    created_at: datetime


def grant_movement(amount: int) -> Movement:
    """New credits, available at once."""
    return Movement(available=amount, granted=amount)


def hold_movement(account: Account, cost: int) -> Movement:
    """Set `cost` aside. Raises TooFewCreditsError when the balance does not cover it."""
    if cost > account.available:
        raise TooFewCreditsError(
            f"This job costs {cost} credits and {account.available} are available. "
            "Ask for a grant, or choose a cheaper job.",
            available=account.available,
            cost=cost,
        )
    return Movement(available=-cost, held=cost)


def settle_movement(held: int, captured: int) -> Movement:
    """Close a hold: `captured` is spent, the rest is available again.

    Raises ValueError unless 0 ≤ captured ≤ held: a job is never charged more than it held.
    """
    if not 0 <= captured <= held:
        raise ValueError(f"cannot capture {captured} of {held} held credits")
    return Movement(available=held - captured, held=-held, captured=captured)
