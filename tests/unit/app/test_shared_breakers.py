"""Breakers of two instances over one store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from taskreel.adapters.local.sqlite import SqliteStore
from taskreel.app.providers.circuit_breakers import MAX_VIEW_AGE, CircuitBreakers, breaker_id
from taskreel.domain.breaker import Breaker, BreakerRule, BreakerState
from taskreel.ports import undecoded_collection
from taskreel.store_collections import BREAKERS

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
RULE = BreakerRule(
    window_seconds=60,
    min_calls=4,
    failure_rate=0.5,
    open_seconds=10,
    max_open_seconds=60,
    probe_seconds=20,
)
ID = breaker_id("fal", "owner/name")


class Counted(SqliteStore):
    """A store that counts its queries and transactions."""

    queries = 0
    transactions = 0

    async def query(self, query: Any, /) -> Any:
        self.queries += 1
        return await super().query(query)

    async def transaction(self, fn: Any, /) -> Any:
        self.transactions += 1
        return await super().transaction(fn)


@pytest.fixture
async def store() -> AsyncIterator[Counted]:
    made = Counted(":memory:")
    yield made
    await made.close()


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


async def fail(breakers: CircuitBreakers, second: float, times: int = 1) -> None:
    for number in range(times):
        now = at(second + number)
        await breakers.record_result(ID, now, failed=True, begun_at=now)


async def seen(breakers: CircuitBreakers, second: float) -> BreakerState:
    found = await breakers.load_breakers(at(second))
    return found.get(ID, Breaker()).state_at(at(second))


async def test_successes_are_not_written_and_one_query_in_five_seconds_reads_all(
    store: Counted,
) -> None:
    breakers = CircuitBreakers(store, RULE)
    for tenth in range(40):
        now = at(tenth / 10)
        assert await breakers.admit_work(ID, now) == now
        await breakers.record_result(ID, now, failed=False, begun_at=now)
    assert (store.queries, store.transactions) == (1, 0)


async def test_failures_are_written_once_a_second_at_most(store: Counted) -> None:
    breakers = CircuitBreakers(store, BreakerRule(min_calls=100))
    for tenth in range(30):
        now = at(tenth / 10)
        await breakers.record_result(ID, now, failed=True, begun_at=now)
    assert store.transactions == 3


async def test_another_instance_learns_of_an_open_breaker_within_seconds(store: Counted) -> None:
    one, other = CircuitBreakers(store, RULE), CircuitBreakers(store, RULE)
    assert await seen(other, 0) is BreakerState.CLOSED
    await fail(one, 0, times=4)
    assert await seen(one, 4) is BreakerState.OPEN
    assert await seen(other, 4) is BreakerState.CLOSED
    assert await seen(other, MAX_VIEW_AGE.total_seconds()) is BreakerState.OPEN


async def test_failures_of_several_instances_are_summed(store: Counted) -> None:
    one, other = CircuitBreakers(store, RULE), CircuitBreakers(store, RULE)
    await fail(one, 0, times=2)
    await fail(other, 2, times=2)
    assert await seen(other, 4) is BreakerState.OPEN


async def test_one_of_all_instances_may_probe(store: Counted) -> None:
    instances = [CircuitBreakers(store, RULE) for _ in range(3)]
    await fail(instances[0], 0, times=4)
    now = at(20)
    admitted = [await each.admit_work(ID, now) for each in instances]
    assert [when for when in admitted if when == now] == [now]
    # The others ask again long before the probe would be given up.
    assert {when for when in admitted if when != now} == {
        now + timedelta(seconds=RULE.min_wait_seconds)
    }


async def test_work_behind_a_probe_starts_soon_after_it_succeeds_and_asks_few_times(
    store: Counted,
) -> None:
    rule = BreakerRule(min_calls=4, open_seconds=10, probe_seconds=120)
    one, other = CircuitBreakers(store, rule), CircuitBreakers(store, rule)
    await fail(one, 0, times=4)
    assert await one.admit_work(ID, at(20)) == at(20)
    asked, ask_at = 0, at(20.5)
    while ask_at < at(27):
        found = await other.admit_work(ID, ask_at)
        assert found is not None
        assert found > ask_at
        asked, ask_at = asked + 1, found
    assert asked == 2
    await one.record_result(ID, at(27), failed=False, begun_at=at(20))
    ask_at = max(ask_at, at(27) + MAX_VIEW_AGE)
    assert await other.admit_work(ID, ask_at) == ask_at
    assert ask_at <= at(35)


async def test_work_behind_a_probe_that_hangs_asks_a_few_times_until_it_is_given_up(
    store: Counted,
) -> None:
    rule = BreakerRule(min_calls=4, open_seconds=10, probe_seconds=120)
    breakers = CircuitBreakers(store, rule)
    await fail(breakers, 0, times=4)
    assert await breakers.admit_work(ID, at(20)) == at(20)
    asked, ask_at = 0, at(20.5)
    while asked < 100:
        found = await breakers.admit_work(ID, ask_at)
        assert found is not None
        if found == ask_at:
            break
        asked, ask_at = asked + 1, found
    assert (asked, ask_at) == (6, at(140))


# ── Requests without an answer ───────────────────────────────────────────────────────────────────


async def go_unanswered(
    breakers: CircuitBreakers, second: float, times: int, user_id: str | None = None
) -> None:
    for number in range(times):
        now = at(second + number / 10)
        await breakers.record_result(
            ID, now, failed=True, begun_at=now, user_id=user_id, unanswered=True
        )


async def test_an_instance_without_answers_pauses_a_provider_for_itself_alone(
    store: Counted,
) -> None:
    starved, healthy = CircuitBreakers(store, RULE), CircuitBreakers(store, RULE)
    for second in range(0, 30, 2):
        await go_unanswered(starved, second, times=4)
        await healthy.record_result(ID, at(second + 1), failed=False, begun_at=at(second))
    assert await healthy.admit_work(ID, at(30)) == at(30)
    assert await seen(CircuitBreakers(store, RULE), 30) is BreakerState.CLOSED
    paused_until = await starved.admit_work(ID, at(9))
    assert paused_until is not None
    assert paused_until > at(9)


async def test_a_provider_that_answers_no_instance_is_paused_for_all(store: Counted) -> None:
    one, other = CircuitBreakers(store, RULE), CircuitBreakers(store, RULE)
    await go_unanswered(one, 0, times=3)
    await go_unanswered(other, 1, times=3)
    assert await seen(CircuitBreakers(store, RULE), 2) is BreakerState.OPEN


async def test_one_users_inputs_that_get_no_answer_do_not_pause_a_provider(
    store: Counted,
) -> None:
    one, other = CircuitBreakers(store, RULE), CircuitBreakers(store, RULE)
    for breakers in (one, other):
        await go_unanswered(breakers, 0, times=9, user_id="mallory")
    assert await seen(CircuitBreakers(store, RULE), 2) is BreakerState.CLOSED
    assert await one.admit_work(ID, at(2)) == at(2)
    for breakers in (one, other):
        for user_id in ("ada", "bob", "cleo"):
            await go_unanswered(breakers, 3, times=1, user_id=user_id)
    await go_unanswered(one, 5, times=1, user_id="ada")
    assert await seen(CircuitBreakers(store, RULE), 6) is BreakerState.OPEN


async def test_a_starved_instances_probe_does_not_pause_a_provider_again(store: Counted) -> None:
    starved, healthy = CircuitBreakers(store, RULE), CircuitBreakers(store, RULE)
    await fail(healthy, 0, times=4)
    assert await starved.admit_work(ID, at(20)) == at(20)
    await go_unanswered(starved, 21, times=1)
    assert await healthy.admit_work(ID, at(22)) == at(22)
    await healthy.record_result(ID, at(23), failed=False, begun_at=at(22))
    assert await seen(CircuitBreakers(store, RULE), 24) is BreakerState.CLOSED


async def test_an_instance_that_gets_answers_again_resumes_after_one_probe(
    store: Counted,
) -> None:
    breakers = CircuitBreakers(store, RULE)
    await go_unanswered(breakers, 0, times=4)
    assert await breakers.admit_work(ID, at(5)) == at(10.3)
    assert await breakers.admit_work(ID, at(11)) == at(11)
    assert await breakers.admit_work(ID, at(11.5)) == at(16.5)
    await breakers.record_result(ID, at(12), failed=False, begun_at=at(11))
    assert await breakers.admit_work(ID, at(12)) == at(12)


async def test_an_administrator_ends_the_pause_of_an_instance_too(store: Counted) -> None:
    breakers, other = CircuitBreakers(store, RULE), CircuitBreakers(store, RULE)
    await go_unanswered(breakers, 0, times=4)

    async def write(tx: Any) -> Breaker:
        return await other.force_state(tx, ID, BreakerState.CLOSED, at(2))

    await store.transaction(write)
    assert await breakers.admit_work(ID, at(6)) == at(6)


async def test_a_probe_that_succeeds_closes_it_for_all(store: Counted) -> None:
    one, other = CircuitBreakers(store, RULE), CircuitBreakers(store, RULE)
    await fail(one, 0, times=4)
    assert await one.admit_work(ID, at(20)) == at(20)
    await one.record_result(ID, at(22), failed=False, begun_at=at(20))
    assert await seen(one, 22) is BreakerState.CLOSED
    assert await other.admit_work(ID, at(22)) == at(22)


async def test_an_administrator_s_state_overrides_results(store: Counted) -> None:
    breakers, other = CircuitBreakers(store, RULE), CircuitBreakers(store, RULE)
    await fail(breakers, 0, times=4)

    async def write(tx: Any) -> Breaker:
        return await breakers.force_state(tx, ID, BreakerState.CLOSED, at(5))

    await store.transaction(write)
    await fail(breakers, 6, times=4)
    assert await seen(breakers, 11) is BreakerState.CLOSED
    assert await seen(other, 11) is BreakerState.CLOSED


def test_ids_hold_no_slash() -> None:
    assert breaker_id("fal", "a/b") != breaker_id("fal", "a_b")
    assert "/" not in breaker_id("fal", "fal-ai/flux/dev")


async def test_a_breaker_that_cannot_be_read_counts_as_closed_and_is_reported(
    store: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    other = breaker_id("bfl", "flux")

    async def damage(tx: Any) -> None:
        tx.set(undecoded_collection(BREAKERS.name), ID, {"openings": "many"})
        tx.set(BREAKERS, other, Breaker())

    await store.transaction(damage)
    found = await CircuitBreakers(store).load_breakers(at(0))
    assert set(found) == {other}
    assert await CircuitBreakers(store).admit_work(ID, at(0)) == at(0)
    actions = [one.__dict__["action"] for one in caplog.records]
    assert actions == ["document_unreadable"] * 2


async def test_of_two_instances_that_see_a_breaker_half_open_one_probes(store: Counted) -> None:
    one, other = CircuitBreakers(store, RULE), CircuitBreakers(store, RULE)
    await fail(one, 0, times=4)
    await other.load_breakers(at(20))
    await one.load_breakers(at(20))
    assert await one.admit_work(ID, at(20)) == at(20)
    # Its view is of a moment ago; the store knows of the other's probe.
    admitted = await other.admit_work(ID, at(20))
    assert admitted is not None
    assert admitted > at(20)


async def test_a_probe_that_says_nothing_of_the_provider_lets_another_begin(
    store: Counted,
) -> None:
    breakers = CircuitBreakers(store, RULE)
    await fail(breakers, 0, times=4)
    assert await breakers.admit_work(ID, at(14)) == at(14)
    assert await breakers.admit_work(ID, at(15)) == at(20)
    written = store.transactions
    # Work of before the breaker opened is no probe.
    await breakers.free_probe(ID, at(15), begun_at=at(1))
    assert store.transactions == written
    await breakers.free_probe(ID, at(16), begun_at=at(14))
    other = CircuitBreakers(store, RULE)
    assert await other.admit_work(ID, at(16)) == at(16)
    assert await seen(other, 17) is BreakerState.HALF_OPEN
    written = store.transactions
    await breakers.free_probe("fal.other", at(17), begun_at=at(16))
    assert store.transactions == written
