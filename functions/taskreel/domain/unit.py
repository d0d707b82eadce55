"""A unit of a job's work: one provider call, its state and its outputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Self, Unpack

from pydantic import with_config
from typing_extensions import TypedDict

from taskreel.domain.artifact import Artifact
from taskreel.domain.errors import Category
from taskreel.domain.job_error import JobError
from taskreel.domain.stored_record import StoredRecord
from taskreel.domain.value import STRICT, StoredValue, accept_unknown, validate_changes

#: A task may come this much before its time and still be taken: clocks differ.
CLOCK_TOLERANCE = timedelta(seconds=1)


class UnitState(StrEnum):
    """The state of one unit."""

    TODO = "todo"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class UnitRun(StoredRecord, kw_only=True):
    """The state and outputs of one provider call of a job, and its price.

    `operation` is the provider's run of it, stored before the first poll so that no retry buys the
    same work twice.
    """

    state: Annotated[UnitState, accept_unknown(UnitState)] = UnitState.TODO
    credits: int
    provider: str
    #: The provider's model; None stands for the payload's, or else for the provider's default.
    model: str | None = None
    operation: dict[str, Any] | None = None
    #: The time of a purchase, stored before the provider is asked to begin.
    begun_at: datetime | None = None
    #: When to poll, or to try again.
    due_at: datetime | None = None
    artifacts: tuple[Artifact, ...] = ()
    data: dict[str, Any] | None = None
    error: JobError | None = None
    #: The number of rate limits and failed polls since the provider last answered.
    waits: int = 0
    #: How often its finished result could not be fetched.
    unfetched: int = 0
    #: The cost in US dollars as the provider reports it, or else as the model table says.
    cost_usd: float | None = None
    cost_estimated: bool = False
    #: The measured length of the input that its provider bills by.
    input_seconds: float | None = None

    def with_changes(self, **changes: Unpack[UnitChanges]) -> Self:
        """Copy the unit with these fields changed.

        Raises ValidationError for a wrong name or type.
        """
        return self.model_copy(update=validate_changes(UnitChanges, changes))

    def with_cost(self, cost_usd: float | None, *, is_estimate: bool) -> Self:
        """The unit with the cost of a call added; its calls that failed may have been billed too.

        None is a cost that is not known.
        """
        if cost_usd is None:
            return self
        return self.with_changes(
            cost_usd=round((self.cost_usd or 0.0) + cost_usd, 6),
            cost_estimated=self.cost_estimated or is_estimate,
        )

    def reset(self) -> Self:
        """The unit as a new round tries it again: no operation, no error, no waits."""
        return self.with_changes(
            state=UnitState.TODO,
            operation=None,
            begun_at=None,
            due_at=None,
            error=None,
            waits=0,
            unfetched=0,
        )

    def is_due(self, now: datetime) -> bool:
        """True when it may be polled, or tried, at `now`, or within the clock tolerance of it."""
        return self.due_at is None or self.due_at <= now + CLOCK_TOLERANCE

    @property
    def is_open(self) -> bool:
        """True while the unit may still change: it is to be tried, or its operation runs."""
        return self.state in {UnitState.TODO, UnitState.RUNNING}

    @property
    def is_rate_limited(self) -> bool:
        """True when it only waits until it may ask its provider again."""
        return self.error is not None and self.error.category is Category.RATE_LIMITED

    @property
    def maybe_bought(self) -> bool:
        """True when a run died between asking the provider to begin and storing its answer.

        The provider may have accepted the work, so it must not be sent again by itself.
        """
        return self.state is UnitState.TODO and self.begun_at is not None


@with_config(STRICT)
class UnitChanges(TypedDict, total=False):
    """The fields of a UnitRun, any of which may change."""

    state: UnitState
    credits: int
    provider: str
    model: str | None
    operation: dict[str, Any] | None
    begun_at: datetime | None
    due_at: datetime | None
    artifacts: tuple[Artifact, ...]
    data: dict[str, Any] | None
    error: JobError | None
    waits: int
    unfetched: int
    cost_usd: float | None
    cost_estimated: bool
    input_seconds: float | None


#: How many of the providers that failed a job are stored in it; the last ones.
MOST_TRIED = 20


class TriedProvider(StoredValue):
    """A provider's model that could not do a job's work, and the code of its error."""

    provider: str
    model: str | None = None
    code: str


def served_by_names(units: Sequence[UnitRun]) -> str | None:
    """A job's `served_by`: the providers of its finished units; of all while none is finished."""
    if len(units) == 1:
        return units[0].provider or None
    done = [unit for unit in units if unit.state is UnitState.DONE]
    return join_names(unit.provider for unit in done or units)


def join_names(served_by: Iterable[str | None]) -> str | None:
    """Merge several `served_by` texts ("bfl, openai") into one, each name once; None for none."""
    names: dict[str, None] = {}
    for text in served_by:
        if text:
            names.update(dict.fromkeys(text.split(", ")))
    return ", ".join(names) or None
