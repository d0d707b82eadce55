"""How jobs read on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from taskreel.app.jobs.results import collect_data
from taskreel.app.services import Services
from taskreel.domain.artifact import Artifact
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.pipeline import StepRun, StepState
from taskreel.domain.unit import UnitRun
from taskreel.jobtypes import JOB_TYPES
from taskreel.web.schemas import StepView


async def job_view(
    services: Services, job: Job, base_url: str, *, sign: bool = True
) -> dict[str, Any]:
    """The whole job. `sign` gives its artifacts fresh URLs; a list leaves them out."""
    urls = job_urls(job, base_url)
    completed = job.status is Status.COMPLETED
    steps = step_views(job)
    return {
        "jobId": job.job_id,
        "jobType": job.job_type,
        "status": job.status,
        "progress": job.progress,
        "priority": job.priority,
        "userId": job.user_id,
        "projectId": job.project_id,
        "payload": job.payload,
        "createdAt": job.created_at,
        "updatedAt": job.updated_at,
        "statusAt": job.status_at,
        "attempt": job.attempt,
        "maxAttempts": job.retry.max_attempts,
        "nextAttemptAt": job.next_attempt_at,
        "error": error_view(job),
        "credits": {
            "held": job.credits.held,
            "captured": job.credits.captured,
            "released": job.credits.released,
        },
        "result": await result_view(services, job, sign=sign) if completed else None,
        "resultUrl": urls["result"] if completed else None,
        "servedBy": job.served_by,
        "parentId": job.parent_id,
        "step": job.step,
        "index": job.index if job.parent_id else None,
        "steps": [step.model_dump(by_alias=True) for step in steps],
        "currentStep": current_step(job, steps),
        "replayOf": job.lineage[0] if job.lineage and job.parent_id is None else None,
        "tried": [one.model_dump(by_alias=True) for one in job.tried],
        "costUsd": job.cost_usd,
        "costEstimated": job.cost_estimated,
        "urls": urls,
    }


def error_view(job: Job) -> dict[str, Any] | None:
    """Why it failed; of a pipeline, with the step and the job that failed in it."""
    return (
        None
        if job.error is None
        else job.error.model_dump(by_alias=True, mode="json", exclude_none=True)
    )


def step_views(job: Job) -> list[StepView]:
    """A pipeline's steps in order; none while its payload waits for other jobs."""
    steps = job.steps or _unbegun(job)
    return [
        _step_view(name, run) for name, run in sorted(steps.items(), key=lambda step: step[1].place)
    ]


def _unbegun(job: Job) -> Mapping[str, StepRun]:
    job_type = JOB_TYPES[job.job_type]
    if job_type.pipeline is None:
        return {}
    try:
        return job_type.pipeline(job_type.submission.model_validate(job.payload)).waiting_runs()
    except ValidationError:
        return {}


def _step_view(name: str, run: StepRun) -> StepView:
    return StepView(
        name=name,
        type=run.type,
        status=run.state,
        width=run.width,
        ended=run.ended,
        failed=run.failed,
        percent=int(100 * run.fraction),
        credits=run.spent,
        served_by=run.served_by,
        failed_job_id=run.failed_job,
    )


def current_step(job: Job, steps: list[StepView]) -> str | None:
    """The first that runs, or else that waits; None when the job has ended."""
    if job.status.final:
        return None
    running = [step.name for step in steps if step.status is StepState.RUNNING]
    return next(
        iter([*running, *(step.name for step in steps if step.status is StepState.WAITING)]), None
    )


async def result_view(services: Services, job: Job, *, sign: bool = True) -> dict[str, Any]:
    """What the job made: its artifacts, each unit's own facts, and for several units how each went."""
    artifacts = [await _artifact_view(services, artifact, sign=sign) for artifact in job.artifacts]
    items = {"items": [_item_view(index, unit) for index, unit in enumerate(job.units)]}
    return {"artifacts": artifacts, **collect_data(job), **(items if len(job.units) != 1 else {})}


def job_urls(job: Job, base_url: str) -> dict[str, str]:
    """Where to follow the job."""
    self_url = f"{base_url}/api/jobs/{job.job_type}/{job.job_id}"
    return {
        "self": self_url,
        "progress": f"{self_url}/progress",
        "result": f"{self_url}/result",
        "events": f"{self_url}/events",
        "cancel": self_url,
        "retry": f"{self_url}/retry",
        "replay": f"{self_url}/replay",
    }


def progress_view(job: Job) -> dict[str, Any]:
    """The few facts that a progress bar needs."""
    return {
        "jobId": job.job_id,
        "status": job.status,
        "progress": job.progress,
        "attempt": job.attempt,
        "nextAttemptAt": job.next_attempt_at,
        "error": error_view(job),
        "updatedAt": job.updated_at,
    }


async def _artifact_view(services: Services, artifact: Artifact, *, sign: bool) -> dict[str, Any]:
    view = artifact.model_dump(by_alias=True, exclude={"path"}, exclude_none=True)
    if sign:
        expires_in = services.rules.signed_url_lifetime
        view["url"] = await services.blobs.signed_url(artifact.path, expires_in=expires_in)
    return view


def _item_view(index: int, unit: UnitRun) -> dict[str, Any]:
    return {
        "index": index,
        "status": unit.state,
        "servedBy": unit.provider,
        "artifacts": [artifact.name for artifact in unit.artifacts],
        "error": unit.error and unit.error.model_dump(by_alias=True),
        **(unit.data or {}),
    }
