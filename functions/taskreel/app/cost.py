"""What a job costs, before it has run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from taskreel.domain.errors import InvalidError
from taskreel.domain.pipeline import Pipeline, Step
from taskreel.jobtypes import JOB_TYPES
from taskreel.jobtypes.job_type import JobType, Submission, Waiting


def cost(job_type: JobType[Any], submission: Submission, *, without: Collection[int | str] = ()) -> int:
    """The credits to hold. For a pipeline, what its steps come to at their widest, or the budget it was given.

    `without` are the places of units, or the names of steps, that need not be done. Raises InvalidError, with paths,
    for a pipeline of which a step could never run.
    """
    if isinstance(submission, Waiting):
        return _one(job_type, submission.model_dump(by_alias=True, mode="json", exclude_defaults=True), "")
    if job_type.pipeline is None:
        return sum(unit.credits for place, unit in enumerate(job_type.units(submission)) if place not in without)
    steps = job_type.pipeline(submission)
    total = sum(_step_cost(name, step) for name, step in steps.steps.items() if name not in without)
    budget: int | None = getattr(submission, "budget", None)
    return total if budget is None else min(budget, total)


def _step_cost(name: str, step: Step) -> int:
    job_type = JOB_TYPES.get(step.type)
    path = f"steps.{name}"
    if job_type is None:
        message = f"there is no job type {step.type!r}; there are: {', '.join(JOB_TYPES)}"
        raise InvalidError(f"{path}.type: {message}", errors=[{"path": f"{path}.type", "message": message}])
    width = len(step.for_each) if isinstance(step.for_each, list) else 1 if step.for_each is None else step.max_items
    return width * _one(job_type, step.payload, f"{path}.payload.")


def _one(job_type: JobType[Any], payload: Mapping[str, Any], path: str) -> int:
    """One job: exactly where its payload is known, else what such a job commonly costs."""
    try:
        return cost(job_type, job_type.submission.model_validate(payload))
    except ValidationError as error:
        wrong = [found for found in error.errors() if not _templated(payload, found["loc"])]
        if wrong:
            errors = [{"path": path + ".".join(map(str, found["loc"])), "message": found["msg"]} for found in wrong]
            text = "; ".join(f"{one['path']}: {one['message']}" for one in errors)
            raise InvalidError(text, errors=errors) from None
        return job_type.credits


def _templated(payload: Any, location: tuple[int | str, ...]) -> bool:
    """Whether the value at `location` will be known only when the step runs."""
    for part in location:
        if isinstance(payload, str):
            break
        try:
            payload = payload[part]
        except (KeyError, IndexError, TypeError):
            return False
    return "{{" in str(payload)


def budget_of(steps: Pipeline) -> dict[str, int]:
    """What each step may cost at its widest: its weight in the pipeline's progress."""
    return {name: _step_cost(name, step) for name, step in steps.steps.items()}
