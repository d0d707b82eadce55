"""Credits: one account a user, four numbers, and the only arithmetic on them.

Always `granted = available + held + captured`. A movement is a set of increments, so that it can be
applied to a value here and, unread, to a document in the store.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Self

from pydantic import NonNegativeInt

from taskreel.domain.errors import TooFewCreditsError
from taskreel.domain.value import Value


class Movement(Value):
    """What a credit movement adds to each number; it keeps granted = available + held + captured."""

    available: int = 0
    held: int = 0
    captured: int = 0
    granted: int = 0

    def increments(self) -> dict[str, int]:
        """The numbers that change, by field name."""
        return {name: amount for name, amount in self.model_dump().items() if amount}


class Account(Value):
    """A user's balance, in whole credits."""

    user_id: str
    available: NonNegativeInt = 0
    held: NonNegativeInt = 0
    captured: NonNegativeInt = 0
    granted: NonNegativeInt = 0

    def after(self, movement: Movement) -> Self:
        """The account once `movement` is applied."""
        return type(self)(
            user_id=self.user_id,
            available=self.available + movement.available,
            held=self.held + movement.held,
            captured=self.captured + movement.captured,
            granted=self.granted + movement.granted,
        )


class EntryKind(StrEnum):
    """What a ledger entry records."""

    GRANT = "grant"
    CAPTURE = "capture"
    RELEASE = "release"


class LedgerEntry(Value):
    """One create-only record. A hold is recorded by its job until the one settlement entry closes it.

    `amount` is what was granted, captured or released; a capture of less than was `held` released the rest.
    """

    entry_id: str
    user_id: str
    kind: EntryKind
    amount: NonNegativeInt
    held: NonNegativeInt = 0
    job_id: str | None = None
    reason: str | None = None
    granted_by: str | None = None
    created_at: datetime


def grant(amount: int) -> Movement:
    """New credits: available at once."""
    return Movement(available=amount, granted=amount)


def hold(account: Account, cost: int) -> Movement:
    """Set `cost` aside; raises TooFewCreditsError when the balance does not cover it."""
    if cost > account.available:
        raise TooFewCreditsError(
            f"This job costs {cost} credits and {account.available} are available. "
            "Ask for a grant, or choose a cheaper job.",
            available=account.available,
            cost=cost,
        )
    return Movement(available=-cost, held=cost)


def settle(held: int, captured: int) -> Movement:
    """Close a hold: `captured` (0 ≤ captured ≤ held) is spent, the rest is available again."""
    if not 0 <= captured <= held:
        raise ValueError(f"cannot capture {captured} of {held} held credits")
    return Movement(available=held - captured, held=-held, captured=captured)
