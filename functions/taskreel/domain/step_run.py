"""The progress of a pipeline's step, as its job stores it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self, Unpack

from pydantic import with_config
from typing_extensions import TypedDict

from taskreel.domain.value import STRICT, StoredValue, accept_unknown, validate_changes


class StepState(StrEnum):
    """The state of a step."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class StepRun(StoredValue):
    """The progress of the step at `place` (from 0), its credits and its costs."""

    type: str
    place: int
    state: Annotated[StepState, accept_unknown(StepState)] = StepState.WAITING
    #: The number of its jobs; known when it starts, as `cost` is.
    width: int | None = None
    #: The jobs that an earlier round, or the pipeline that this one replays, had completed.
    adopted: int = 0
    ended: int = 0
    failed: int = 0
    cost: int = 0
    #: The credits of the jobs that succeeded.
    spent: int = 0
    #: The cost at its jobs' providers in US dollars; None where nothing was bought.
    cost_usd: float | None = None
    cost_estimated: bool = False
    #: The part of the pipeline's price cap that its jobs have taken, or may take while they run.
    usd: float = 0
    #: The providers of its jobs, each name once.
    served_by: str | None = None
    #: The first of its jobs that failed.
    failed_job: str | None = None

    def with_changes(self, **changes: Unpack[StepChanges]) -> Self:
        """Copy the step with these fields changed.

        Raises ValidationError for a wrong name or type.
        """
        return self.model_copy(update=validate_changes(StepChanges, changes))

    @property
    def has_open_jobs(self) -> bool:
        """True while jobs of it have not ended, as far as they were counted."""
        return self.ended < (self.width or 0)

    @property
    def fraction(self) -> float:
        """The part of the step that is done, from 0 to 1."""
        if self.state is StepState.DONE:
            return 1.0
        return self.ended / self.width if self.width else 0.0


@with_config(STRICT)
class StepChanges(TypedDict, total=False):
    """The fields of a StepRun that change as the pipeline runs."""

    state: StepState
    width: int | None
    adopted: int
    ended: int
    failed: int
    cost: int
    spent: int
    cost_usd: float | None
    cost_estimated: bool
    usd: float
    served_by: str | None
    failed_job: str | None
