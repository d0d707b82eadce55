"""Every end of a job captures the work that is done, and never more than was held."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from hypothesis import given
from hypothesis import strategies as st

from taskreel.app.jobs.finish_job import finish_job
from taskreel.app.services import Rules
from taskreel.domain.credits import LedgerEntry
from taskreel.domain.job import Job
from taskreel.domain.job_fields import JobCredits
from taskreel.domain.job_status import Status
from taskreel.domain.unit import UnitRun, UnitState
from taskreel.ports import Collection, Increment
from taskreel.store_collections import ACCOUNTS, JOBS, LEDGER
from unit.domain.samples import NOW, job, unit_runs

V = TypeVar("V")
ends = st.sampled_from([Status.COMPLETED, Status.FAILED, Status.CANCELLED])


class RecordedWrites:
    """A transaction that records what is written."""

    def __init__(self) -> None:
        self.created: list[Any] = []
        self.moved: Mapping[str, Any] = {}

    async def get(self, collection: Collection[V], id_: str, /) -> V | None:
        raise AssertionError(f"an end needs no read of {collection.name}/{id_}")

    def create(
        self, collection: Collection[V], id_: str, value: V, /, *, is_new: bool = False
    ) -> None:
        # Its id is that of a round: never new, so that a second settlement cannot commit.
        assert (collection.name, is_new) == (LEDGER.name, False), id_
        self.created.append(value)

    def set(self, collection: Collection[V], id_: str, value: V, /) -> None:
        assert isinstance(value, Job)
        assert (collection.name, id_) == (JOBS.name, value.job_id)

    def update(self, collection: Collection[Any], id_: str, changes: Mapping[str, Any], /) -> None:
        assert (collection, id_) == (ACCOUNTS, "ada")
        self.moved = changes

    def delete(self, collection: Collection[Any], id_: str, /) -> None:
        raise AssertionError(f"{collection.name}/{id_} must stay")


@given(st.lists(unit_runs(), min_size=1, max_size=6), ends)
def test_what_is_done_is_captured_and_the_rest_released_whatever_the_end(
    units: list[UnitRun], status: Status
) -> None:
    tx = RecordedWrites()
    ended = finish_job(Rules(), tx, job(Status.PROCESSING, units=tuple(units)), status, NOW)
    done = sum(unit.credits for unit in units if unit.state is UnitState.DONE)
    held = sum(unit.credits for unit in units)
    assert ended.credits == JobCredits(captured=done, released=held - done)
    assert ended.spent == done
    (entry,) = tx.created
    assert isinstance(entry, LedgerEntry)
    assert (entry.held, entry.amount) == (held, done or held)
    moved = {name: change.by for name, change in tx.moved.items() if isinstance(change, Increment)}
    assert sum(moved.values()) == 0
    assert moved.get("captured", 0) == done


@given(st.integers(0, 50), st.integers(0, 50), ends)
def test_a_pipeline_captures_at_most_its_hold(held: int, spent: int, status: Status) -> None:
    tx = RecordedWrites()
    pipeline = job(Status.PROCESSING, units=(), credits=JobCredits(held=held))
    ended = finish_job(Rules(), tx, pipeline, status, NOW, spent=spent)
    assert ended.credits == JobCredits(captured=min(spent, held), released=held - min(spent, held))
