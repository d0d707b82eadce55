from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from taskreel.domain.pipeline import Pipeline
from taskreel.domain.validation_messages import describe_errors, invalid_model
from taskreel.domain.value import Value
from taskreel.jobtypes import JOB_TYPES

RATIO = Annotated[str, Field(pattern=r"^\d+:\d+$", examples=["16:9", "1:1"])]


class Inner(Value):
    width: int = Field(default=64, ge=64, le=4096, multiple_of=2)
    height: int = 64
    quality: Literal["draft", "standard", "high"] = "standard"


class Outer(Value):
    prompt: str = Field(min_length=1, max_length=5)
    options: Inner = Inner()
    inners: list[Inner] = Field(default_factory=list, max_length=2)
    named: dict[str, Inner] = Field(default_factory=dict)
    provider: str | list[str] | None = None
    ratio: RATIO | None = None
    title: str = Field(default="x", pattern=r"\S")
    scale: float = 1.0


def described(body: Mapping[str, Any]) -> dict[str, str]:
    with pytest.raises(ValidationError) as refused:
        Outer.model_validate_json(json.dumps({"prompt": "x", **body}))
    errors = invalid_model(refused.value, Outer).details["errors"]
    return {one["path"]: one["message"] for one in errors}


@pytest.mark.parametrize(
    ("body", "path", "message"),
    [
        ({"promt": "x"}, "promt", "is not a known field (did you mean prompt?)"),
        (
            {"options": {"widht": 5}},
            "options.widht",
            "is not a known field (did you mean width?)",
        ),
        (
            {"inners": [{"colour": 5}]},
            "inners[0].colour",
            "is not a known field (allowed: width, height, quality)",
        ),
        (
            {"named": {"a": {"heigth": 5}}},
            "named.a.heigth",
            "is not a known field (did you mean height?)",
        ),
        (
            {"options": {"quality": "hi"}},
            "options.quality",
            "must be draft, standard or high (did you mean high?)",
        ),
        ({"options": {"quality": 7}}, "options.quality", "must be draft, standard or high"),
        ({"options": {"width": 2}}, "options.width", "must be at least 64"),
        ({"options": {"width": 5000}}, "options.width", "must be at most 4096"),
        ({"options": {"width": 65}}, "options.width", "must be a multiple of 2"),
        ({"options": {"width": "wide"}}, "options.width", "must be a whole number"),
        ({"options": {"width": 64.5}}, "options.width", "must be a whole number"),
        ({"scale": "big"}, "scale", "must be a number"),
        ({"options": []}, "options", "must be an object"),
        ({"inners": {}}, "inners", "must be an array"),
        ({"inners": [{}] * 3}, "inners", "must have at most 2 items"),
        ({"prompt": ""}, "prompt", "must not be empty"),
        ({"prompt": "longer"}, "prompt", "must have at most 5 characters"),
        ({"prompt": None}, "prompt", "must be a string"),
        ({"title": " "}, "title", "must not be blank"),
        ({"ratio": "wide"}, "ratio", "must have a form such as 16:9 or 1:1"),
        ({"provider": 5}, "provider", "must be a string or an array"),
        ({"provider": ["a", 5]}, "provider[1]", "must be a string"),
    ],
)
def test_a_wrong_field_is_named_with_what_is_allowed(
    body: dict[str, Any], path: str, message: str
) -> None:
    assert described(body) == {path: message}


def test_an_absent_field_is_required() -> None:
    with pytest.raises(ValidationError) as refused:
        Outer.model_validate({})
    error = invalid_model(refused.value, Outer, ("steps", "a"))
    assert error.message == "steps.a.prompt: is required"


def test_without_a_model_the_names_are_omitted() -> None:
    with pytest.raises(ValidationError) as refused:
        Outer.model_validate({"prompt": "x", "promt": "x"})
    assert describe_errors(refused.value.errors(), None) == [(("promt",), "is not a known field")]


# ── Every job type ───────────────────────────────────────────────────────────────────────────────

#: The openings of pydantic's own sentences.
RAW = (
    *("Input should", "String should", "Extra inputs", "Field required", "Value error"),
    *("List should", "Dictionary should", "validation error", "unable to parse", "pydantic"),
)
WRONG: list[Any] = [
    *(None, True, -1, 10**25, 1.5, float("nan"), "", " ", "zz", "x" * 20_000),
    *("2026-01-01T00:00:00", [], [1], ["x"], [{}], [None] * 200, {}, {"a": 1}, {"id": 5}),
]


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value."""
    yield at
    if isinstance(value, dict | list):
        names = value if isinstance(value, dict) else range(len(value))
        for name in names:
            yield from places(value[name], (*at, name))


def replaced(body: Any, at: tuple[Any, ...], value: Any) -> Any:
    if not at:
        return value
    changed = deepcopy(body)
    inner = changed
    for name in at[:-1]:
        inner = inner[name]
    inner[at[-1]] = value
    return changed


def bad_bodies(job_type: str) -> Iterator[Any]:
    example = dict(JOB_TYPES[job_type].example)
    schema = JOB_TYPES[job_type].submission.model_json_schema(by_alias=True)
    yield {}
    for name in schema["properties"]:
        yield from ({**example, name: value} for value in WRONG)
        # One level below: what the example leaves out is wrong there too.
        yield from ({**example, name: {inner: 1.5}} for inner in ("width", "language", "zz"))
        yield from ({**example, name: [{inner: value}]} for inner in ("url", "zz") for value in "x")
    for at in places(example):
        yield from (replaced(example, at, value) for value in WRONG)


@pytest.mark.parametrize("job_type", JOB_TYPES)
def test_no_phrase_of_pydantics_reaches_a_caller(job_type: str) -> None:
    model = JOB_TYPES[job_type].submission
    refused = 0
    for body in bad_bodies(job_type):
        try:
            model.model_validate_json(json.dumps(body))
        except ValidationError as error:
            refused += 1
            found = invalid_model(error, model)
            assert not any(phrase in found.message for phrase in RAW), found.message
            for one in found.details["errors"]:
                assert one["message"] != "is not valid", (body, one)
                assert "str]" not in one["path"], one["path"]
    assert refused > 100


def test_the_steps_of_a_pipeline_are_described_alike() -> None:
    step = {"type": "image-generation", "forEach": 5}
    with pytest.raises(ValidationError) as refused:
        Pipeline.model_validate({"steps": {"a": step}})
    error = invalid_model(refused.value, Pipeline)
    assert error.message == "steps.a.forEach: must be a string or an array or an object"


class Plain(BaseModel):
    on: bool


def test_a_model_without_aliases_is_described_too() -> None:
    with pytest.raises(ValidationError) as refused:
        Plain.model_validate({"on": 5})
    assert invalid_model(refused.value, Plain).message == "on: must be true or false"
