from __future__ import annotations

import json
from datetime import timedelta
from http import HTTPStatus

import pytest
from pydantic import BaseModel, ValidationError

from taskreel.domain import errors
from taskreel.domain.validation_messages import invalid_model
from taskreel.web.problems import STATUS, build_problem, find_status


def kinds(root: type[errors.TaskreelError]) -> list[type[errors.TaskreelError]]:
    return [root, *(below for kind in root.__subclasses__() for below in kinds(kind))]


@pytest.mark.parametrize(
    "kind", [*kinds(errors.RequestError)[1:], *kinds(errors.StoreError), errors.QueueError]
)
def test_every_error_that_a_caller_can_meet_has_a_status(kind: type[errors.TaskreelError]) -> None:
    status = find_status(kind.__new__(kind))  # some need more than a message
    assert status is not HTTPStatus.INTERNAL_SERVER_ERROR
    assert any(cls in STATUS for cls in kind.__mro__)


def test_an_error_of_a_run_is_nobodys_to_see() -> None:
    limited = errors.RateLimitedError("x", retry_after=timedelta(seconds=1))
    assert find_status(limited) is HTTPStatus.INTERNAL_SERVER_ERROR


@pytest.mark.parametrize("member", ["type", "title", "status", "detail", "code"])
def test_no_extension_overwrites_what_the_standard_names(member: str) -> None:
    plain = json.loads(bytes(build_problem(HTTPStatus.CONFLICT, "conflict", "No.").body))
    extended = json.loads(
        bytes(
            build_problem(HTTPStatus.CONFLICT, "conflict", "No.", {member: "mine", "more": 1}).body
        )
    )
    assert extended == {**plain, "more": 1}


class Inner(BaseModel):
    sizes: list[int]


class Outer(BaseModel):
    inner: Inner


def test_a_path_is_written_as_the_caller_wrote_it() -> None:
    with pytest.raises(ValidationError) as found:
        Outer.model_validate({"inner": {"sizes": [1, "x"]}})
    assert [error["path"] for error in invalid_model(found.value, Outer).details["errors"]] == [
        "inner.sizes[1]"
    ]
