"""The finished units of an ended job that a new job takes over: they were paid for."""

from __future__ import annotations

from typing import Any

from taskreel.domain.errors import UnknownRequestError
from taskreel.domain.job import Job
from taskreel.domain.unit import UnitRun, UnitState
from taskreel.jobtypes.job_type import JobType
from taskreel.jobtypes.submission import Submission


def find_done_units(
    job_type: JobType[Any], submission: Submission, former: Job
) -> dict[int, UnitRun]:
    """The units of `former` that are DONE and that `submission` asks for unchanged, by place.

    They were captured with that job, so they cost nothing here.
    """
    is_done = any(run.state is UnitState.DONE for run in former.units)
    if not is_done or former.job_type != job_type.name:
        return {}
    request = load_former_request(job_type, former)
    if request is None:
        return {}
    found: dict[int, UnitRun] = {}
    pairs = zip(job_type.units(submission), job_type.units(request), former.units, strict=False)
    for place, (unit, old, run) in enumerate(pairs):
        if run.state is UnitState.DONE and unit == old:
            found[place] = run.with_changes(credits=0)
    return found


def load_former_request(job_type: JobType[Any], former: Job) -> Submission | None:
    """The request of an ended job; None when this revision cannot read it, to compare with it."""
    try:
        request: Submission = job_type.submission.load_stored(former.payload)
    except UnknownRequestError:
        return None
    return request
