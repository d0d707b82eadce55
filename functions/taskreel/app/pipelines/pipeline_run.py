"""One run of a pipeline: check its child jobs, start steps, settle at the end."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

from taskreel.app.jobs.finish_job import finish_job, stop_job
from taskreel.app.jobs.finish_pipeline import FAILED_STATUSES, is_of_this_round, total_jobs
from taskreel.app.jobs.job_ended import act_on_job_end, end_child_jobs
from taskreel.app.jobs.job_store import require_lease, store_job, write_for_run
from taskreel.app.jobs.results import build_unit, collect_data, view_step
from taskreel.app.pipelines.child_jobs import (
    StepPlace,
    WorkRemovedError,
    count_ended_jobs,
    create_child_jobs,
    find_child_jobs,
    give_turn,
    place_child_job,
    read_step_payload,
)
from taskreel.app.pipelines.price_cap import PriceCap, usd_taken
from taskreel.app.pricing.credit_cost import compute_credits, compute_step_credits
from taskreel.app.providers.inherited_provider import inherit_provider
from taskreel.app.services import Services
from taskreel.domain.errors import Category, InvalidError, PermanentError
from taskreel.domain.job import Job
from taskreel.domain.job_error import JobError
from taskreel.domain.job_fields import Ending, JobChanges
from taskreel.domain.job_status import Status
from taskreel.domain.pipeline import MOST_CHILDREN, Pipeline, Step, list_items
from taskreel.domain.step_run import StepChanges, StepRun, StepState
from taskreel.domain.unit import MOST_TRIED, UnitRun, join_names
from taskreel.jobtypes import JOB_TYPES, find_job_type
from taskreel.jobtypes.submission import Submission
from taskreel.ports import Transaction


class PipelineRun:
    """One check of a pipeline, under its lease. Each write checks the fencing token.

    It finds its child jobs by queries; they never write to it.
    """

    def __init__(self, services: Services, job: Job) -> None:
        job_type = find_job_type(job.job_type)
        submission: Submission = job_type.submission.load_stored(job.payload)
        assert job_type.pipeline is not None  # noqa: S101 - the processor has checked it
        self._services = services
        self._job = job
        self._submission = submission
        self._pipeline: Pipeline = job_type.pipeline(submission)
        # An inner pipeline holds nothing itself: the outer one holds its estimated cost.
        self._budget = (
            job.credits.held if job.parent_id is None else compute_credits(job_type, submission)
        )
        self._steps = {**self._pipeline.waiting_runs(), **job.steps}
        self._tried = job.tried
        self._found: dict[str, list[Job]] = {}

    @property
    def units(self) -> tuple[UnitRun, ...]:
        """The units as stored: a pipeline has none until it has ended."""
        return self._job.units

    async def run(self) -> None:
        """Advance the pipeline as far as possible, and write it once. Raises LeaseLostError."""
        error = await self._advance_steps()
        outputs: JobChanges | None = None
        if error is None and all(run.state is StepState.DONE for run in self._steps.values()):
            await self._end_continued_steps()
            outputs = {
                "units": await self._collect_outputs(),
                "result": await self._collect_kept_data(),
                "progress": 100,
            }
        job = await write_for_run(
            self._services,
            lambda tx: self._write(tx, error, outputs),
            self._services.clock.now() + self._services.rules.lease,
        )
        if job.status.final or job.ending is not None:
            await act_on_job_end(self._services, job)

    async def _advance_steps(self) -> JobError | None:
        """Advance each step in order; returns the error that ends the pipeline, if one does."""
        for name, before in self._steps.items():
            step = self._pipeline.steps[name]
            try:
                run = self._steps[name] = await self._advance_step(name, step, before)
            except (PermanentError, InvalidError) as failure:
                return JobError(
                    code=failure.code,
                    category=Category.PERMANENT,
                    message=failure.message,
                    step=name,
                )
            if run.state is StepState.FAILED:
                return await self._describe_failure(name)
        return None

    async def _advance_step(self, name: str, step: Step, run: StepRun) -> StepRun:
        if run.state is StepState.RUNNING:
            return await self._check_step(name, step, run)
        ready = all(self._steps[need].state is StepState.DONE for need in step.needs)
        if run.state is StepState.WAITING and ready:
            return await self._start_step(name, step, run)
        return run

    async def _check_step(self, name: str, step: Step, run: StepRun) -> StepRun:
        """Count the child jobs of a running step, and end the step when they allow it."""
        ended, failed = await count_ended_jobs(self._services, self._job, name, run)
        run = run.with_changes(ended=ended, failed=failed)
        if failed and step.on_failure == "fail":
            state = StepState.FAILED
        elif ended >= (run.width or 0) or (failed and step.on_failure == "continue"):
            state = StepState.DONE
        else:
            return run
        return run.with_changes(**await self._total_step(name)).with_changes(state=state)

    # ── Start of a step ──────────────────────────────────────────────────────────────────────────

    async def _start_step(self, name: str, step: Step, run: StepRun) -> StepRun:
        """Create the step's child jobs, except for those that were completed before.

        Either all are created or none: a step that the budget or the price cap does not cover
        raises PermanentError before the first is stored.
        """
        wanted = await self._fill_payloads(name, step)
        known = {job.index: job for job in await self._find_children(name)}
        done = {
            place
            for place, submission in enumerate(wanted)
            if self._is_done_before(known.get(place), step, submission)
        }
        todo = {place: one for place, one in enumerate(wanted) if place not in done}
        job_type = JOB_TYPES[step.type]
        places = {
            index: place_child_job(
                self._job, StepPlace(name, index), job_type, one, known.get(index)
            )
            for index, one in todo.items()
        }
        if any(one.cache_seconds is not None for one in todo.values()):
            from taskreel.app.pipelines.cached_steps import take_over_cached  # of few: cold start

            wish = self._submission.provider
            places = await take_over_cached(self._services, self._job, job_type, todo, places, wish)
        cost = sum(
            compute_credits(job_type, one, without=places[index].done_units)
            for index, one in todo.items()
        )
        self._check_budget(name, cost)
        made = await self._build_jobs(step, todo, places)
        adopted = [known[place] for place in done]
        if shown := [*adopted, *(job for job in made if job.artifacts)]:
            from taskreel.app.jobs.retained_work import retain_adopted_jobs  # of few: cold start

            await retain_adopted_jobs(self._services, self._job, shown)
        try:
            await create_child_jobs(self._services, self._job, made)
        except WorkRemovedError:
            self._found.pop(name, None)
            return await self._start_step(name, step, run)

        jobs = [*adopted, *made]
        started: StepChanges = {
            **self._share_totals(jobs),
            "state": StepState.RUNNING,
            "width": len(wanted),
            "adopted": len(done),
            "ended": len(done),
            "cost": cost,
        }
        run = run.with_changes(**started)
        if made:
            return run
        return run.with_changes(**await self._total_step(name)).with_changes(state=StepState.DONE)

    async def _fill_payloads(self, name: str, step: Step) -> list[Submission]:
        """The requests of the step's child jobs, in order, now that all values are known."""
        steps = {need: view_step(await self._find_children(need)) for need in step.needs}
        context = {"payload": self._job.payload, "steps": steps}
        items = list_items(step, context)
        most = MOST_CHILDREN if isinstance(step.for_each, list) else step.max_items
        if len(items) > most:
            raise PermanentError(
                f"Step {name} would make {len(items)} jobs; its maxItems allows {most}.",
                code="too_wide",
            )
        job_type = JOB_TYPES[step.type]
        filled: list[Submission] = []
        for item in items:
            payload = step.fill_payload({**context, **item})
            filled.append(read_step_payload(payload, job_type, name))
            await give_turn(len(filled))
        return filled

    def _is_done_before(self, before: Job | None, step: Step, wanted: Submission) -> bool:
        """True when an earlier round, or a replayed job, has completed the same request.

        The provider does not matter, unless the step names one.
        """
        if before is None or before.status is not Status.COMPLETED:
            return False
        if is_of_this_round(before, self._job):
            return False
        inherited = {"maxUsd", "provider"} if "provider" not in step.payload else {"maxUsd"}
        return _drop_names(wanted.payload(), inherited) == _drop_names(before.payload, inherited)

    async def _build_jobs(
        self, step: Step, wanted: Mapping[int, Submission], places: Mapping[int, StepPlace]
    ) -> list[Job]:
        """Build the child jobs of the step, in order, within the pipeline's price cap."""
        job_type, provider = JOB_TYPES[step.type], self._submission.provider
        waiting = [other for other, run in self._steps.items() if run.state is StepState.WAITING]
        waiting_credits = sum(self._weights[other] for other in waiting)
        cap = PriceCap(self._services, self._job, self._remaining_usd(), waiting_credits)
        jobs: list[Job] = []
        for index, submission in wanted.items():
            request = inherit_provider(
                self._services.providers, provider, job_type, submission, self._services.clock.now()
            )
            jobs.append(await cap.build_job(places[index], job_type, request))
            await give_turn(len(jobs))
        return jobs

    def _remaining_usd(self) -> float | None:
        """The US dollars of the price cap that no step has taken; None without a cap."""
        cap = self._submission.max_usd
        if cap is None:
            return None
        return max(0.0, round(cap - sum(run.usd for run in self._steps.values()), 6))

    def _check_budget(self, name: str, cost: int) -> None:
        """Raise PermanentError for a fan-out that costs more than the hold still covers."""
        # A step that goes on after a failure is DONE while jobs of it still run, and may complete.
        taken = sum(
            run.spent if run.state is StepState.DONE and not run.has_open_jobs else run.cost
            for run in self._steps.values()
        )
        remaining = self._budget - taken
        if cost > remaining:
            message = (
                f"Step {name} would cost {cost} credits, "
                f"and {remaining} of the {self._budget} held remain."
            )
            raise PermanentError(message, code="budget_exceeded")

    # ── Totals of a step ─────────────────────────────────────────────────────────────────────────

    async def _find_children(self, name: str) -> list[Job]:
        if name not in self._found:
            self._found[name] = await find_child_jobs(self._services, self._job, name)
        return self._found[name]

    async def _total_step(self, name: str) -> StepChanges:
        """The credits and costs of a step that ends now, from its child jobs as they are."""
        self._found.pop(name, None)
        jobs = await self._find_children(name)
        this_round = [job for job in jobs if is_of_this_round(job, self._job)]
        failed = (job.job_id for job in this_round if job.status in FAILED_STATUSES)
        return {
            **total_jobs(self._job, jobs),
            "failed_job": next(failed, None),
            **self._share_totals(jobs),
        }

    def _share_totals(self, jobs: Sequence[Job]) -> StepChanges:
        """The totals that are known while the jobs run; more exact when they have ended."""
        tried = [one for job in jobs for one in job.tried]
        self._tried = tuple(dict.fromkeys([*self._tried, *tried]))[-MOST_TRIED:]
        completed = [job for job in jobs if job.status is Status.COMPLETED]
        return {
            "usd": round(sum(usd_taken(job) for job in self._select_own(jobs)), 6),
            "served_by": join_names(job.served_by for job in completed or jobs),
        }

    def _select_own(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs that this pipeline has made itself, in any round."""
        return [job for job in jobs if job.parent_id == self._job.job_id]

    async def _end_continued_steps(self) -> None:
        """Cancel the jobs that still run in steps that went on after a failure, and total those.

        Nothing may complete after the settlement: it would be delivered without being paid.
        """
        for name, run in self._steps.items():
            if run.has_open_jobs:
                self._found.pop(name, None)
                children = await self._find_children(name)
                own = [job for job in children if is_of_this_round(job, self._job)]
                await end_child_jobs(self._services, own)
                totals = await self._total_step(name)
                failed = sum(
                    job.status in FAILED_STATUSES for job in await self._find_children(name)
                )
                ended = run.with_changes(ended=run.width or 0, failed=failed)
                self._steps[name] = ended.with_changes(**totals)

    # ── End of the pipeline ──────────────────────────────────────────────────────────────────────

    async def _describe_failure(self, name: str) -> JobError:
        """The error of the child job whose failure ends the pipeline."""
        failed_id = self._steps[name].failed_job
        job = next(job for job in await self._find_children(name) if job.job_id == failed_id)
        code = job.error.code if job.error else "step_failed"
        reason = job.error.message if job.error else f"it was {job.status.lower()}"
        return JobError(
            code=code,
            category=Category.PERMANENT,
            message=f"Step {name} failed: {reason}",
            step=name,
            job_id=job.job_id,
        )

    async def _collect_outputs(self) -> tuple[UnitRun, ...]:
        """The outputs of the final steps, as units of the pipeline."""
        final = self._pipeline.final_steps()
        units: list[UnitRun] = []
        for name in final:
            jobs = await self._find_children(name)
            done = [job for job in jobs if job.status is Status.COMPLETED]
            numbered = len(done) > 1 or len(final) > 1
            units += [
                build_unit(job, f"{name}-{job.index + 1:03d}-" if numbered else "") for job in done
            ]
        return tuple(units)

    async def _collect_kept_data(self) -> dict[str, Any] | None:
        """The data of earlier steps with `keep`: one job's, or for a fan-out a list of each's."""
        final = self._pipeline.final_steps()
        found: dict[str, Any] = {}
        for name, step in self._pipeline.steps.items():
            if not step.keep or name in final:
                continue
            jobs = await self._find_children(name)
            rows = [collect_data(job) for job in jobs if job.status is Status.COMPLETED]
            if step.for_each is not None:
                found[name] = rows
            else:
                found[name] = rows[0] if rows else None
        return found or None

    async def _write(
        self, tx: Transaction, error: JobError | None, outputs: JobChanges | None
    ) -> Job:
        """Write the pipeline once: settled with its outputs, about to fail, or waiting."""
        job = await require_lease(tx, self._job)
        rules, now = self._services.rules, self._services.clock.now()
        known: JobChanges = {
            "steps": self._steps,
            "served_by": join_names(run.served_by for run in self._steps.values()),
            "tried": self._tried,
        }
        if error is None and outputs is None:
            waiting = job.with_changes(now, **known).with_changes(
                now,
                progress=self._progress(),
                lease_until=None,
                fence=job.fence + 1,
                wake_at=job.next_wake_at(now + rules.rescue_after),
            )
            store_job(tx, waiting)
            return waiting

        if error is not None:
            # Its child jobs end first; then one settlement captures all that they have done.
            failed = job.with_changes(now, **known)
            ending = Ending(status=Status.FAILED, error=error)
            return stop_job(rules, tx, failed, ending, now)

        spent = sum(run.spent for run in self._steps.values())
        completed: JobChanges = {**known, **(outputs or {}), "spent": spent, "error": None}
        return finish_job(rules, tx, job, Status.COMPLETED, now, **completed)

    def _progress(self) -> int:
        """Whole percent, each step weighted by its cost; at most 99 before the end."""
        weights = {name: max(weight, 1) for name, weight in self._weights.items()}
        done = sum(weights[name] * run.fraction for name, run in self._steps.items())
        return min(99, int(100 * done / sum(weights.values())))

    @cached_property
    def _weights(self) -> Mapping[str, int]:
        """The cost of each step at its widest, in credits."""
        return compute_step_credits(self._pipeline)


def _drop_names(payload: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in payload.items() if name not in names}
