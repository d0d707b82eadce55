"""What a job costs, before it has run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from taskreel.domain.pipeline import Pipeline, Step
from taskreel.domain.template import templated
from taskreel.domain.validation_messages import describe_errors, invalid_model, invalid_request
from taskreel.domain.value import Location
from taskreel.jobtypes import JOB_TYPES
from taskreel.jobtypes.job_type import JobType, Submission, Waiting


def cost(
    job_type: JobType[Any], submission: Submission, *, without: Collection[int | str] = ()
) -> int:
    """The credits to hold. For a pipeline, what its steps come to at their widest, or the budget it was given.

    `without` are the places of units, or the names of steps, that need not be done. Raises InvalidError, with paths,
    for a pipeline of which a step could never run.
    """
    if isinstance(submission, Waiting):
        return _one(
            job_type, submission.model_dump(by_alias=True, mode="json", exclude_defaults=True), ()
        )
    if job_type.pipeline is None:
        return sum(
            unit.credits
            for place, unit in enumerate(job_type.units(submission))
            if place not in without
        )
    steps = steps_of(job_type, submission)
    total = sum(_step_cost(name, step) for name, step in steps.steps.items() if name not in without)
    budget: int | None = getattr(submission, "budget", None)
    return total if budget is None else min(budget, total)


def steps_of(job_type: JobType[Any], submission: Submission) -> Pipeline:
    """The steps of a pipeline; InvalidError when its texts make some that cannot be."""
    assert job_type.pipeline is not None  # noqa: S101 - the caller looked
    try:
        return job_type.pipeline(submission)
    except ValidationError as error:
        raise invalid_model(error, Pipeline) from None


def step_type(name: str, step: Step) -> JobType[Any]:
    """The job type of a step; InvalidError when there is none."""
    job_type = JOB_TYPES.get(step.type)
    if job_type is None:
        message = f"there is no job type {step.type!r}; there are: {', '.join(JOB_TYPES)}"
        raise invalid_request([(("steps", name, "type"), message)])
    return job_type


def foreseen(
    job_type: JobType[Any], payload: Mapping[str, Any], at: Location
) -> tuple[Submission | None, bool]:
    """The request in a step's payload as far as it is known before the step runs, and whether that is all of it.

    None when too little is known. Raises InvalidError, with paths below `at`, for what is wrong already.
    """
    try:
        return job_type.submission.model_validate(payload), True
    except ValidationError as error:
        found = error.errors()
    wrong = [
        one for one in found if one["type"] == "missing" or not _templated(payload, one["loc"])
    ]
    if wrong:
        refused = describe_errors(wrong, job_type.submission)
        raise invalid_request([((*at, *place), message) for place, message in refused])
    later = {one["loc"][0] for one in found if one["loc"]}
    try:
        known = {name: value for name, value in payload.items() if name not in later}
        return job_type.submission.model_validate(known), False
    except ValidationError:
        return None, False


def budget_of(steps: Pipeline) -> dict[str, int]:
    """What each step may cost at its widest: its weight in the pipeline's progress."""
    return {name: _step_cost(name, step) for name, step in steps.steps.items()}


def _step_cost(name: str, step: Step) -> int:
    return step.width * _one(step_type(name, step), step.payload, ("steps", name, "payload"))


def _one(job_type: JobType[Any], payload: Mapping[str, Any], at: Location) -> int:
    """One job: exactly where enough of its payload is known, else what such a job commonly costs."""
    submission, _ = foreseen(job_type, payload, at)
    return job_type.credits if submission is None else cost(job_type, submission)


def _templated(payload: Any, location: Location) -> bool:
    """Whether the value at `location` will be known only when the step runs."""
    for part in location:
        if isinstance(payload, str):
            break
        try:
            payload = payload[part]
        except (KeyError, IndexError, TypeError):
            break
    return templated(payload)
