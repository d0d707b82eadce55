"""A view that is a struct is the JSON that pydantic writes of its model."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from taskreel.domain.artifact import Artifact
from taskreel.domain.errors import Category
from taskreel.domain.job import Job
from taskreel.domain.job_error import JobError
from taskreel.domain.job_fields import JobCredits
from taskreel.domain.job_status import Status
from taskreel.domain.unit import TriedProvider, UnitRun, UnitState
from taskreel.web.http import View
from taskreel.web.responses import ArtifactView, JobView, ResultView, compose_job_view

_FILE = Artifact(
    path="jobs/1/image.png", name="image.png", content_type="image/png", bytes=3, sha256="ab"
)
_TIMES = st.datetimes(timezones=st.just(UTC))
#: Of those with an exponent one writes 1e16, the other 1e+16.
_FLOATS = st.floats(1e-4, 1e15) | st.sampled_from([0.0, -0.0, float("nan"), float("inf")])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | _FLOATS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def build_view(at: datetime, payload: dict[str, Any], cost: float | None) -> JobView:
    """The view of a failed job of one unit, with everything that most jobs are without."""
    unit = UnitRun(
        state=UnitState.DONE, credits=1, provider="bfl", artifacts=(_FILE,), cost_usd=cost
    )
    job = Job(
        job_id="job_1",
        job_type="image-generation",
        status=Status.FAILED,
        user_id="ada",
        payload=payload,
        created_at=at,
        updated_at=at + timedelta(microseconds=1),
        status_at={Status.QUEUED: at, Status.FAILED: at},
        attempt=2,
        error=JobError(code="odd", category=Category.PERMANENT, message="no\u2028w"),
        credits=JobCredits(captured=1),
        units=(unit,),
        served_by="bfl",
        tried=(TriedProvider(provider="fal", code="down"),),
    )
    file = ArtifactView(name="a", content_type="b", bytes=1, sha256="c", url="https://x")
    return compose_job_view(job, "https://api", ResultView(artifacts=[file]))


@given(at=_TIMES, payload=st.dictionaries(st.text(), _VALUES, max_size=3))
def test_a_job_is_written_as_by_its_model(at: datetime, payload: dict[str, Any]) -> None:
    view = build_view(at, payload, 0.1)
    model = JobView.model()(**dict(view))
    assert view.to_json().decode() == model.model_dump_json(by_alias=True)


@given(cost=st.none() | st.floats(1e-4, 1e9))
def test_a_cost_is_written_as_by_its_model(cost: float | None) -> None:
    view = build_view(datetime(2026, 11, 28, tzinfo=UTC), {}, cost)
    assert view.to_json().decode() == JobView.model()(**dict(view)).model_dump_json(by_alias=True)


def test_a_field_with_a_default_is_left_out_while_it_has_it() -> None:
    view = build_view(datetime(2026, 11, 28, tzinfo=UTC), {}, None)
    assert "ignoredFields" not in json.loads(view.to_json())
    changed = view.model_copy(update={"ignored_fields": ["id"]})
    assert json.loads(changed.to_json())["ignoredFields"] == ["id"]


class _Page(View):
    jobs: list[JobView]


def test_it_is_written_the_same_within_a_view() -> None:
    view = build_view(datetime(2026, 11, 28, tzinfo=UTC), {"prompt": "ü"}, 0.25)
    page = _Page(jobs=[view])
    assert page.model_dump_json() == f'{{"jobs":[{view.to_json().decode()}]}}'


def test_a_view_takes_it_from_its_fields_and_no_others() -> None:
    view = build_view(datetime(2026, 11, 28, tzinfo=UTC), {}, 0.25)
    read = _Page.model_validate({"jobs": [dict(view)]})
    assert read.jobs == [view]
    with pytest.raises(ValidationError, match=r"jobs\.0\.urls"):
        _Page.model_validate({"jobs": [{**dict(view), "urls": {}}]})
