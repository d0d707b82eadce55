"""Move a pipeline on: see what its steps' jobs have become, start the steps that may start, settle at the end."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

from taskreel.app.jobs.finish_job import end
from taskreel.app.jobs.job_ended import notify_job_ended
from taskreel.app.jobs.lease import still_held
from taskreel.app.jobs.results import data_of, step_view
from taskreel.app.pipelines import child_jobs
from taskreel.app.pipelines.price_cap import PriceCap, usd_of
from taskreel.app.pricing.credit_cost import compute_credits, compute_step_credits
from taskreel.app.providers.inherited_provider import inherit_provider
from taskreel.app.providers.selection import join_names
from taskreel.app.services import Services
from taskreel.domain.claim import next_wake_at
from taskreel.domain.errors import Category, InvalidError, PermanentError
from taskreel.domain.job import Job
from taskreel.domain.job_error import JobError
from taskreel.domain.job_status import Status
from taskreel.domain.pipeline import MOST_CHILDREN, Pipeline, Step, StepRun, StepState, items_of
from taskreel.domain.unit import MOST_TRIED, UnitRun, UnitState
from taskreel.jobtypes import JOB_TYPES
from taskreel.jobtypes.job_type import Submission
from taskreel.ports import Transaction


class Advance:
    """One look at a pipeline, under its lease. It reads its jobs by queries; they never write to it."""

    def __init__(self, services: Services, job: Job) -> None:
        job_type = JOB_TYPES[job.job_type]
        submission: Submission = job_type.submission.model_validate(job.payload)
        assert job_type.pipeline is not None  # noqa: S101 - the caller looked
        self._services = services
        self._job = job
        self._submission = submission
        self._pipeline: Pipeline = job_type.pipeline(submission)
        # A pipeline within a pipeline holds nothing itself: the outer one holds what this one was reckoned at.
        self._budget = (
            job.credits.held if job.parent_id is None else compute_credits(job_type, submission)
        )
        self._steps = {**self._pipeline.unbegun(), **job.steps}
        self._tried = job.tried
        self._found: dict[str, list[Job]] = {}

    @property
    def units(self) -> tuple[UnitRun, ...]:
        """A pipeline has none until it has ended."""
        return self._job.units

    async def go(self) -> None:
        """Advance as far as possible, and write the pipeline once."""
        error = await self._move()
        made: dict[str, Any] = {}
        if error is not None:
            await self._count_what_succeeded()
        elif self._all(StepState.DONE):
            made = {"units": await self._outputs(), "result": await self._kept(), "progress": 100}
        ended = await self._services.store.transaction(lambda tx: self._write(tx, error, made))
        if ended.status.final:
            await notify_job_ended(self._services, ended)

    async def _move(self) -> JobError | None:
        """Each step in order, as far as it may go now; the error that ends the pipeline, if one does."""
        for name, before in self._steps.items():
            try:
                run = self._steps[name] = await self._step(name, self._pipeline.steps[name], before)
            except (PermanentError, InvalidError) as failure:
                category = Category.PERMANENT
                return JobError(
                    code=failure.code, category=category, message=failure.message, step=name
                )
            if run.state is StepState.FAILED:
                return await self._failure(name)
        return None

    async def _step(self, name: str, step: Step, run: StepRun) -> StepRun:
        match run.state:
            case StepState.RUNNING:
                return await self._look(name, step, run)
            case StepState.WAITING if all(
                self._steps[need].state is StepState.DONE for need in step.needs
            ):
                return await self._start(name, step, run)
            case _:
                return run

    async def _look(self, name: str, step: Step, run: StepRun) -> StepRun:
        ended, failed = await child_jobs.count(self._services, self._job, name, run)
        run = run.model_copy(update={"ended": ended, "failed": failed})
        if failed and step.on_failure == "fail":
            state = StepState.FAILED
        elif ended >= (run.width or 0) or (failed and step.on_failure == "continue"):
            state = StepState.DONE
        else:
            return run
        return run.model_copy(update={"state": state, **await self._reckoned(name)})

    # ── Start ────────────────────────────────────────────────────────────────────────────────────

    async def _start(self, name: str, step: Step, run: StepRun) -> StepRun:
        """Make the step's jobs, but for those that were done before: all of them, or none that cannot be paid for."""
        wanted = await self._wanted(name, step)
        known = {job.index: job for job in await self._children(name)}
        done = {place for place, one in enumerate(wanted) if self._did(known.get(place), step, one)}
        todo = {place: one for place, one in enumerate(wanted) if place not in done}
        cost = sum(compute_credits(JOB_TYPES[step.type], one) for one in todo.values())
        self._check_budget(name, cost)
        made = await self._jobs(name, step, todo, known)
        await child_jobs.create(self._services, made)
        jobs = [*(known[place] for place in done), *made]
        begun = {"width": len(wanted), "adopted": len(done), "ended": len(done), "cost": cost}
        run = run.model_copy(update={"state": StepState.RUNNING, **begun, **self._shared(jobs)})
        return (
            run
            if made
            else run.model_copy(update={"state": StepState.DONE, **await self._reckoned(name)})
        )

    async def _wanted(self, name: str, step: Step) -> list[Submission]:
        """What the step's jobs are to do, in order."""
        context = await self._context(step)
        places = items_of(step, context)
        most = MOST_CHILDREN if isinstance(step.for_each, list) else step.max_items
        if len(places) > most:
            raise PermanentError(
                f"Step {name} would make {len(places)} jobs; its maxItems allows {most}.",
                code="too_wide",
            )
        job_type = JOB_TYPES[step.type]
        return [
            child_jobs.validated(step.filled({**context, **place}), job_type, name)
            for place in places
        ]

    def _did(self, before: Job | None, step: Step, wanted: Submission) -> bool:
        """Whether an earlier round, or what this one replays, has done the same, whoever was to do it."""
        if (
            before is None
            or before.status is not Status.COMPLETED
            or child_jobs.of_this_round(before, self._job)
        ):
            return False
        inherited = {"maxUsd", "provider"} if "provider" not in step.payload else {"maxUsd"}
        return _without(wanted.payload(), inherited) == _without(before.payload, inherited)

    async def _jobs(
        self, name: str, step: Step, wanted: Mapping[int, Submission], known: Mapping[int, Job]
    ) -> list[Job]:
        """The step's jobs that are to be made."""
        job_type, provider = JOB_TYPES[step.type], self._submission.provider
        waiting = [other for other, run in self._steps.items() if run.state is StepState.WAITING]
        cap = PriceCap(
            self._services,
            self._job,
            self._usd_left(),
            sum(self._weights[other] for other in waiting),
        )
        return [
            await cap.job(
                child_jobs.Place(name, index, self._lineage(known.get(index))),
                job_type,
                inherit_provider(
                    self._services.providers, provider, job_type, one, self._services.clock.now()
                ),
            )
            for index, one in wanted.items()
        ]

    def _usd_left(self) -> float | None:
        cap = self._submission.max_usd
        return (
            None
            if cap is None
            else max(0.0, round(cap - sum(run.usd for run in self._steps.values()), 6))
        )

    def _lineage(self, before: Job | None) -> tuple[str, ...]:
        """Of the job that comes in the place of this one: a pipeline adopts what that one had done."""
        if before is None:
            return ()
        return (
            before.lineage
            if child_jobs.of_this_round(before, self._job)
            else (before.job_id, *before.lineage)
        )

    def _check_budget(self, name: str, cost: int) -> None:
        """A fan-out wider than was reckoned with must not be started."""
        taken = sum(
            run.spent if run.state is StepState.DONE else run.cost for run in self._steps.values()
        )
        left = self._budget - taken
        if cost > left:
            message = f"Step {name} would cost {cost} credits, and {left} of the {self._budget} held are left."
            raise PermanentError(message, code="budget_exceeded")

    async def _context(self, step: Step) -> dict[str, Any]:
        """What the step's templates may refer to."""
        steps = {name: step_view(await self._children(name)) for name in step.needs}
        return {"payload": self._job.payload, "steps": steps}

    # ── End ──────────────────────────────────────────────────────────────────────────────────────

    async def _children(self, name: str) -> list[Job]:
        if name not in self._found:
            self._found[name] = await child_jobs.of_step(self._services, self._job, name)
        return self._found[name]

    async def _reckoned(self, name: str) -> dict[str, Any]:
        """What has become of the step's jobs: the credits of this round's that succeeded, and what all took.

        What was adopted has been paid for; of a pipeline within that failed, what succeeded there is paid.
        """
        self._found.pop(name, None)
        jobs = await self._children(name)
        mine = [job for job in jobs if child_jobs.of_this_round(job, self._job)]
        paid = [
            job
            for job in mine
            if job.status is Status.COMPLETED or (job.status is Status.FAILED and job.steps)
        ]
        bought = [job.cost_usd for job in self._own(jobs) if job.cost_usd is not None]
        return {
            "spent": sum(job.spent for job in paid),
            "cost_usd": round(sum(bought), 6) if bought else None,
            "cost_estimated": any(job.cost_estimated for job in self._own(jobs)),
            "failed_job": next(
                (job.job_id for job in mine if job.status in child_jobs.FAILED), None
            ),
            **self._shared(jobs),
        }

    def _shared(self, jobs: Sequence[Job]) -> dict[str, Any]:
        """What is known of a step's jobs while they run, and better when they have ended."""
        self._tried = tuple(
            dict.fromkeys([*self._tried, *(one for job in jobs for one in job.tried)])
        )[-MOST_TRIED:]
        done = [job for job in jobs if job.status is Status.COMPLETED]
        return {
            "usd": round(sum(usd_of(job) for job in self._own(jobs)), 6),
            "served_by": join_names(job.served_by for job in done or jobs),
        }

    def _own(self, jobs: Sequence[Job]) -> list[Job]:
        """Those that this pipeline has made itself, in whatever round."""
        return [job for job in jobs if job.parent_id == self._job.job_id]

    async def _count_what_succeeded(self) -> None:
        for name, run in self._steps.items():
            if run.state is StepState.RUNNING:
                self._steps[name] = run.model_copy(update=await self._reckoned(name))

    async def _failure(self, name: str) -> JobError:
        """The error of the job whose failure ends the pipeline."""
        job = next(
            job for job in await self._children(name) if job.job_id == self._steps[name].failed_job
        )
        code = job.error.code if job.error else "step_failed"
        reason = job.error.message if job.error else f"it was {job.status.lower()}"
        message = f"Step {name} failed: {reason}"
        return JobError(
            code=code, category=Category.PERMANENT, message=message, step=name, job_id=job.job_id
        )

    async def _outputs(self) -> tuple[UnitRun, ...]:
        """What the last steps made is what the pipeline made."""
        units: list[UnitRun] = []
        for name in self._pipeline.last():
            done = [job for job in await self._children(name) if job.status is Status.COMPLETED]
            several = len(done) > 1 or len(self._pipeline.last()) > 1
            units += [
                _as_unit(job, f"{name}-{job.index + 1:03d}-" if several else "") for job in done
            ]
        return tuple(units)

    async def _kept(self) -> dict[str, Any] | None:
        """What earlier steps say, where it is part of the result: one job's data, or a list of each job's."""
        found: dict[str, Any] = {}
        for name, step in self._pipeline.steps.items():
            if step.keep and name not in self._pipeline.last():
                rows = [
                    data_of(job)
                    for job in await self._children(name)
                    if job.status is Status.COMPLETED
                ]
                found[name] = rows if step.for_each is not None else rows[0] if rows else None
        return found or None

    async def _write(self, tx: Transaction, error: JobError | None, made: dict[str, Any]) -> Job:
        job = await still_held(tx, self._job)
        now = self._services.clock.now()
        spent = sum(run.spent for run in self._steps.values())
        served_by = join_names(run.served_by for run in self._steps.values())
        known: dict[str, Any] = {"steps": self._steps, "served_by": served_by, "tried": self._tried}
        if error is not None or made:
            status = Status.COMPLETED if error is None else Status.FAILED
            captured = min(spent, job.credits.held)
            return end(
                tx, job, status, now, captured=captured, spent=spent, error=error, **known, **made
            )
        wake_at = next_wake_at(job, now + self._services.rules.rescue_after)
        following = job.with_changes(
            now,
            progress=self._progress(),
            lease_until=None,
            fence=job.fence + 1,
            wake_at=wake_at,
            **known,
        )
        tx.set("jobs", job.job_id, following.document())
        return following

    def _progress(self) -> int:
        weights = {name: max(weight, 1) for name, weight in self._weights.items()}
        done = sum(weights[name] * run.fraction for name, run in self._steps.items())
        return min(99, int(100 * done / sum(weights.values())))

    @cached_property
    def _weights(self) -> Mapping[str, int]:
        """What each step may cost at its widest, in credits."""
        return compute_step_credits(self._pipeline)

    def _all(self, state: StepState) -> bool:
        return all(run.state is state for run in self._steps.values())


def _without(payload: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in payload.items() if name not in names}


def _as_unit(job: Job, prefix: str) -> UnitRun:
    artifacts = tuple(
        artifact.model_copy(update={"name": f"{prefix}{artifact.name}"})
        for artifact in job.artifacts
    )
    return UnitRun(
        state=UnitState.DONE,
        credits=0,
        provider=job.served_by or job.job_type,
        artifacts=artifacts,
        data=data_of(job),
    )
