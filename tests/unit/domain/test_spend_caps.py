"""The spend of a day and a month: never above its cap, and a release goes back to its hold's."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from taskreel.domain.credits import (
    Account,
    count_release,
    name_day,
    settle_movement,
)
from taskreel.domain.errors import SpendCapError

START = datetime(2026, 11, 29, 22, tzinfo=UTC)
Hold = tuple[str, int]


class CappedAccount(RuleBasedStateMachine):
    """Holds and settlements of an account with caps, while days and months pass."""

    holds: Bundle[Hold] = Bundle("holds")

    def __init__(self) -> None:
        super().__init__()
        self.now = self.latest = START
        self.account = Account(
            user_id="ada", available=10_000, granted=10_000, daily_cap=40, monthly_cap=100
        )
        #: Held and captured of the holds of each day.
        self.spent = Counter[str]()

    def sum_month(self, month: str) -> int:
        return sum(spent for day, spent in self.spent.items() if day.startswith(month))

    @rule(hours=st.integers(1, 60))
    def pass_time(self, hours: int) -> None:
        self.now = self.latest = self.latest + timedelta(hours=hours)

    @rule(hours=st.integers(1, 20))
    def meet_a_late_clock(self, hours: int) -> None:
        self.now = self.latest - timedelta(hours=hours)

    @rule(target=holds, cost=st.integers(0, 30))
    def hold(self, cost: int) -> Hold:
        day = name_day(self.now)
        fits = self.spent[day] + cost <= 40 and self.sum_month(day[:7]) + cost <= 100
        if fits or not cost:
            self.account = self.account.hold(cost, self.now)
            self.spent[day] += cost
            return day, cost
        with pytest.raises(SpendCapError) as refused:
            self.account.hold(cost, self.now)
        details = refused.value.details
        assert details["spent"] + cost > details["limit"]
        assert datetime.fromisoformat(details["resetsAt"]) > self.now
        return day, 0

    @rule(hold=consumes(holds), data=st.data())
    def settle(self, hold: Hold, data: st.DataObject) -> None:
        """As a settlement does it: by increments, without knowing the account."""
        day, held = hold
        captured = data.draw(st.integers(0, held))
        stored = self.account.document()
        increments = Counter(settle_movement(held, captured).increments())
        increments.update(count_release(day, held - captured))
        for name, amount in increments.items():
            stored[name] = stored.get(name, 0) + amount
        self.account = Account.model_validate(stored)
        self.spent[day] -= held - captured

    @invariant()
    def no_period_is_above_its_cap(self) -> None:
        daily, monthly = self.account.find_caps(self.now)
        assert daily.spent == self.spent[daily.period] <= 40
        assert monthly.spent == self.sum_month(monthly.period) <= 100

    @invariant()
    def past_periods_do_not_pile_up(self) -> None:
        # A hold retains two days and two months, and those that are later by another clock. A late
        # release is a number below 0 until the next hold.
        counts = self.account.model_extra or {}
        assert len([name for name, spent in counts.items() if spent > 0]) <= 6


TestCappedAccount = CappedAccount.TestCase


def test_a_month_ends_at_its_last_midnight() -> None:
    account = Account(user_id="ada")
    for at, ends in (
        (datetime(2026, 12, 31, 23, 59, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        (datetime(2028, 2, 1, tzinfo=UTC), datetime(2028, 3, 1, tzinfo=UTC)),
        (datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)),
    ):
        assert account.find_caps(at)[1].resets_at == ends


def test_the_day_is_that_of_utc_whatever_the_zone_of_the_time() -> None:
    tokyo = datetime.fromisoformat("2026-11-28T08:00:00+09:00")
    assert name_day(tokyo) == "2026-11-27"
    account = Account(user_id="ada", available=9, granted=9).hold(4, tokyo)
    assert account.count_spent("2026-11-27") == account.count_spent("2026-11") == 4
