"""Jobs and units for the domain's tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from taskreel.domain.errors import Category
from taskreel.domain.job import Job
from taskreel.domain.job_error import JobError
from taskreel.domain.job_fields import JobCredits
from taskreel.domain.job_status import Status
from taskreel.domain.retry_policy import RetryPolicy
from taskreel.domain.unit import UnitRun, UnitState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LEASE = timedelta(seconds=30)

statuses = st.sampled_from(Status)
seconds = st.integers(-5000, 5000).map(lambda n: timedelta(seconds=n))
times = seconds.map(lambda wait: NOW + wait)


def error(category: Category = Category.TEMPORARY, code: str = "oops") -> JobError:
    return JobError(code=code, category=category, message="It went wrong.")


def unit(state: UnitState = UnitState.TODO, **fields: Any) -> UnitRun:
    return UnitRun(**{"state": state, "credits": 1, "provider": "studio", **fields})


def job(status: Status = Status.QUEUED, **fields: Any) -> Job:
    units = fields.get("units", (unit(),))
    given = {
        "job_id": "job_1",
        "job_type": "batch-generation",
        "status": status,
        "user_id": "ada",
        "payload": {},
        "created_at": NOW,
        "updated_at": NOW,
        "status_at": {Status.QUEUED: NOW, status: NOW},
        "units": units,
        "credits": JobCredits(held=sum(one.credits for one in units)),
        "wake_at": NOW + timedelta(minutes=2),
        **fields,
    }
    return Job(**given)


@st.composite
def unit_runs(draw: st.DrawFn) -> UnitRun:
    """A unit after a run: what waits for another try says why."""
    state = draw(st.sampled_from(UnitState))
    failed = state in {UnitState.TODO, UnitState.FAILED}
    return unit(
        state,
        credits=draw(st.integers(0, 5)),
        error=error(draw(st.sampled_from(Category))) if failed else None,
        due_at=draw(times)
        if state is UnitState.RUNNING
        else draw(st.none() | times)
        if failed
        else None,
        operation={"id": "op"} if state is UnitState.RUNNING else None,
    )


policies = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 20),
    min_backoff_seconds=st.floats(0.001, 60),
    max_backoff_seconds=st.floats(60, 86_400),
    jitter=st.floats(0, 0.99),
)
