"""What a job made, as the templates of other jobs see it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from taskreel.domain.job import Job
from taskreel.domain.job_status import Status


def step_view(jobs: list[Job]) -> dict[str, Any]:
    """A step in templates: `results` and `artifacts` of the jobs that succeeded, `result` of the first.

    `results[].index` is the place in the fan-out, for what belongs together when some have failed.
    """
    done = [job for job in jobs if job.status is Status.COMPLETED]
    results = [result_of(job) for job in done]
    artifacts = [artifact for result in results for artifact in result["artifacts"]]
    return {"result": results[0] if results else None, "results": results, "artifacts": artifacts}


def result_of(job: Job) -> dict[str, Any]:
    """`artifacts[].ref` is how another job's payload names the file."""
    artifacts = [
        {
            "ref": f"job:{job.job_id}/{artifact.name}",
            **artifact.model_dump(by_alias=True, exclude={"path"}),
        }
        for artifact in job.artifacts
    ]
    return {**data_of(job), "jobId": job.job_id, "index": job.index, "artifacts": artifacts}


def data_of(job: Job) -> dict[str, Any]:
    """All that the job says besides its files: of what several units say, each its own, nothing."""
    said = Counter(name for unit in job.units for name in unit.data or {})
    units = {
        name: value
        for unit in job.units
        for name, value in (unit.data or {}).items()
        if said[name] == 1
    }
    return {**units, **(job.result or {})}
