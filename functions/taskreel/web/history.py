"""The API of histories: one job's, and those of a user's jobs, also as CSV and JSON Lines."""

from __future__ import annotations

import csv
import io
import operator
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response, StreamingResponse
from pydantic import BeforeValidator, ConfigDict, Field

from taskreel.app.caller import Caller
from taskreel.app.jobs.job_lists import Filters
from taskreel.app.records.history import (
    list_changes,
    list_user_jobs,
    load_answers,
    stream_user_jobs,
)
from taskreel.domain.errors import Category
from taskreel.domain.job import Job
from taskreel.domain.job_history import StatusChange
from taskreel.domain.job_status import Status
from taskreel.domain.run_answers import ProviderAnswer
from taskreel.domain.value import Value, to_camel
from taskreel.jobtypes.fields import Moment
from taskreel.web.http import JsonResponse
from taskreel.web.job_reads import JobTypeName, split_words
from taskreel.web.openapi_problems import document_problems
from taskreel.web.responses import View, is_absent
from taskreel.web.route_parameters import Authenticated, RequestedJob

router = APIRouter(prefix="/api/jobs", tags=["history"])


class StatusChangeView(View):
    """A change of status. `by`: the user who caused it, `admin`, or `service`.

    `code` is that of the error that the job had then; `credits` and `costUsd` are those that a
    final status has settled.
    """

    status: Status
    at: datetime
    by: str
    attempt: int
    code: str | None = Field(exclude_if=is_absent)
    credits: int | None = Field(exclude_if=is_absent)
    cost_usd: float | None = Field(exclude_if=is_absent)


class FailedAttemptView(View):
    """A failed call of an attempt. `answer` is the provider's own, for admins alone.

    `costUsd` is what the provider bills for it all the same, as far as that is known;
    `costEstimated` is true where that is our price list's figure, and absent otherwise.
    """

    at: datetime
    attempt: int
    unit: int | None = Field(exclude_if=is_absent)
    provider: str | None = Field(exclude_if=is_absent)
    model: str | None = Field(exclude_if=is_absent)
    code: str
    category: Category
    message: str
    cost_usd: float | None = Field(exclude_if=is_absent)
    cost_estimated: bool = Field(exclude_if=operator.not_)
    answer: str | None = Field(exclude_if=is_absent)


class JobHistoryView(View):
    """The changes of a job's status, oldest first, and its newest failed attempts.

    `forgotten` is the number of older changes: a job records its newest hundred.
    """

    job_id: str
    job_type: str
    project_id: str | None
    status: Status
    created_at: datetime
    changes: list[StatusChangeView]
    forgotten: int
    failed_attempts: list[FailedAttemptView]


class UserHistoryPage(View):
    """Jobs with their histories, newest first; pass `nextCursor` as `cursor` to get the next."""

    jobs: list[JobHistoryView]
    next_cursor: str | None


class HistoryQuery(Value):
    """The filters of a user's history; those of `GET /api/jobs`.

    `csv` and `jsonl` stream one row for each change of status, of all jobs from `cursor` on.
    """

    model_config = ConfigDict(defer_build=False)  # FastAPI builds none of its own

    limit: int = Field(default=20, ge=1, le=100)
    cursor: Annotated[str, Field(max_length=2000)] | None = None
    status: Annotated[tuple[Status, ...], BeforeValidator(split_words)] = ()
    job_type: JobTypeName | None = None
    created_after: Moment | None = None
    created_before: Moment | None = None
    include_children: bool = False
    format: Literal["json", "csv", "jsonl"] = "json"


class HistoryRow(View):
    """A change of status as a row of CSV or JSON Lines."""

    job_id: str
    job_type: str
    project_id: str | None
    status: str
    at: datetime
    by: str
    attempt: int
    code: str | None
    credits: int | None
    cost_usd: float | None


_COLUMNS = tuple(to_camel(name) for name in HistoryRow.model_fields)
_ROW_EXAMPLE = ["job_4k7m", "image-generation", "", "QUEUED", "2026-11-26T09:30:00Z", "ada"]
_STREAMED: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "text/csv": {
                "schema": {"type": "string"},
                "example": f"{','.join(_COLUMNS)}\r\n{','.join(_ROW_EXAMPLE)},0,,,\r\n",
            },
            "application/jsonl": {
                "schema": {"type": "string"},
                "example": '{"jobId":"job_4k7m","status":"QUEUED","by":"ada"}\n',
            },
        }
    }
}


@router.get(
    "/user/{user_id}/history",
    summary="The history of a user's jobs",
    response_model=UserHistoryPage,
    responses={**_STREAMED, **document_problems("forbidden")},
)
async def read_user_history(
    user_id: str, wanted: Annotated[HistoryQuery, Query()], context: Authenticated
) -> Response:
    """Your own, or as an admin any user's. `format=csv` and `format=jsonl` stream all of it."""
    services, caller = context.services, context.caller
    fields = wanted.model_dump(exclude={"limit", "cursor", "format"})
    filters = Filters(**fields, user_id=user_id)
    page = await list_user_jobs(services, caller, filters, limit=wanted.limit, cursor=wanted.cursor)
    if wanted.format == "json":
        views = [build_job_history(job, caller) for job in page.rows]
        return JsonResponse(UserHistoryPage(jobs=views, next_cursor=page.cursor))
    jobs = stream_user_jobs(services, caller, filters, page)
    encode, media_type = _FORMATS[wanted.format]
    return StreamingResponse(encode(jobs, caller), media_type=media_type)


async def read_job_history(found: RequestedJob) -> Response:
    """The newest hundred changes of its status, and its newest twenty failed attempts."""
    caller = found.context.caller
    answers: Sequence[ProviderAnswer] = ()
    if caller.admin:
        answers = await load_answers(found.context.services, found.job.job_id)
    return JsonResponse(build_job_history(found.job, caller, answers))


# By id first, as the other routes of a job.
for _path in ("/{job_id}/history", "/{job_type}/{job_id}/history"):
    router.add_api_route(
        _path,
        read_job_history,
        summary="Every change of the job's status",
        response_model=JobHistoryView,
    )


# ── Building them ────────────────────────────────────────────────────────────────────────────────


def build_job_history(
    job: Job, caller: Caller, answers: Sequence[ProviderAnswer] = ()
) -> JobHistoryView:
    """The job's history as the caller may see it, with the answers that were loaded for them."""
    texts = {(one.at, one.unit): one.text for one in answers}
    return JobHistoryView(
        job_id=job.job_id,
        job_type=job.job_type,
        project_id=job.project_id,
        status=job.status,
        created_at=job.created_at,
        changes=[
            StatusChangeView(**(dict(change) | {"by": _name_actor(change, job, caller)}))
            for change in list_changes(job)
        ],
        forgotten=job.forgotten_changes,
        failed_attempts=[
            FailedAttemptView(**dict(one), answer=texts.get((one.at, one.unit)))
            for one in job.failed_attempts
        ],
    )


def _name_actor(change: StatusChange, job: Job, caller: Caller) -> str:
    """The user who caused a change, as the caller may know: users see no admin's name."""
    if change.by is None:
        return "service"
    return change.by if caller.admin or change.by == job.user_id else "admin"


async def _list_rows(jobs: AsyncIterator[Job], caller: Caller) -> AsyncIterator[HistoryRow]:
    async for job in jobs:
        for change in list_changes(job):
            yield HistoryRow(
                job_id=job.job_id,
                job_type=job.job_type,
                project_id=job.project_id,
                status=str(change.status),
                at=change.at,
                by=_name_actor(change, job, caller),
                attempt=change.attempt,
                code=change.code,
                credits=change.credits,
                cost_usd=change.cost_usd,
            )


async def _encode_csv(jobs: AsyncIterator[Job], caller: Caller) -> AsyncIterator[str]:
    yield _write_line(_COLUMNS)
    async for row in _list_rows(jobs, caller):
        cells = row.model_dump(mode="json").values()
        yield _write_line([_protect_cell(cell) for cell in cells])


async def _encode_json_lines(jobs: AsyncIterator[Job], caller: Caller) -> AsyncIterator[str]:
    async for row in _list_rows(jobs, caller):
        yield f"{row.model_dump_json(by_alias=True)}\n"


def _write_line(cells: Any) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()


def _protect_cell(cell: Any) -> Any:
    """The cell; a text that a spreadsheet would run as a formula begins with an apostrophe."""
    if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{cell}"
    return "" if cell is None else cell


_Encode = Callable[[AsyncIterator[Job], Caller], AsyncIterator[str]]
_FORMATS: dict[str, tuple[_Encode, str]] = {
    "csv": (_encode_csv, "text/csv"),
    "jsonl": (_encode_json_lines, "application/jsonl"),
}
