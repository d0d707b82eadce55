"""Options that a provider of the process adds to every job type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from taskreel.domain.validation_messages import describe_errors
from taskreel.jobtypes import JOB_TYPES
from taskreel.jobtypes.registered_options import register_options
from taskreel.jobtypes.submission import Submission
from taskreel_local.studio.fault_injection import StudioOptions

IMAGE = JOB_TYPES["image-generation"]
NOOP = {"mode": "noop"}


@pytest.fixture(autouse=True)
def nothing_registered() -> None:
    """Options that a test of another file registered do not count here."""
    register_options({})


@pytest.fixture
def registered() -> Iterator[None]:
    register_options({"studio": StudioOptions})
    yield
    register_options({})


def submission(**options: Any) -> Submission:
    found: Submission = IMAGE.submission.model_validate({"prompt": "x", "options": options})
    return found


def refused(**options: Any) -> dict[str, str]:
    """The sentences about the wrong options, by path."""
    with pytest.raises(ValidationError) as caught:
        submission(**options)
    rows = caught.value.errors(include_url=False)
    found = describe_errors(rows, IMAGE.submission)
    return {".".join(map(str, at)): message for at, message in found}


def test_an_option_that_is_not_registered_is_unknown_beside_other_mistakes() -> None:
    found = refused(studio=NOOP, width="wide")
    assert set(found) == {"options.studio", "options.width"}
    assert found["options.studio"].startswith("is not a known field")


@pytest.mark.usefixtures("registered")
def test_a_registered_option_is_checked_and_stored_as_it_was_given() -> None:
    made = submission(studio=NOOP)
    assert made.payload()["options"] == {"studio": NOOP}
    (unit,) = IMAGE.units(made)
    assert unit.params["studio"]["mode"] == "noop"
    assert set(refused(studio={"mode": "sing"}, studios=NOOP)) >= {"options.studios"}
    assert set(refused(studio={"mode": "sing"})) == {"options.studio.mode"}


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("name", ["movie-creation", "scene-creation", "world-building"])
def test_a_pipelines_jobs_inherit_it(name: str) -> None:
    job_type = JOB_TYPES[name]
    body = {
        "prompt": "x",
        "options": {"studio": NOOP},
        **({"conceptPictures": 2} if name == "world-building" else {"narration": "speech"}),
    }
    assert job_type.pipeline is not None
    steps = job_type.pipeline(job_type.submission.model_validate(body)).steps
    assert len(steps) > 1
    for step in steps.values():
        given = step.payload.get("options") or step.payload.get("parameters") or {}
        assert given["studio"]["mode"] == "noop", step


def test_a_stored_payload_is_read_without_what_is_no_longer_registered() -> None:
    payload = {"prompt": "x", "options": {"studio": {"mode": "crash"}, "width": 64}}
    read = IMAGE.submission.load_stored(payload)
    assert read.payload()["options"] == {"width": 64}
    (unit,) = IMAGE.units(read)
    assert "studio" not in unit.params


@pytest.mark.usefixtures("registered")
def test_the_schema_shows_it_beside_the_types_own_options() -> None:
    schemas = IMAGE.submission.model_json_schema()["$defs"].values()
    (options,) = [one for one in schemas if "providerOptions" in one.get("properties", {})]
    assert {"width", "height", "studio"} <= set(options["properties"])
    assert {"type": "null"} in options["properties"]["studio"]["anyOf"]
    assert submission(studio=None).payload() == submission().payload() | {
        "options": {"studio": None}
    }
