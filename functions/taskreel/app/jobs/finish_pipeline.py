"""The end of a pipeline: its child jobs end first, then one settlement captures all they did."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from taskreel.app.jobs.finish_job import cancel_in_transaction, finish_job
from taskreel.app.jobs.job_store import load_job
from taskreel.app.services import Services
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.step_run import StepChanges, StepRun
from taskreel.ports import MOST_IN, Query, Transaction
from taskreel.store_collections import JOBS

#: The final statuses of a child job that count as a failure of it.
FAILED_STATUSES = (Status.FAILED, Status.CANCELLED, Status.EXPIRED)


def is_of_this_round(job: Job, parent: Job) -> bool:
    """True when the pipeline has made the job since it was submitted or last retried."""
    return job.parent_id == parent.job_id and job.parent_round == parent.round


def total_jobs(parent: Job, jobs: Iterable[Job]) -> StepChanges:
    """The credits and costs of child jobs, however they ended.

    The credits are those of this round: what was adopted from an earlier round, or from a job that
    is replayed, was captured then. A unit that is DONE is paid for, also where its job was
    cancelled or failed. The costs are those of all jobs that the pipeline has made.
    """
    own = [job for job in jobs if job.parent_id == parent.job_id]
    costs = [job.cost_usd for job in own if job.cost_usd is not None]
    return {
        "spent": sum(job.spent for job in own if is_of_this_round(job, parent)),
        "cost_usd": round(sum(costs), 6) if costs else None,
        "cost_estimated": any(job.cost_estimated for job in own),
    }


async def cancel_open_jobs(services: Services, jobs: Sequence[Job]) -> list[Job]:
    """Cancel the child jobs that have not ended, and return all as they are then, in order.

    A job that completes meanwhile stays completed: its own transaction decides. An inner pipeline
    has only begun to end.
    """
    now_jobs: list[Job] = []
    for job in jobs:
        cancelled: Job | None = None
        if not job.status.final:
            cancel = partial(
                cancel_in_transaction, services.rules, job_id=job.job_id, at=services.clock.now()
            )
            cancelled = await services.store.transaction(cancel)
        now_jobs.append(cancelled or job)
    return now_jobs


async def find_all_child_jobs(services: Services, parent: Job) -> list[Job]:
    """All child jobs of a pipeline, of every step and round."""
    query = Query(collection=JOBS, where=(("parentId", "==", parent.job_id),))
    return [row.value for row in await services.store.query(query)]


async def find_jobs_of_step(services: Services, pipeline: Job, step: str) -> list[Job]:
    """The child jobs of a step, of every round; and those of the jobs that the pipeline replays.

    The latter not for a step that it does again.
    """
    own = [pipeline.job_id]
    parents = own if step in pipeline.redo else [*own, *pipeline.lineage]
    found: list[Job] = []
    for start in range(0, len(parents), MOST_IN):
        some = parents[start : start + MOST_IN]
        query = Query(collection=JOBS, where=(("parentId", "in", some), ("step", "==", step)))
        found += [row.value for row in await services.store.query(query)]
    return found


async def settle_pipeline(services: Services, job: Job, children: Sequence[Job]) -> Job:
    """Finish a pipeline as its `ending` says; `children` have all ended, so the sum is final."""
    spent = total_jobs(job, children)["spent"]
    steps = _total_steps(job, children)

    async def write(tx: Transaction) -> Job:
        stored = await load_job(tx, job.job_id)
        if stored is None or stored.ending is None or stored.round != job.round:
            return stored or job  # another delivery has finished it
        ending = stored.ending
        return finish_job(
            services.rules,
            tx,
            stored,
            ending.status,
            services.clock.now(),
            by=ending.by,
            error=ending.error,
            spent=spent,
            steps=steps,
        )

    return await services.store.transaction(write)


def _total_steps(parent: Job, children: Sequence[Job]) -> dict[str, StepRun]:
    """The pipeline's steps with the final totals of their jobs; their states stay."""
    totals: dict[str, StepRun] = {}
    for name, run in parent.steps.items():
        jobs = [job for job in children if job.step == name]
        this_round = [job for job in jobs if is_of_this_round(job, parent)]
        if not this_round:
            totals[name] = run
            continue
        failed = sum(job.status in FAILED_STATUSES for job in this_round)
        ended = run.with_changes(ended=run.adopted + len(this_round), failed=failed)
        totals[name] = ended.with_changes(**total_jobs(parent, jobs))
    return totals
