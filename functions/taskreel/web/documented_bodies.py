"""Request bodies as the documented services' clients send them.

Their fields are brought to their places in a job type's request: those of `movieData` and of
`parameters` become fields or options of the request. A field that the type has no use for is left
out there and named in `ignoredFields` of the answer: such clients send one body to several routes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import AliasChoices, BaseModel
from pydantic_core import from_json

from taskreel.app.jobs.dependencies import refers_to_jobs
from taskreel.jobtypes.job_type import JobType
from taskreel.jobtypes.submission import (
    PLAIN,
    DeferredSubmission,
    Submission,
    is_plain,
    registered_names,
)
from taskreel.web.http import parse_model, validate_fields

_MOVIE = "movieData"


@dataclass(frozen=True, slots=True)
class SubmissionBody:
    """A request body: the validated submission, and the given fields that have no effect."""

    submission: Submission
    ignored: tuple[str, ...]


def parse_submission(raw: bytes, job_type: JobType[Any]) -> SubmissionBody:
    """The body as the type's request; deferred if it refers to jobs that it depends on."""
    fields = _parse_rare_object(raw)
    if fields is None:
        context = PLAIN if is_plain(raw) else None
        return _complete(parse_model(raw, job_type.submission, context), ())
    dropped: list[str] = []
    if isinstance(fields.get(_MOVIE), Mapping):
        movie = fields.pop(_MOVIE)
        fields, dropped = spread_fields(job_type.submission, fields, movie, at=_MOVIE)
    if refers_to_jobs(fields):
        return _complete(validate_fields(fields, DeferredSubmission), dropped)
    return validate_submission(fields, job_type, dropped)


def validate_submission(
    fields: Mapping[str, Any], job_type: JobType[Any], dropped: list[str]
) -> SubmissionBody:
    """The fields as the type's request; `dropped` are those that were left out before."""
    submission: Submission = validate_fields(fields, job_type.submission)
    return _complete(submission, dropped)


def _complete(submission: Submission, dropped: list[str] | tuple[()]) -> SubmissionBody:
    return SubmissionBody(submission, (*submission.ignored_fields, *dropped))


def _parse_rare_object(raw: bytes) -> dict[str, Any] | None:
    """The body as an object, if it may need more than the type's own model; else None."""
    # Nearly every body is decided by these searches alone, and parsed once.
    if b'"movieData"' not in raw and (b"{{" not in raw or b"depends" not in raw):
        return None
    try:
        fields = from_json(raw)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None


def spread_fields(
    model: type[Submission], fields: Mapping[str, Any], inner: Mapping[str, Any], *, at: str
) -> tuple[dict[str, Any], list[str]]:
    """Bring the fields of an inner object to their places in the model's request.

    A field of the model goes to the request itself, an option to its `options`, unless it is given
    there already. Returns the request, and the other fields of `inner`, with `at` before them.
    """
    own_names = list_names(model)
    option_names = list_names(_find_options_model(model)) | registered_names()
    request = dict(fields)
    options: dict[str, Any] = {}
    dropped = []
    for name, value in inner.items():
        if name in own_names:
            request.setdefault(name, value)
        elif name in option_names:
            options[name] = value
        else:
            dropped.append(f"{at}.{name}")
    given = request.get("options", {})
    # Options that are not an object are left as they are: the model refuses them.
    if options and isinstance(given, Mapping):
        request["options"] = {**options, **given}
    return request, dropped


def list_names(model: type[BaseModel] | None) -> frozenset[str]:
    """All names that a request may use for the model's fields."""
    names: set[str] = set()
    for name, field in model.model_fields.items() if model else ():
        choices = field.validation_alias
        aliases = choices.choices if isinstance(choices, AliasChoices) else [field.alias]
        names |= {name, *(alias for alias in aliases if isinstance(alias, str))}
    return frozenset(names)


def _find_options_model(model: type[BaseModel]) -> type[BaseModel] | None:
    field = model.model_fields.get("options")
    kind = field.annotation if field else None
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
