"""A new job from one that has ended: changed where the user says so, and without doing again what was done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import Field

from taskreel.app.caller import Caller
from taskreel.app.jobs.dependencies import read_submission
from taskreel.app.jobs.queries import find_job
from taskreel.app.jobs.retry import check_unambiguous
from taskreel.app.jobs.submit import Request
from taskreel.app.services import Services
from taskreel.domain.errors import ConflictError, InvalidError
from taskreel.domain.job import Job
from taskreel.domain.unit import UnitRun, UnitState
from taskreel.domain.value import Value
from taskreel.jobtypes import JOB_TYPES
from taskreel.jobtypes.fields import ProviderWish
from taskreel.jobtypes.job_type import JobType, Submission, Waiting


class Replay(Value):
    """`{fromStep?, edit?, provider?}`; `provider` is for what is done again."""

    from_step: str | None = Field(default=None, max_length=64)
    edit: dict[str, Any] | None = None
    provider: ProviderWish | None = None


async def replay(
    services: Services, caller: Caller, named: tuple[str, str], wanted: Replay, key: str | None
) -> tuple[Caller, Request]:
    """What is to be submitted, and for whom: a job whose lineage begins with the job `named` (its type and id).

    Raises ConflictError unless that has ended, ForbiddenError where work may have been bought unless an admin asks,
    InvalidError for a step that it does not have, and ValidationError when the edited payload does not fit.
    """
    job_type, job_id = named
    original = await find_job(services, caller, job_id, job_type)
    if original.parent_id is not None:
        raise ConflictError(
            f"This job is a part of {original.parent_id}: replay that.", parentId=original.parent_id
        )
    if not original.status.final:
        raise ConflictError(
            f"Only a job that has ended can be replayed; this one is {original.status}."
        )
    check_unambiguous(original, caller)
    kind = JOB_TYPES[original.job_type]
    changes = {**(wanted.edit or {}), **({"provider": wanted.provider} if wanted.provider else {})}
    submission = read_submission(kind, merged(original.payload, changes))
    redo = _redo(kind, submission, wanted.from_step)
    request = Request(
        job_type=kind,
        submission=submission,
        idempotency_key=key,
        lineage=(original.job_id, *original.lineage),
        redo=redo,
        kept=_kept(kind, submission, original),
        finished=_finished(kind, submission, original, redo),
    )
    # As a retry does: the job stays its owner's, whoever asked.
    owner = (
        caller
        if caller.user_id == original.user_id
        else replace(caller, user_id=original.user_id, projects=None)
    )
    return owner, request


def merged(target: Any, patch: Any) -> Any:
    """JSON merge patch (RFC 7396): null removes a member, an object changes one, anything else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def _redo(kind: JobType[Any], submission: Submission, first: str | None) -> tuple[str, ...]:
    if first is None or isinstance(submission, Waiting):
        return ()
    steps = kind.pipeline(submission) if kind.pipeline else None
    if steps is None or first not in steps.steps:
        known = f"its steps are: {', '.join(steps.order())}" if steps else "it has no steps"
        message = f"a {kind.name} has no step {first!r}; {known}"
        raise InvalidError.at("fromStep", message)
    return tuple(sorted(steps.following(first)))


def _finished(
    kind: JobType[Any], submission: Submission, original: Job, redo: tuple[str, ...]
) -> frozenset[str]:
    """The steps that were done and would come out the same: their jobs will be found, and need no credits."""
    if isinstance(submission, Waiting) or kind.pipeline is None or not original.finished_steps:
        return frozenset()
    former = kind.submission.model_validate(original.payload)
    steps, before = kind.pipeline(submission), kind.pipeline(former).steps
    finished: set[str] = set()
    for name in steps.order():
        step = steps.steps[name]
        same = (
            step == before.get(name)
            and step.needs <= finished
            and (submission == former or not step.reads_payload)
        )
        if same and name in original.finished_steps and name not in redo:
            finished.add(name)
    return frozenset(finished)


def _kept(kind: JobType[Any], submission: Submission, original: Job) -> dict[int, UnitRun]:
    """Of a job that did a part of its units, those that are still asked for in the same words; they cost nothing."""
    if isinstance(submission, Waiting) or all(
        unit.state is UnitState.DONE for unit in original.units
    ):
        return {}
    before = kind.units(kind.submission.model_validate(original.payload))
    return {
        place: run.model_copy(update={"credits": 0})
        for place, (unit, old, run) in enumerate(
            zip(kind.units(submission), before, original.units, strict=False)
        )
        if run.state is UnitState.DONE and unit == old
    }
