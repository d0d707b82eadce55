"""The results of jobs, as the templates of other jobs and their pipelines see them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.unit import UnitRun, UnitState


def view_step(jobs: Sequence[Job]) -> dict[str, Any]:
    """A step in templates: `results` and `artifacts` of the completed jobs, `result` of the first.

    `results[].index` is the place in the fan-out, to match results of several steps when some jobs
    have failed.
    """
    results = [view_result(job) for job in jobs if job.status is Status.COMPLETED]
    artifacts = [artifact for result in results for artifact in result["artifacts"]]
    return {"result": results[0] if results else None, "results": results, "artifacts": artifacts}


def view_result(job: Job) -> dict[str, Any]:
    """One job's result; `artifacts[].ref` is the name of a file in another job's payload."""
    artifacts = [
        {
            "ref": f"job:{job.job_id}/{artifact.name}",
            **artifact.model_dump(by_alias=True, exclude={"path"}),
        }
        for artifact in job.artifacts
    ]
    return {**collect_data(job), "jobId": job.job_id, "index": job.index, "artifacts": artifacts}


def collect_data(job: Job) -> dict[str, Any]:
    """The data of the job's units and of the job itself.

    A name that several units use is omitted: each unit's value is its own, not the job's.
    """
    uses = Counter(name for unit in job.units for name in unit.data or {})
    data: dict[str, Any] = {}
    for unit in job.units:
        data |= {name: value for name, value in (unit.data or {}).items() if uses[name] == 1}
    return {**data, **(job.result or {})}


def build_unit(job: Job, prefix: str) -> UnitRun:
    """A completed child job as a unit of its pipeline, which pays nothing for it again."""
    artifacts = tuple(
        artifact.model_copy(update={"name": f"{prefix}{artifact.name}"})
        for artifact in job.artifacts
    )
    return UnitRun(
        state=UnitState.DONE,
        credits=0,
        provider=job.served_by or job.job_type,
        artifacts=artifacts,
        data=collect_data(job),
    )
