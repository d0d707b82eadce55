"""Move a pipeline on: see what its steps' jobs have become, start the steps that may start, settle at the end."""

from __future__ import annotations

from typing import Any

from taskreel.app import children
from taskreel.app.cost import budget_of
from taskreel.app.cost import cost as cost_of
from taskreel.app.lease import still_held
from taskreel.app.results import data_of, step_view
from taskreel.app.services import Services
from taskreel.app.settle import end
from taskreel.domain.claim import alarm
from taskreel.domain.errors import Category, InvalidError, PermanentError
from taskreel.domain.job import Job, JobError, Status, UnitRun, UnitState
from taskreel.domain.pipeline import MOST_CHILDREN, Pipeline, Step, StepRun, StepState, items_of
from taskreel.jobtypes import JOB_TYPES
from taskreel.ports import Transaction


class Advance:
    """One look at a pipeline, under its lease. It reads its jobs by queries; they never write to it."""

    def __init__(self, services: Services, job: Job) -> None:
        job_type = JOB_TYPES[job.job_type]
        submission = job_type.submission.model_validate(job.payload)
        assert job_type.pipeline is not None  # noqa: S101 - the caller looked
        self._services = services
        self._job = job
        self._pipeline: Pipeline = job_type.pipeline(submission)
        # A pipeline within a pipeline holds nothing itself: the outer one holds what this one was reckoned at.
        self._budget = job.credits.held if job.parent_id is None else cost_of(job_type, submission)
        self._steps = {name: job.steps.get(name, StepRun()) for name in self._pipeline.order()}
        self._results: dict[str, list[Job]] = {}

    @property
    def units(self) -> tuple[UnitRun, ...]:
        """A pipeline has none until it has ended."""
        return self._job.units

    async def go(self) -> None:
        """Advance as far as possible, and write the pipeline once."""
        error: JobError | None = None
        try:
            for name in self._pipeline.order():
                self._steps[name] = await self._step(name, self._pipeline.steps[name], self._steps[name])
        except (PermanentError, InvalidError) as failure:
            error = JobError(code=failure.code, category=Category.PERMANENT, message=failure.message)
        error = error or await self._failure()
        made: dict[str, Any] = {}
        if error is None and self._all(StepState.DONE):
            made = {"units": await self._outputs(), "result": await self._kept()}
        if error is not None:
            await self._count_what_succeeded()
        ended = await self._services.store.transaction(lambda tx: self._write(tx, error, made))
        if ended.status.final:
            await children.after_end(self._services, ended)

    async def _step(self, name: str, step: Step, run: StepRun) -> StepRun:
        match run.state:
            case StepState.RUNNING:
                return await self._look(name, step, run)
            case StepState.WAITING if all(self._steps[need].state is StepState.DONE for need in step.needs):
                return await self._start(name, step, run)
            case _:
                return run

    async def _look(self, name: str, step: Step, run: StepRun) -> StepRun:
        ended, failed = await children.count(self._services, self._job, name, run)
        run = run.model_copy(update={"ended": ended, "failed": failed})
        if failed and step.on_failure == "fail":
            return run.model_copy(update={"state": StepState.FAILED})
        if ended >= (run.width or 0) or (failed and step.on_failure == "continue"):
            return run.model_copy(update={"state": StepState.DONE, **await self._spent(name)})
        return run

    async def _start(self, name: str, step: Step, run: StepRun) -> StepRun:
        context = await self._context(step)
        job_type = JOB_TYPES[step.type]
        places = items_of(step, context)
        most = MOST_CHILDREN if isinstance(step.for_each, list) else step.max_items
        if len(places) > most:
            raise PermanentError(
                f"Step {name} would make {len(places)} jobs; its maxItems allows {most}.", code="too_wide"
            )
        known = {job.index: job for job in await self._children(name)}
        made: list[Job] = []
        adopted = 0
        for index, place in enumerate(places):
            payload = step.filled({**context, **place})
            job = await children.child(
                self._services, self._job, name, index, children.validated(payload, job_type, name), job_type
            )
            before = known.get(index)
            if before is not None and self._adopts(before, job):
                adopted += 1
            else:
                made.append(job if before is None else self._after(before, job))
        cost = sum(children.cost_of(job) for job in made)
        self._check_budget(name, cost)
        await children.create(self._services, made)
        self._results.pop(name, None)
        started = run.model_copy(
            update={
                "state": StepState.RUNNING,
                "width": len(places),
                "adopted": adopted,
                "ended": adopted,
                "cost": cost,
            }
        )
        return started if made else started.model_copy(update={"state": StepState.DONE})

    def _adopts(self, before: Job, job: Job) -> bool:
        """Whether the job need not be done: an earlier round, or what this one replays, has done the same."""
        done = before.status is Status.COMPLETED and not children.of_this_round(before, self._job)
        return done and before.payload == job.payload

    def _after(self, before: Job, job: Job) -> Job:
        """The job with the one in whose place it comes as its lineage: a pipeline adopts what that one had done."""
        own = children.of_this_round(before, self._job)
        return job.model_copy(update={"lineage": before.lineage if own else (before.job_id, *before.lineage)})

    def _check_budget(self, name: str, cost: int) -> None:
        """A fan-out wider than was reckoned with must not be started."""
        taken = sum(run.spent if run.state is StepState.DONE else run.cost for run in self._steps.values())
        left = self._budget - taken
        if cost > left:
            message = f"Step {name} would cost {cost} credits, and {left} of the {self._budget} held are left."
            raise PermanentError(message, code="budget_exceeded")

    async def _context(self, step: Step) -> dict[str, Any]:
        """What the step's templates may refer to."""
        steps = {name: step_view(await self._children(name)) for name in step.needs}
        return {"payload": self._job.payload, "steps": steps}

    async def _children(self, name: str) -> list[Job]:
        if name not in self._results:
            self._results[name] = await children.of_step(self._services, self._job, name)
        return self._results[name]

    async def _spent(self, name: str) -> dict[str, Any]:
        """The credits of this round's jobs that succeeded, and what all took; what was adopted has been paid for.

        Of a pipeline within that failed, what succeeded there.
        """
        self._results.pop(name, None)
        mine = [job for job in await self._children(name) if children.of_this_round(job, self._job)]
        paid = [job for job in mine if job.status is Status.COMPLETED or (job.status is Status.FAILED and job.steps)]
        bought = [job.cost_usd for job in mine if job.cost_usd is not None]
        return {
            "spent": sum(job.spent for job in paid),
            "cost_usd": round(sum(bought), 6) if bought else None,
            "cost_estimated": any(job.cost_estimated for job in mine),
        }

    async def _count_what_succeeded(self) -> None:
        for name, run in self._steps.items():
            if run.state in {StepState.RUNNING, StepState.FAILED}:
                self._steps[name] = run.model_copy(update=await self._spent(name))

    async def _failure(self) -> JobError | None:
        """The error of the job whose failure ends the pipeline."""
        for name, run in self._steps.items():
            if run.state is not StepState.FAILED:
                continue
            for job in await children.of_step(self._services, self._job, name):
                if job.status.final and job.status is not Status.COMPLETED:
                    reason = job.error.message if job.error else f"it was {job.status.lower()}"
                    code = job.error.code if job.error else "step_failed"
                    message = f"Step {name} failed: {reason}"
                    return JobError(code=code, category=Category.PERMANENT, message=message)
        return None

    async def _outputs(self) -> tuple[UnitRun, ...]:
        """What the last steps made is what the pipeline made."""
        units: list[UnitRun] = []
        for name in self._pipeline.last():
            done = [job for job in await self._children(name) if job.status is Status.COMPLETED]
            several = len(done) > 1 or len(self._pipeline.last()) > 1
            units += [_as_unit(job, f"{name}-{job.index + 1:03d}-" if several else "") for job in done]
        return tuple(units)

    async def _kept(self) -> dict[str, Any] | None:
        """What earlier steps say, where it is part of the result: one job's data, or a list of each job's."""
        found: dict[str, Any] = {}
        for name, step in self._pipeline.steps.items():
            if step.keep and name not in self._pipeline.last():
                rows = [data_of(job) for job in await self._children(name) if job.status is Status.COMPLETED]
                found[name] = rows if step.for_each is not None else rows[0] if rows else None
        return found or None

    async def _write(self, tx: Transaction, error: JobError | None, made: dict[str, Any]) -> Job:
        job = await still_held(tx, self._job)
        now = self._services.clock.now()
        captured = min(sum(run.spent for run in self._steps.values()), job.credits.held)
        spent = sum(run.spent for run in self._steps.values())
        if error is not None:
            return end(tx, job, Status.FAILED, now, captured=captured, error=error, steps=self._steps, spent=spent)
        if self._all(StepState.DONE):
            changes: dict[str, Any] = {**made, "steps": self._steps, "progress": 100, "spent": spent}
            return end(tx, job, Status.COMPLETED, now, captured=captured, **changes)
        wake_at = alarm(job, now + self._services.rules.rescue_after)
        waiting = {"lease_until": None, "fence": job.fence + 1, "wake_at": wake_at}
        following = job.with_(now, steps=self._steps, progress=self._progress(), **waiting)
        tx.set("jobs", job.job_id, following.document())
        return following

    def _progress(self) -> int:
        weights = {name: max(weight, 1) for name, weight in budget_of(self._pipeline).items()}
        done = sum(weights[name] * run.fraction for name, run in self._steps.items())
        return min(99, int(100 * done / sum(weights.values())))

    def _all(self, state: StepState) -> bool:
        return all(run.state is state for run in self._steps.values())


def _as_unit(job: Job, prefix: str) -> UnitRun:
    artifacts = tuple(artifact.model_copy(update={"name": f"{prefix}{artifact.name}"}) for artifact in job.artifacts)
    return UnitRun(
        state=UnitState.DONE, credits=0, provider=job.served_by or job.job_type, artifacts=artifacts, data=data_of(job)
    )
