"""Jobs of a sharded account, in any order and however they overtake each other.

What is checked is the sum: no credit is lost or spent twice, nobody is refused who has the credits,
and as many jobs are active as the limit says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from random import Random
from typing import Any, TypeVar, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from taskreel.adapters.local.sqlite import SqliteStore
from taskreel.app.caller import Caller
from taskreel.app.credits.account_shards import (
    JobNeeds,
    ShardChoice,
    load_shards,
    move_place_to,
    open_shard,
    run_on_fit_shard,
)
from taskreel.app.credits.grants import GrantOrder, grant_credits
from taskreel.app.jobs.finish_job import settle_hold
from taskreel.app.jobs.shard_account import limit_shards, set_account_shards
from taskreel.domain.account_shards import divide_limit, merge_shards
from taskreel.domain.credits import Account
from taskreel.domain.errors import TooFewCreditsError, UnfitShardError
from taskreel.domain.ids import MOST_SHARDS
from taskreel.domain.job import Job
from taskreel.domain.job_fields import JobCredits, WaitsFor
from taskreel.domain.job_status import Status
from taskreel.ports import Collection, Transaction
from taskreel.store_collections import ACCOUNTS
from unit.app.account_services import build_services, store_account
from unit.domain.samples import NOW, job

T = TypeVar("T")
V = TypeVar("V")
ROOT = Caller(user_id="root")


class _Meddled(SqliteStore):
    """A store in which others act between the reading of all shards and what it leads to."""

    def __init__(self) -> None:
        super().__init__(":memory:")
        self.meddlers: list[Callable[[], Coroutine[Any, Any, None]]] = []
        #: The sum of the available credits, each time that all shards were read.
        self.seen: list[int] = []

    async def get_all(self, collection: Collection[V], ids: Sequence[str], /) -> list[V | None]:
        found = await super().get_all(collection, ids)
        meddlers, self.meddlers = self.meddlers, []
        for meddle in meddlers:
            await meddle()
        self.seen.append(sum(one.available for one in found if isinstance(one, Account)))
        return found


class ShardedAccount(RuleBasedStateMachine):
    """The events of one account; each may happen in the midst of a submission."""

    @initialize(limit=st.integers(1, 6), credits=st.integers(0, 40))
    def begin(self, limit: int, credits: int) -> None:  # noqa: A002 - the word for them
        self.runner = asyncio.Runner()
        self.store = _Meddled()
        self.services = build_services(self.store, Random(0))
        self.limit, self.granted, self.captured = limit, 0, 0
        self.jobs: dict[str, Job] = {}
        self.number = 0
        self.run(self.store.transaction(self._write_limit))
        self.grant(credits + 1)

    async def _write_limit(self, tx: Transaction) -> None:
        first = await tx.get(ACCOUNTS, "ada") or Account(user_id="ada")
        if first.shard_documents:
            await limit_shards(tx, first, self.limit)
        else:
            tx.set(ACCOUNTS, "ada", first.model_copy(update={"max_active": self.limit}))

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    # ── Events ───────────────────────────────────────────────────────────────────────────────────

    @rule(cost=st.integers(0, 25), meddlers=st.lists(st.integers(0, 5), max_size=3))
    def submit(self, cost: int, meddlers: list[int]) -> None:
        self.store.meddlers = [self._choose_meddler(number) for number in meddlers]
        self.run(self._submit(cost))
        self.store.meddlers = []

    def _choose_meddler(self, number: int) -> Callable[[], Coroutine[Any, Any, None]]:
        return [
            lambda: self._submit(7),
            lambda: self._submit(0),
            lambda: self._resize(1),
            lambda: self._resize(5),
            lambda: self._end(0, 0),
            lambda: self._end(1, 50),
        ][number]

    async def _submit(self, cost: int) -> None:
        self.number += 1
        new = job(
            Status.QUEUED,
            job_id=f"job_{self.number}",
            units=(),
            credits=JobCredits(held=cost),
            held_on="2026-01-01",
        )
        self.store.seen.clear()
        try:
            try:
                stored = await self.store.transaction(lambda tx: self._store(tx, new, None))
            except UnfitShardError as unfit:
                stored = await run_on_fit_shard(
                    self.services,
                    new,
                    JobNeeds(cost=unfit.cost, place=True),
                    lambda tx, choice: self._store(tx, new, choice),
                )
        except TooFewCreditsError as error:
            refused = error.details
        else:
            self.jobs[stored.job_id] = stored
            return
        # The sum when all shards were read; of an account that is not sharded the present one.
        assert refused["available"] in {*self.store.seen[-1:], self._sum().available}
        assert refused["available"] < cost == refused["cost"]

    async def _store(self, tx: Transaction, new: Job, choice: ShardChoice | None) -> Job:
        first = shard = cast(Account, await tx.get(ACCOUNTS, "ada"))
        cost = new.credits.held
        if first.shard_documents:
            shard, _ = await open_shard(tx, first, new, JobNeeds(cost=cost, place=True), choice)
        after = shard.hold(cost, NOW)
        changes: dict[str, Any] = {"account_shard": shard.shard}
        if after.active < (after.max_active or 0) and after.waiting <= 0:
            after = after.model_copy(update={"active": after.active + 1})
            changes["slot_of"] = shard.document_id
        else:
            after = after.model_copy(update={"waiting": after.waiting + 1})
            changes["waits_for"] = WaitsFor.USER
        tx.set(ACCOUNTS, after.document_id, after)
        return new.model_copy(update=changes)

    @precondition(lambda self: self.jobs)
    @rule(which=st.integers(0, 30), percent=st.integers(0, 100))
    def end(self, which: int, percent: int) -> None:
        self.run(self._end(which, percent))

    async def _end(self, which: int, percent: int) -> None:
        if not self.jobs:
            return
        ended = self.jobs.pop(list(self.jobs)[which % len(self.jobs)])
        held = ended.credits.held
        captured = held * percent // 100

        async def write(tx: Transaction) -> None:
            settle_hold(tx, ended, NOW, held=held, captured=captured)

        await self.store.transaction(write)
        self.captured += captured

    @precondition(lambda self: any(job.slot_of is None for job in self.jobs.values()))
    @rule(which=st.integers(0, 30))
    def admit(self, which: int) -> None:
        """A job that waits gets a place wherever one is free, as its own shard has it then."""
        waiting = [one for one in self.jobs.values() if one.slot_of is None]
        chosen = waiting[which % len(waiting)]
        has_place = self.run(move_place_to(self.services, "ada", chosen.account_shard))
        assert has_place is (self._count_active() < self.limit)
        if not has_place:
            return

        async def write(tx: Transaction) -> None:
            shard = cast(Account, await tx.get(ACCOUNTS, chosen.own_account_id))
            numbers = {"active": shard.active + 1, "waiting": shard.waiting - 1}
            tx.set(ACCOUNTS, shard.document_id, shard.model_copy(update=numbers))

        self.run(self.store.transaction(write))
        changes = {"slot_of": chosen.own_account_id, "waits_for": None}
        self.jobs[chosen.job_id] = chosen.model_copy(update=changes)

    @rule(shards=st.integers(1, 6))
    def resize(self, shards: int) -> None:
        before = self._sum()
        self.run(self._resize(shards))
        after = self._sum()
        assert after.shards == (shards if after.shard_documents else 0)
        unchanged = ("available", "held", "captured", "granted", "active", "waiting", "max_active")
        for name in unchanged:
            assert getattr(after, name) == getattr(before, name), name

    async def _resize(self, shards: int) -> None:
        await set_account_shards(self.services, ROOT, "ada", shards, "")

    @rule(limit=st.integers(1, 8))
    def change_limit(self, limit: int) -> None:
        # Jobs that run go on: the sum may be above a lowered limit, which is not this machine's.
        if limit >= self._count_active():
            self.limit = limit
            self.run(self.store.transaction(self._write_limit))

    @rule(amount=st.integers(1, 30))
    def grant(self, amount: int) -> None:
        order = GrantOrder(amount=amount, reason=None, granted_by="root")
        account = self.run(grant_credits(self.services, "ada", order))
        self.granted += amount
        assert account.granted == self.granted

    # ── Invariants ───────────────────────────────────────────────────────────────────────────────

    def _shards(self) -> list[Account]:
        found = [self.store.find_document(("accounts", "ada"))]
        first = cast(Account, self.store.read_value(ACCOUNTS, "ada", found[0]))
        ids = [f"shard:{number}:ada" for number in range(1, first.shard_documents)]
        others = [
            self.store.read_value(ACCOUNTS, id_, self.store.find_document(("accounts", id_)))
            for id_ in ids
        ]
        assert None not in others
        return [first, *[one for one in others if one is not None]]

    def _sum(self) -> Account:
        return merge_shards(self._shards())

    def _count_active(self) -> int:
        return sum(one.slot_of is not None for one in self.jobs.values())

    @invariant()
    def each_document_is_a_whole_account(self) -> None:
        for shard in self._shards():
            parts = (shard.available, shard.held, shard.captured)
            assert shard.granted == sum(parts)
            assert min(parts) >= 0
            mine = [one for one in self.jobs.values() if one.account_shard == shard.shard]
            assert shard.held == sum(one.credits.held for one in mine)
            assert shard.active == sum(one.slot_of == shard.document_id for one in mine)
            assert shard.waiting == sum(one.slot_of is None for one in mine)

    @invariant()
    def the_sums_are_those_of_one_account(self) -> None:
        whole = self._sum()
        assert (whole.granted, whole.captured) == (self.granted, self.captured)
        assert whole.count_spent("2026-01-01") == whole.held + whole.captured
        assert whole.max_active == self.limit
        assert self._count_active() <= self.limit

    def teardown(self) -> None:
        """Once its jobs have ended, the account can be united, and is one like any other."""
        if not hasattr(self, "store"):
            return
        try:
            self._unite()
        finally:
            self.run(self.store.close())
            self.runner.close()

    def _unite(self) -> None:
        for id_ in list(self.jobs):
            self.jobs = {id_: self.jobs.pop(id_), **self.jobs}
            self.end(0, 0)
        self.resize(1)
        (whole,) = self._shards()
        assert (whole.shards, whole.shard_documents) == (0, 0)
        assert (whole.held, whole.active, whole.waiting) == (0, 0, 0)


TestShardedAccount = ShardedAccount.TestCase
TestShardedAccount.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@given(st.integers(2, MOST_SHARDS), st.integers(0, 300))
def test_jobs_that_cost_all_credits_are_all_taken_and_the_next_is_refused_with_the_sum(
    shards: int, available: int
) -> None:
    machine = ShardedAccount()
    machine.begin(limit=3, credits=available)
    machine.resize(shards)
    for cost in (available // 2, available // 3, 1):
        machine.submit(cost, [])
    assert len(machine.jobs) == 3
    left = machine._sum().available
    machine.submit(left, [])
    machine.submit(1, [])
    assert len(machine.jobs) == 4
    machine.the_sums_are_those_of_one_account()
    machine.each_document_is_a_whole_account()
    machine.teardown()


@given(active=st.lists(st.integers(0, 9), min_size=1, max_size=5), limit=st.integers(1, 30))
def test_each_shard_ends_its_part_of_the_jobs_that_a_lowered_limit_has_too_many(
    active: list[int], limit: int
) -> None:
    number = len(active)
    shards = [
        Account(user_id="ada", shard=place, shards=number, active=one)
        for place, one in enumerate(active)
    ]
    parts = [shard.max_active or 0 for shard in divide_limit(shards, limit)]
    assert sum(parts) == limit
    too_many = max(sum(active) - limit, 0)
    for part, one in zip(parts, active, strict=True):
        # In proportion, to the next whole job.
        assert one - part < one * too_many / max(sum(active), 1) + 1
        assert part - one <= (limit if not too_many else 0)
        if too_many:
            assert one - part > one * too_many / sum(active) - 1


async def test_all_shards_are_read_again_when_there_are_more_than_was_thought() -> None:
    store = SqliteStore(":memory:")
    services = build_services(store, Random(0))
    machine = Account(user_id="ada", available=9, granted=9, max_active=2)

    await store_account(store, machine)
    await set_account_shards(services, ROOT, "ada", 4, "")
    assert len(await load_shards(services, "ada", 1)) == 4
    assert await load_shards(services, "eve", 1) == []


@pytest.mark.parametrize(
    ("account", "reason"),
    [
        (Account(user_id="ada"), "limit of its own"),
        (Account(user_id="ada", max_active=4, daily_cap=5), "spend cap"),
    ],
)
async def test_an_account_whose_numbers_cannot_be_divided_is_refused(
    account: Account, reason: str
) -> None:
    store = SqliteStore(":memory:")

    await store_account(store, account)
    with pytest.raises(Exception, match=reason):
        await set_account_shards(build_services(store, Random(0)), ROOT, "ada", 2, "")
    assert await store.get(ACCOUNTS, "ada") == account
