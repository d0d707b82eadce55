"""The request of a job inside another body, as `{jobType, data}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from taskreel.domain.errors import InvalidError, NotFoundError
from taskreel.jobtypes.job_type import JobType
from taskreel.web.job_submission import SubmissionBody, find_requested_type, parse_submission


def parse_data(job_type: JobType[Any], data: Mapping[str, Any]) -> SubmissionBody:
    """The request in `data`. Raises InvalidError whose paths begin with `data`."""
    try:
        return parse_submission(to_json(data), job_type)
    except InvalidError as error:
        raise error.under("data") from None


def find_data_faults(body: Mapping[str, Any]) -> list[InvalidError]:
    """The faults of `jobType` and `data` in a body whose other fields are wrong already.

    So all of them are named in one answer. What is missing or of another kind is not checked: the
    check of the body itself has named it.
    """
    name, data = body.get("jobType"), body.get("data")
    if not isinstance(name, str):
        return []
    try:
        job_type = find_requested_type(name)
    except NotFoundError as error:
        return [InvalidError.at("jobType", error.message)]
    if not isinstance(data, dict):
        return []
    try:
        parse_data(job_type, data)
    except InvalidError as error:
        return [error]
    return []
