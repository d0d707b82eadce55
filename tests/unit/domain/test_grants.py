"""Grants burn by priority, expiry and age; a release returns each credit to its grant."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from taskreel.domain.credits import (
    Account,
    CreditGrant,
    GrantShare,
    grant_movement,
    settle_movement,
)
from taskreel.domain.grants import (
    DEFAULT_PRIORITY,
    expire_grants,
    is_ordinary,
    open_grant,
    settle_shares,
    split_hold,
)

START = datetime(2026, 11, 27, 12, tzinfo=UTC)
NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass
class Lot:
    """A grant of the model: each of its credits is left, held, captured or expired."""

    priority: int
    ends: datetime
    made: int
    left: int

    @property
    def order(self) -> tuple[int, datetime, int]:
        return self.priority, self.ends, self.made


@dataclass
class ModelHold:
    """A hold: the shares that the product stores, and the lots of which its credits are."""

    cost: int
    shares: tuple[GrantShare, ...]
    lots: list[Lot] = field(default_factory=list)


class GrantedAccount(RuleBasedStateMachine):
    """Each credit by itself, as the model, beside the numbers of the account."""

    holds: Bundle[ModelHold] = Bundle("holds")

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.account = Account(user_id="ada")
        self.lots: list[Lot] = []
        self.captured = self.expired = 0

    def expire(self) -> None:
        self.account, expired = expire_grants(self.account, self.now)
        for lot in self.lots:
            if lot.ends <= self.now:
                self.expired += lot.left
                lot.left = 0
        assert all(amount > 0 for amount in expired.values())

    @rule(minutes=st.integers(1, 90))
    def pass_time(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule(
        amount=st.integers(1, 20),
        priority=st.sampled_from([1, 40, DEFAULT_PRIORITY, DEFAULT_PRIORITY, 90]),
        minutes=st.sampled_from([None, None, 10, 60, 60, 600]),
    )
    def grant(self, amount: int, priority: int, minutes: int | None) -> None:
        self.expire()
        self.account = self.account.apply(grant_movement(amount))
        ends = None if minutes is None else self.now + timedelta(minutes=minutes)
        number = len(self.lots)
        if not is_ordinary(priority, ends):
            grant = CreditGrant(
                grant_id=f"g{number:04}",
                amount=amount,
                priority=priority,
                expires_at=ends,
                created_at=self.now,
            )
            self.account = open_grant(self.account, grant, 0)
        self.lots.append(Lot(priority, ends or NEVER, number, amount))

    @rule(target=holds, cost=st.integers(1, 30))
    def hold(self, cost: int) -> ModelHold:
        self.expire()
        cost = min(cost, self.account.available)
        shares = split_hold(self.account, cost)
        self.account = self.account.hold(cost, self.now, shares)
        held = ModelHold(cost, shares)
        for lot in sorted(self.lots, key=lambda one: one.order):
            taken = min(lot.left, cost - len(held.lots))
            lot.left -= taken
            held.lots += [lot] * taken
        assert len(held.lots) == cost
        return held

    @rule(hold=consumes(holds), data=st.data())
    def settle(self, hold: ModelHold, data: st.DataObject) -> None:
        """As a settlement does it: by increments, without knowing the account."""
        captured = data.draw(st.integers(0, hold.cost))
        settled = settle_shares(hold.shares, captured, self.now)
        increments = Counter(settle_movement(hold.cost, captured).increments())
        increments.update(settled.increments)
        increments.update(available=-settled.expired, expired=settled.expired)
        stored = self.account.document()
        for name, amount in increments.items():
            stored[name] = stored.get(name, 0) + amount
        self.account = Account.model_validate(stored)
        self.captured += captured
        for lot in hold.lots[captured:]:
            if lot.ends <= self.now:
                self.expired += 1
            else:
                lot.left += 1

    @invariant()
    def every_credit_is_where_the_model_has_it(self) -> None:
        account, _ = expire_grants(self.account, self.now)
        valid = [lot for lot in self.lots if lot.ends > self.now]
        expired = self.expired + sum(lot.left for lot in self.lots if lot.ends <= self.now)
        assert account.available == sum(lot.left for lot in valid)
        assert (account.captured, account.expired) == (self.captured, expired)
        assert account.granted == (
            account.available + account.held + account.captured + account.expired
        )
        for grant in account.grants:
            lot = self.lots[int(grant.grant_id[1:])]
            assert account.count_grant(grant)[0] == (lot.left if lot.ends > self.now else 0)

    @invariant()
    def an_account_whose_holds_are_settled_has_no_more_than_open_grants(self) -> None:
        self.expire()
        for grant in self.account.grants:
            assert any(self.account.count_grant(grant))
        names = [name for name in self.account.model_extra or {} if name.startswith("grant")]
        assert len(names) <= 2 * len(self.account.grants)


TestGrantedAccount = GrantedAccount.TestCase


def test_an_account_without_such_grants_stores_nothing_of_them() -> None:
    account = Account(user_id="ada", available=9, granted=9)
    assert split_hold(account, 5) == ()
    stored = account.hold(5, START).document()
    assert not {"grants", "expired", "wakeAt", "wakeShard"} & stored.keys()
    assert not [name for name in stored if name.startswith("grant") and name != "granted"]
