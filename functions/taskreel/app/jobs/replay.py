"""Replay an ended job: a new job, edited by the user, that does not repeat finished work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace
from pydantic import Field

from taskreel.app.caller import Caller
from taskreel.app.jobs.dependencies import read_submission
from taskreel.app.jobs.done_work import find_done_units, load_former_request
from taskreel.app.jobs.queries import find_job_to_change
from taskreel.app.jobs.retry import require_unambiguous
from taskreel.app.jobs.submit import JobRequest
from taskreel.app.services import Services
from taskreel.domain.errors import ConflictError, ForbiddenError, InvalidError
from taskreel.domain.job import Job
from taskreel.domain.unit import UnitRun, UnitState
from taskreel.domain.value import Value
from taskreel.jobtypes import find_job_type
from taskreel.jobtypes.fields import ProviderWish
from taskreel.jobtypes.job_type import JobType
from taskreel.jobtypes.submission import DeferredSubmission, Submission


class Replay(Value):
    """`{fromStep?, edit?, provider?}`; `provider` is for the work that is done again."""

    from_step: str | None = Field(default=None, max_length=64)
    edit: dict[str, Any] | None = None
    provider: ProviderWish | None = None


async def prepare_replay(
    services: Services, caller: Caller, named: tuple[str, str], wanted: Replay, key: str | None
) -> tuple[Caller, JobRequest]:
    """The request to submit, and its owner: a job whose lineage begins with the job `named`.

    `named` is its type and id. Raises ConflictError unless it has ended, ForbiddenError where work
    may have been bought unless an admin asks, UnauthenticatedError for a key that was revoked,
    InvalidError for a step that it does not have, and ValidationError when the edited payload does
    not fit.
    """
    job_type, job_id = named
    original = await find_job_to_change(services, caller, job_id, job_type)
    if caller.key_project is not None and caller.user_id != original.user_id:
        from taskreel.app.projects.key_callers import check_key  # of few callers: cold start

        # The hold is made as the owner's, so it does not see that the key was revoked.
        await check_key(services, caller)
    _require_replayable(original)
    require_unambiguous(original, caller)
    if wanted.edit and not caller.admin and caller.user_id != original.user_id:
        # It would run with the owner's keys, files, other jobs and credits.
        raise ForbiddenError("Only its owner may edit a job. Submit it as a job of your own.")

    kind = find_job_type(original.job_type)
    edit = dict(wanted.edit or {})
    if wanted.provider:
        edit["provider"] = wanted.provider
    submission = read_submission(kind, apply_merge_patch(original.payload, edit))
    redo = _find_steps_to_redo(kind, submission, wanted.from_step)
    done_steps = _find_done_steps(kind, submission, original, redo)
    if done_steps:
        from taskreel.app.jobs.lost_steps import find_lost_steps  # of pipelines: cold start

        lost = await find_lost_steps(services, original)
        done_steps = _find_done_steps(kind, submission, original, (*redo, *lost))
    request = JobRequest(
        job_type=kind,
        submission=submission,
        idempotency_key=key,
        lineage=(original.job_id, *original.lineage),
        redo=redo,
        done_units=_find_done_units(kind, submission, original),
        done_steps=done_steps,
    )
    # As with a retry, the job stays its owner's, also when an admin asks.
    if caller.user_id == original.user_id:
        return caller, request
    by = caller.user_id if caller.admin else None
    return replace(caller, user_id=original.user_id, projects=None, ordered_by=by), request


def _require_replayable(original: Job) -> None:
    if original.parent_id is not None:
        raise ConflictError(
            f"This job is a part of {original.parent_id}: replay that.", parentId=original.parent_id
        )
    if not original.status.final:
        raise ConflictError(
            f"Only a job that has ended can be replayed; this one is {original.status}."
        )


def apply_merge_patch(target: Any, patch: Any) -> Any:
    """JSON merge patch (RFC 7396): null removes a member, an object changes one, else replace."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = apply_merge_patch(result.get(name), value)
    return result


def _find_steps_to_redo(
    kind: JobType[Any], submission: Submission, first: str | None
) -> tuple[str, ...]:
    """`first` and the steps that need it. Raises InvalidError when there is no such step."""
    if first is None or isinstance(submission, DeferredSubmission):
        return ()
    pipeline = kind.pipeline(submission) if kind.pipeline else None
    if pipeline is None or first not in pipeline.steps:
        known = f"its steps are: {', '.join(pipeline.order())}" if pipeline else "it has no steps"
        message = f"a {kind.name} has no step {first!r}; {known}"
        raise InvalidError.at("fromStep", message)
    return tuple(sorted(pipeline.with_dependants(first)))


def _find_done_steps(
    kind: JobType[Any], submission: Submission, original: Job, redo: tuple[str, ...]
) -> frozenset[str]:
    """The steps that were done and would come out the same.

    The pipeline adopts their jobs, so they need no credits.
    """
    if (
        isinstance(submission, DeferredSubmission)
        or kind.pipeline is None
        or not original.finished_steps
    ):
        return frozenset()
    former = load_former_request(kind, original)
    if former is None:
        return frozenset()
    former_steps = kind.pipeline(former).steps
    pipeline = kind.pipeline(submission)
    done: set[str] = set()
    for name in pipeline.order():
        step = pipeline.steps[name]
        unchanged = (
            step == former_steps.get(name)
            and step.needs <= done
            and (submission == former or not step.reads_payload)
        )
        if unchanged and name in original.finished_steps and name not in redo:
            done.add(name)
    return frozenset(done)


def _find_done_units(
    kind: JobType[Any], submission: Submission, original: Job
) -> dict[int, UnitRun]:
    """Of a job that did some of its units, those done that the edit leaves the same, by place.

    They were paid for, so they cost nothing. A job that did all of them is done again whole: that
    is the purpose of its replay.
    """
    all_done = all(unit.state is UnitState.DONE for unit in original.units)
    if isinstance(submission, DeferredSubmission) or all_done:
        return {}
    return find_done_units(kind, submission, original)
