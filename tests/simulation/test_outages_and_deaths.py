"""An outage or a death at each step of a run: one purchase, and nothing lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from simulation.life import FreeLife, PaidLife
from simulation.mortal_store import MortalStore
from simulation.system_faults import Outage
from taskreel.app.caller import Caller
from taskreel.app.jobs.cancel import cancel_job
from taskreel.domain.job_status import Status

#: The log line of work that was bought and could not be stored.
UNSTORED = "bought_unstored"


@pytest.fixture
def life() -> Iterator[PaidLife]:
    begun = PaidLife()
    begun.begin()
    try:
        yield begun
    finally:
        begun.teardown()


@pytest.mark.parametrize("script", [[], ["pending"]], ids=["at-once", "polled"])
@pytest.mark.parametrize("carried_out", [False, True], ids=["refused", "answer-lost"])
@pytest.mark.parametrize("seconds", [1, 4, 20, 60])
@pytest.mark.parametrize("calls", range(6))
def test_an_outage_at_each_call_of_a_run_ends_with_one_purchase(
    life: PaidLife,
    calls: int,
    seconds: float,
    carried_out: bool,  # noqa: FBT001 - a parameter of the test
    script: list[str],
) -> None:
    life.send("ada", script, {})
    life.deliver_through_an_outage(0, calls, seconds, carried_out)
    life.no_outage_of_the_store_loses_an_answer()
    while life.calm_down():
        life.no_outage_of_the_store_loses_an_answer()
    (job,) = life.world.jobs()
    assert (job.status, job.attempt) == (Status.COMPLETED, 1)
    assert list(life.world.provider.sold.values()) == [1]


@pytest.mark.parametrize("carried_out", [False, True], ids=["refused", "answer-lost"])
@pytest.mark.parametrize("seconds", [1, 20, 60])
@pytest.mark.parametrize("calls", range(1, 4))
def test_an_outage_while_a_crash_is_counted_loses_no_answer(
    life: PaidLife,
    calls: int,
    seconds: float,
    carried_out: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """The run crashes with an answer that was paid for, and the store goes away as well."""
    (job,) = life.send("ada", [], {})
    life.world.poison(job.job_id, "end")
    life.deliver_through_an_outage(0, calls, seconds, carried_out)
    life.no_outage_of_the_store_loses_an_answer()
    life.world.cure(job.job_id)
    while life.calm_down():
        life.no_outage_of_the_store_loses_an_answer()
    (job,) = life.world.jobs()
    assert (job.status, job.attempt) == (Status.COMPLETED, 1)
    assert list(life.world.provider.sold.values()) == [1]


def test_an_answer_that_no_write_could_store_is_logged_for_an_operator(
    life: PaidLife,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The store stays away for longer than a run may try to write its crash."""
    (job,) = life.send("ada", ["pending"], {})
    life.world.poison(job.job_id, "end")
    life.disturbed = True
    life.world.outages.append(Outage(life.world.clock.steady, 2, 1000, carried_out=False))
    life.deliver_job(job.job_id)
    life.world.advance(200)
    life.store_comes_back()
    rows = [vars(row) for row in caplog.records if getattr(row, "action", "") == UNSTORED]
    assert [(row["job_id"], row["levelname"]) for row in rows] == [(job.job_id, "CRITICAL")]
    assert rows[0]["units"][0]["operation"]["key"] == f"{job.job_id}.1.0"


def test_a_crash_of_the_clean_up_is_repeated_until_the_operation_is_cancelled(
    life: PaidLife,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (job,) = life.send("ada", ["pending"], {})
    life.deliver_job(job.job_id)
    life.world.do(cancel_job(life.world.services, Caller(user_id="ada"), job.job_id, job.job_type))
    with monkeypatch.context() as patch:
        patch.setattr(life.world.provider, "cancel", _crash)
        life.deliver_job(job.job_id)
    (crashed,) = life.world.jobs()
    assert crashed.status is Status.CANCELLED
    assert crashed.needs_clean_up
    assert crashed.wake_at is not None
    assert crashed.wake_at > life.world.now()
    while life.calm_down():
        pass
    assert list(life.world.provider.accepted.values()) == ["cancelled"]


async def _crash(*_: Any) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("carried_out", [False, True], ids=["refused", "answer-lost"])
def test_a_submission_without_an_answer_is_sent_again_and_makes_one_job(
    carried_out: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    life = FreeLife()
    life.begin()
    life.happened.clear()
    try:
        life.submit_without_an_answer("ada", 0, carried_out)
        assert life.happened["submission repeated"] == 1
        assert life.happened["submission found"] == carried_out
        assert len(life.world.jobs()) == 1
        life.accounts_add_up_to_the_ledger_and_the_holds()
    finally:
        life.teardown()


@pytest.mark.parametrize("script", [[], ["pending"], ["temporary"]], ids=str)
@pytest.mark.parametrize("seconds", [0, 13, 40])
@pytest.mark.parametrize("transactions", range(6))
def test_a_death_before_any_commit_of_a_run_buys_nothing_twice(
    life: PaidLife, transactions: int, seconds: float, script: list[str]
) -> None:
    life.send("ada", script, {})
    life.die_before_a_commit_of_a_run(0, transactions, seconds)
    life.nothing_outside_depends_on_what_was_lost()
    while life.calm_down():
        life.nothing_is_bought_twice()
    (job,) = life.world.jobs()
    assert job.status.final


def test_without_the_rule_a_death_before_a_commit_would_be_noticed(
    life: PaidLife,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The simulation finds a purchase, a task and an answer that do not wait for the commit."""

    async def wait_for_nothing(_store: object) -> None:
        return

    with monkeypatch.context() as patch:
        patch.setattr(MortalStore, "durable", wait_for_nothing)
        life.die_before_the_commit_of_a_submission("ada", [], 0)
        assert life.answered
        with pytest.raises(AssertionError):
            life.nothing_outside_depends_on_what_was_lost()
    life.answered.clear()
    life.world.queue.waiting.clear()

    life.send("ada", [], {})
    with monkeypatch.context() as patch:
        patch.setattr(MortalStore, "durable", wait_for_nothing)
        life.die_before_a_commit_of_a_run(0, 0, 0)
    while life.calm_down():
        pass
    with pytest.raises(AssertionError):
        life.nothing_is_bought_twice()
