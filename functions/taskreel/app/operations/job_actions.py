"""The action of a bulk operation on one job: judged without a change, and carried out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from taskreel.app.caller import Caller
from taskreel.app.jobs.cancel import cancel_job
from taskreel.app.jobs.hold_forecast import HoldForecast
from taskreel.app.jobs.quote import quote_job
from taskreel.app.jobs.remove import remove_job
from taskreel.app.jobs.replay import Replay, prepare_replay
from taskreel.app.jobs.retry import (
    forecast_next_round,
    is_ambiguous,
    require_retryable,
    retry_job,
)
from taskreel.app.jobs.submit import submit_job
from taskreel.app.services import Services
from taskreel.domain.errors import StoreError, TaskreelError
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.operation import BulkAction
from taskreel.domain.validation_messages import invalid_model
from taskreel.jobtypes import find_job_type

#: An admin may repeat each by itself, having checked at the provider.
_MAYBE_BOUGHT = "its work may have been bought: repeat it by itself"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The credits that the action holds, or the reason why it is not carried out."""

    cost: int = 0
    reason: str | None = None


@dataclass(slots=True)
class JobActions:
    """The actions of one operation; `key` makes a replay that is repeated the same job."""

    services: Services
    caller: Caller
    action: BulkAction
    edit: dict[str, Any] | None = None
    key: str = ""
    #: When the operation was ordered: what has failed since then was retried by it already.
    since: datetime | None = None
    _forecast: HoldForecast = field(init=False)

    def __post_init__(self) -> None:
        self._forecast = HoldForecast(self.services)

    async def judge(self, job: Job) -> Outcome:
        """The outcome that the action would have now; nothing is changed."""
        if (refusal := self._explain_right(job)) is not None:
            return Outcome(reason=refusal)
        try:
            return await self._judge(job)
        except (TaskreelError, ValidationError) as error:
            return Outcome(reason=_explain(error, job))

    async def act(self, job: Job) -> Outcome:
        """Carry it out. Safe to repeat. Raises StoreError when the store cannot be reached."""
        if (refusal := self._explain_right(job)) is not None:
            return Outcome(reason=refusal)
        try:
            return await self._act(job)
        except StoreError:
            raise
        except (TaskreelError, ValidationError) as error:
            return Outcome(reason=_explain(error, job))

    def _explain_right(self, job: Job) -> str | None:
        deletes = self.action is BulkAction.DELETE
        allowed = self.caller.may_delete(job) if deletes else self.caller.may_change(job)
        needed = "admin" if deletes else "editor"
        return None if allowed else f"its project gives you no right to: it needs the role {needed}"

    async def _judge(self, job: Job) -> Outcome:
        match self.action:
            case BulkAction.CANCEL:
                return Outcome(reason=_explain_ended(job))
            case BulkAction.DELETE:
                return Outcome(
                    reason=None if job.is_over else f"it is {job.status}: cancel it first"
                )
            case BulkAction.RETRY:
                require_retryable(job)
                cost = await forecast_next_round(self.services, job)
            case BulkAction.REPLAY:
                owner, request = await self._prepare_replay(job)
                cost = (await quote_job(self.services, owner, request)).cost
        if is_ambiguous(job):
            return Outcome(reason=_MAYBE_BOUGHT)
        return Outcome(cost, await self._forecast.hold(job.user_id, cost, job.project_id))

    async def _act(self, job: Job) -> Outcome:
        services, caller = self.services, self.caller
        if self.action in {BulkAction.RETRY, BulkAction.REPLAY} and is_ambiguous(job):
            return Outcome(reason=_MAYBE_BOUGHT)
        match self.action:
            case BulkAction.CANCEL:
                reason = _explain_ended(job)
                if reason is None:
                    await cancel_job(services, caller, job.job_id, job.job_type)
                return Outcome(reason=reason)
            case BulkAction.DELETE:
                await remove_job(services, job, caller)
                return Outcome()
            case BulkAction.RETRY:
                if self.since and job.status_at.get(Status.FAILED, self.since) > self.since:
                    return Outcome()  # the step that retried it was not stored
                cost = await forecast_next_round(services, job)
                await retry_job(services, caller, job.job_id, job.job_type)
                return Outcome(cost)
            case BulkAction.REPLAY:
                owner, request = await self._prepare_replay(job)
                made = await submit_job(services, owner, request)
                return Outcome(made.job.credits.held)

    async def _prepare_replay(self, job: Job) -> tuple[Caller, Any]:
        key = f"{self.key}.{job.job_id}" if self.key else None
        named = (job.job_type, job.job_id)
        return await prepare_replay(self.services, self.caller, named, Replay(edit=self.edit), key)


def _explain_ended(job: Job) -> str | None:
    return f"it is {job.status} already" if job.status.final else None


def _explain(error: TaskreelError | ValidationError, job: Job) -> str:
    if isinstance(error, TaskreelError):
        return error.message
    wrong = invalid_model(error, find_job_type(job.job_type).submission)
    return f"the edited payload does not fit: {wrong.message}"
