"""A job: what a caller asked for, its state, and the functions that change its status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Self, Unpack

from taskreel.domain.artifact import Artifact
from taskreel.domain.credits import name_day
from taskreel.domain.ids import shard_account_id
from taskreel.domain.job_fields import JobChanges, JobCredits, JobFields
from taskreel.domain.job_history import MOST_CHANGES, StatusChange
from taskreel.domain.job_status import (
    AFTER_UNKNOWN,
    NEXT_STATUSES,
    IllegalTransitionError,
    Status,
)
from taskreel.domain.step_run import StepRun, StepState
from taskreel.domain.stored_record import StoredRecord
from taskreel.domain.unit import UnitRun, UnitState
from taskreel.domain.value import is_known, validate_changes

#: So many runs of a round may die with their workers and spend none of the user's attempts. More
#: spend one each, for the job's own work may be what kills them.
MOST_LOST_RUNS = 3


class Job(JobFields):
    """The state of one job. Frozen: each change is a new value."""

    @property
    def limit_owner(self) -> str:
        """The account whose limit of active jobs holds for it."""
        return self.limited_as or self.user_id

    def enter_status(
        self, status: Status, at: datetime, *, by: str | None = None, **changes: Unpack[JobChanges]
    ) -> Self:
        """Copy the job into `status`, entered at `at`, with other fields changed.

        The change is recorded in its history, as caused by the user `by`, None for the service.

        A final status also drops the lease and the wake time. Raises IllegalTransitionError when
        the table does not allow it, and ValidationError for a change of a wrong name or type.
        """
        if status not in NEXT_STATUSES.get(self.status, AFTER_UNKNOWN):
            raise IllegalTransitionError(f"{self.job_id}: {self.status} may not become {status}")
        changed = validate_changes(JobChanges, changes)
        if status.final:
            changed |= {
                "wake_at": None,
                "lease_until": None,
                "next_attempt_at": None,
                "ending": None,
                "slot_of": None,
            }
        if status is not Status.THROTTLED:
            changed["waits_for"] = None
        changed["updated_at"] = at
        changed["status_at"] = {**self.status_at, status: at}
        return self._copy_with_history(status, at, by, changed)

    def _copy_with_history(
        self, status: Status, at: datetime, by: str | None, changed: dict[str, Any]
    ) -> Self:
        """Copy the job with these fields changed, and `status`, entered at `at`, in its history."""
        error = changed.get("error", self.error)
        settled, cost_usd = None, None
        if status.final:
            settled = changed.get("credits", self.credits).captured
            units, steps = changed.get("units", self.units), changed.get("steps", self.steps)
            cost_usd = _sum_costs(units, steps)
        change = StatusChange(
            status=status,
            at=at,
            by=by,
            attempt=changed.get("attempt", self.attempt),
            code=None if error is None else error.code,
            credits=settled,
            cost_usd=cost_usd,
        )
        history = (*self.history, change)
        if len(history) > MOST_CHANGES:
            history = history[1:]
            changed["forgotten_changes"] = self.forgotten_changes + 1
        changed["status"], changed["history"] = status, history
        return self.model_copy(update=changed)

    def with_changes(self, at: datetime, **changes: Unpack[JobChanges]) -> Self:
        """Copy the job with other fields changed at `at`; its status stays.

        Raises ValidationError for a change of a wrong name or type, `status` included.
        """
        return self.model_copy(update={"updated_at": at, **validate_changes(JobChanges, changes)})

    def next_round(
        self, at: datetime, held: int, wake_at: datetime, *, by: str | None = None
    ) -> Self:
        """Open the next round of a failed job: new attempts and a new hold under the same id.

        Units that are DONE were captured by an earlier round: they are not done again and cost
        nothing more. It bypasses the status table. Raises IllegalTransitionError unless the job has
        failed.
        """
        if self.status is not Status.FAILED:
            raise IllegalTransitionError(
                f"{self.job_id}: only a failed job can be retried, this one is {self.status}"
            )
        units = tuple(
            unit.with_changes(credits=0) if unit.state is UnitState.DONE else unit.reset()
            for unit in self.units
        )
        finish_by = self.finish_by
        if finish_by is not None:
            finish_by = at + (finish_by - min(self.status_at.values()))
        changed = self.with_changes(
            at,
            round=self.round + 1,
            delivery=self.delivery + 1,
            attempt=0,
            crashes=0,
            lost_runs=0,
            progress=0,
            progress_message=None,
            error=None,
            tried=(),
            credits=JobCredits(held=held),
            held_on=name_day(at),
            burned=(),
            account_shard=0,
            paid_by=None,
            units=units,
            finish_by=finish_by,
            start_by=None,
            wake_at=wake_at,
            steps={},
            expire_at=None,
            rank=None,
            fingerprint=None,
        )
        return changed._copy_with_history(  # noqa: SLF001 - of the same class
            Status.QUEUED, at, by, {"status_at": {Status.QUEUED: at}}
        )

    def without_operations(self, at: datetime, operations: Sequence[Mapping[str, Any]]) -> Self:
        """Copy the ended job without these operations; without any it needs no wake time.

        It needs one while a unit may have been bought, which the sweep then reports, and while its
        earlier files are not renewed, or its removal has begun.
        """
        units = tuple(
            unit.with_changes(state=UnitState.FAILED, operation=None)
            if unit.operation in operations
            else unit
            for unit in self.units
        )
        cleaned = self.with_changes(at, units=units)
        if cleaned.needs_clean_up or cleaned.maybe_bought or cleaned.has_file_work:
            return cleaned
        return cleaned.with_changes(at, wake_at=None)

    @property
    def status_entry(self) -> str:
        """Its status and when it was entered: different for each change of its status."""
        return f"{self.status} {self.status_at[self.status].isoformat()}"

    @property
    def task_due_at(self) -> datetime | None:
        """Due time of the task that the job waits for; None while it waits for no task.

        The sweep moves `wake_at` alone, so the last change of the job sent that task.
        """
        waits = self.status in {Status.SCHEDULED, Status.QUEUED, Status.RETRYING, Status.PROCESSING}
        if not waits or self.lease_until is not None or self.ending is not None:
            return None
        return max(self.updated_at, self.next_attempt_at or self.updated_at)

    @property
    def has_unknown_state(self) -> bool:
        """True when a newer revision put it into a state that this one does not know.

        This revision shows and cancels such a job, and leaves its work to the newer one.
        """
        parts: list[UnitRun | StepRun] = [*self.units, *self.steps.values()]
        return not all(map(is_known, [self.status, *(part.state for part in parts)]))

    @property
    def is_started(self) -> bool:
        """True once a run has begun in this round."""
        return Status.PROCESSING in self.status_at

    @property
    def done_units(self) -> tuple[UnitRun, ...]:
        """The units whose work is done."""
        return tuple(unit for unit in self.units if unit.state is UnitState.DONE)

    @property
    def has_result(self) -> bool:
        """True when callers may read a result: all of it, or the part done before the end."""
        return self.status is Status.COMPLETED or (self.status.final and bool(self.done_units))

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """All finished files, in the order of the units."""
        return tuple(artifact for unit in self.units for artifact in unit.artifacts)

    @property
    def maybe_bought(self) -> bool:
        """True when a unit may have been bought without our knowing."""
        return any(unit.maybe_bought for unit in self.units)

    @property
    def finished_steps(self) -> frozenset[str]:
        """The steps of which no part has to be done again."""
        return frozenset(
            name
            for name, run in self.steps.items()
            if run.state is StepState.DONE and not run.failed
        )

    def next_wake_at(self, at: datetime) -> datetime:
        """The earlier of `at` and its next deadline; an ended job has no deadline any more."""
        if self.status.final:
            return at
        if self.start_by is not None and self.start_by < at and not self.is_started:
            at = self.start_by
        if self.finish_by is not None and self.finish_by < at:
            at = self.finish_by
        return at

    def document(self) -> dict[str, Any]:
        """The job as the store holds it."""
        running = self.operations
        ids = tuple([str(one["id"]) for one in running if "id" in one]) if running else ()
        job = self if ids == self.operation_ids else self.model_copy(update={"operation_ids": ids})
        return StoredRecord.document(job)

    @property
    def operations(self) -> tuple[dict[str, Any], ...]:
        """Its operations that still run at providers."""
        found: tuple[dict[str, Any], ...] = ()
        for unit in self.units:  # asked five times of each job, of which most have none
            if unit.operation is not None:
                found = (*found, unit.operation)
        return found

    @property
    def payer_id(self) -> str:
        """The account that holds its credits: its project's, or its user's."""
        return self.paid_by or self.user_id

    @property
    def own_account_id(self) -> str:
        """The document of the account that has its slot, and holds what its user pays."""
        shard = self.account_shard
        return shard_account_id(self.user_id, shard) if shard else self.limit_owner

    @property
    def own_held(self) -> int:
        """The credits that it holds in its user's own account."""
        return self.credits.held if self.paid_by is None else 0

    @property
    def needs_clean_up(self) -> bool:
        """True when the job has ended while an operation of it still runs at a provider."""
        return self.status.final and bool(self.operations)

    @property
    def has_earlier_files(self) -> bool:
        """True for a replay, or a further round, that shows files made before it.

        Those units cost nothing in this round. Files of child jobs are their pipeline's care.
        """
        if self.parent_id is not None or not (self.lineage or self.round > 1):
            return False
        return any(
            unit.state is UnitState.DONE and unit.credits == 0 and unit.artifacts
            for unit in self.units
        )

    @property
    def is_being_removed(self) -> bool:
        """True once its removal has begun: no job expires by its age when it is made."""
        return self.expire_at is not None and self.expire_at <= self.created_at

    @property
    def has_file_work(self) -> bool:
        """True when it has files to renew, or to remove with the rest of the job."""
        return self.has_earlier_files or self.is_being_removed

    @property
    def is_over(self) -> bool:
        """True when it has ended, and at most has files to renew or remove: it may be removed."""
        only_files = not self.needs_clean_up and not self.maybe_bought and self.has_file_work
        return self.status.final and (self.wake_at is None or only_files)

    @property
    def awaits_clean_up(self) -> bool:
        """True when it has ended, and a delivery still has something to do for it."""
        return self.needs_clean_up or (
            self.status.final and self.wake_at is not None and self.has_file_work
        )

    @property
    def end_concerns_others(self) -> bool:
        """True when its end has to be acted on: by a provider, a webhook, or related jobs."""
        others = self.operations or self.steps or self.waiters or self.parent_id or self.ending
        return bool(others or self.webhooks)

    @property
    def cost_usd(self) -> float | None:
        """The cost at providers, child jobs included, as far as it is known; in US dollars."""
        return _sum_costs(self.units, self.steps)

    @property
    def cost_estimated(self) -> bool:
        """True when a part of the cost is from the model table."""
        parts: list[UnitRun | StepRun] = [*self.units, *self.steps.values()]
        return any(part.cost_estimated for part in parts)

    def counts_as_attempt(self, now: datetime) -> bool:
        """True when a run that begins at `now` is a new attempt.

        It is one when it tries a unit that no rate limit had put off. A run that follows one that
        died with its worker goes on with the same attempt, a few times a round. Of a pipeline only
        the first check is an attempt.
        """
        if not self.units:
            return self.status is not Status.PROCESSING
        if self.lease_until is not None:
            return self.lost_runs >= MOST_LOST_RUNS and bool(self.due_units(now))
        return any(not unit.is_rate_limited for unit in self.due_units(now))

    def due_units(self, now: datetime) -> list[UnitRun]:
        """The units that a run at `now` would start, or try again."""
        return [unit for unit in self.units if unit.state is UnitState.TODO and unit.is_due(now)]


def _sum_costs(units: Sequence[UnitRun], steps: Mapping[str, StepRun]) -> float | None:
    """The cost of units and steps at providers, as far as it is known; in US dollars."""
    total: float | None = None
    parts: Sequence[UnitRun | StepRun] = (*units, *steps.values()) if steps else units
    for part in parts:
        if part.cost_usd is not None:
            total = (total or 0.0) + part.cost_usd
    return None if total is None else round(total, 6)
