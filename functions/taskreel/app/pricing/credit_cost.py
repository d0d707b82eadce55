"""Price of a job in credits, from its request alone.

A plain job is submitted with the prices of its planned units (`JobRequest.credits_to_hold`). This
module has the prices of pipelines and their steps, of deferred jobs, and of retries.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from taskreel.domain.pipeline import Pipeline, Step
from taskreel.domain.template import has_references
from taskreel.domain.validation_messages import describe_errors, invalid_model, invalid_request
from taskreel.domain.value import Location
from taskreel.jobtypes import JOB_TYPES, explain_unknown_type
from taskreel.jobtypes.job_type import JobType
from taskreel.jobtypes.submission import DeferredSubmission, Submission

#: Stands for an output of an earlier step, which is not there yet when a price is computed.
_SUPPOSED_FILE = "https://example.com/output"


def compute_credits(
    job_type: JobType[Any], submission: Submission, *, without: Collection[int | str] = ()
) -> int:
    """The credits that a job holds at submission.

    For a pipeline the price of all its steps at their greatest width, or its `budget` if that is
    less. `without` are the indexes of units, or the names of steps, that need not be done.
    Raises InvalidError, with field paths, for a pipeline with a step that could never run.
    """
    if isinstance(submission, DeferredSubmission):
        # Its fields are not validated before the jobs it depends on have ended.
        payload = submission.model_dump(by_alias=True, mode="json", exclude_defaults=True)
        return _estimate_job_credits(job_type, payload, ())
    if job_type.pipeline is None:
        units = job_type.units(submission)
        return sum(unit.credits for index, unit in enumerate(units) if index not in without)

    pipeline = build_pipeline(job_type, submission)
    total = sum(
        _max_credits_of_step(name, step)
        for name, step in pipeline.steps.items()
        if name not in without
    )
    budget: int | None = getattr(submission, "budget", None)
    return total if budget is None else min(budget, total)


def build_pipeline(job_type: JobType[Any], submission: Submission) -> Pipeline:
    """The steps of a pipeline. Raises InvalidError when they do not form a valid one."""
    assert job_type.pipeline is not None  # noqa: S101 - only called for pipelines
    try:
        return job_type.pipeline(submission)
    except ValidationError as error:
        raise invalid_model(error, Pipeline) from None


def find_step_type(name: str, step: Step) -> JobType[Any]:
    """The job type of a step. Raises InvalidError when there is no such type."""
    job_type = JOB_TYPES.get(step.type)
    if job_type is None:
        raise invalid_request([(("steps", name, "type"), explain_unknown_type(step.type))])
    return job_type


def validate_known_fields(
    job_type: JobType[Any], payload: Mapping[str, Any], at: Location
) -> tuple[Submission | None, bool]:
    """Validate a step's payload, of which templates fill in some fields when the step runs.

    Returns the request made of the fields that are known, and True if those are all. The request
    is None when too few are known. Raises InvalidError, with paths below `at`, for a known field
    that is invalid or missing.
    """
    try:
        return job_type.submission.model_validate(payload), True
    except ValidationError as error:
        found = error.errors()
    wrong = [
        row
        for row in found
        if row["type"] == "missing" or not _is_templated_at(payload, row["loc"])
    ]
    if wrong:
        refused = describe_errors(wrong, job_type.submission)
        raise invalid_request([((*at, *place), message) for place, message in refused])
    later = {row["loc"][0] for row in found if row["loc"]}
    known = {name: value for name, value in payload.items() if name not in later}
    try:
        return job_type.submission.model_validate(known), False
    except ValidationError:
        return None, False


def compute_step_credits(pipeline: Pipeline) -> dict[str, int]:
    """The greatest price of each step, which is also its weight in the pipeline's progress."""
    return {name: _max_credits_of_step(name, step) for name, step in pipeline.steps.items()}


def _max_credits_of_step(name: str, step: Step) -> int:
    job_type = find_step_type(name, step)
    return step.width * _estimate_job_credits(job_type, step.payload, ("steps", name, "payload"))


def _estimate_job_credits(job_type: JobType[Any], payload: Mapping[str, Any], at: Location) -> int:
    """Price of one job: exact if enough of its payload is known, else that of a usual one.

    Literal fields give the price even where templates fill in others: a step that must not die of
    its own estimate needs the price of its own task, not of another.
    """
    submission, _ = validate_known_fields(job_type, payload, at)
    if submission is None:
        submission = _suppose_submission(job_type, payload)
    return compute_credits(job_type, submission)


def _suppose_submission(job_type: JobType[Any], payload: Mapping[str, Any]) -> Submission:
    """The request with a file in place of each template, else a usual one."""
    supposed: Submission
    try:
        supposed = job_type.submission.model_validate(_replace_templates(payload))
    except ValidationError:
        supposed = job_type.usual_submission()
    return supposed


def _replace_templates(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _replace_templates(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_replace_templates(inner) for inner in value]
    return _SUPPOSED_FILE if isinstance(value, str) and has_references(value) else value


def _is_templated_at(payload: Any, location: Location) -> bool:
    """Tell if the value at `location` is filled in only when the step runs."""
    for part in location:
        if isinstance(payload, str):
            break
        try:
            payload = payload[part]
        except (KeyError, IndexError, TypeError):
            break
    return has_references(payload)
