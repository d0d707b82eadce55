from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from pydantic import ValidationError

from taskreel.domain.credits import (
    Account,
    Movement,
    grant_movement,
    hold_movement,
    settle_movement,
)
from taskreel.domain.errors import TooFewCreditsError

amounts = st.integers(1, 50)


class Ledger(RuleBasedStateMachine):
    """Any sequence of grants, holds and settlements, each settlement of a hold made before."""

    held: Bundle[int] = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.account = Account(user_id="ada")

    @rule(amount=amounts)
    def grant(self, amount: int) -> None:
        self.account = self.account.apply(grant_movement(amount))

    @rule(target=held, cost=st.integers(0, 60))
    def hold(self, cost: int) -> int:
        if cost <= self.account.available:
            self.account = self.account.apply(hold_movement(self.account, cost))
            return cost
        with pytest.raises(TooFewCreditsError) as refused:
            hold_movement(self.account, cost)
        assert refused.value.details == {"available": self.account.available, "cost": cost}
        return 0

    @rule(cost=consumes(held), data=st.data())
    def settle(self, cost: int, data: st.DataObject) -> None:
        self.account = self.account.apply(settle_movement(cost, data.draw(st.integers(0, cost))))

    @invariant()
    def adds_up(self) -> None:
        account = self.account
        assert account.granted == account.available + account.held + account.captured
        assert min(account.available, account.held, account.captured) >= 0


TestLedger = Ledger.TestCase


@given(st.integers(0, 100), st.integers(-50, 150))
def test_no_more_than_the_hold_and_no_less_than_nothing_is_captured(
    held: int, captured: int
) -> None:
    if 0 <= captured <= held:
        movement = settle_movement(held, captured)
        assert (movement.captured, movement.available) == (captured, held - captured)
    else:
        with pytest.raises(ValueError, match=f"cannot capture {captured} of {held}"):
            settle_movement(held, captured)


@given(
    st.builds(
        Movement,
        available=st.integers(),
        held=st.integers(),
        captured=st.integers(),
        granted=st.integers(),
    )
)
def test_increments_say_the_same_as_the_movement(movement: Movement) -> None:
    assert Movement(**movement.increments()) == movement
    assert 0 not in movement.increments().values()


def test_an_account_cannot_become_negative() -> None:
    with pytest.raises(ValidationError):
        Account(user_id="ada").apply(Movement(available=-1))
    with pytest.raises(ValueError, match="-1 held credits"):
        Account(user_id="ada", available=1).increase({"available": 1, "held": -1})
    assert Account(user_id="ada").increase({"active": -1}).active == -1


def test_too_few_credits_say_what_is_missing() -> None:
    with pytest.raises(TooFewCreditsError, match="costs 5 credits and 2 are available"):
        hold_movement(Account(user_id="ada", available=2, granted=2), 5)
