"""The jobs API: job types, lists, and the state, result and events of a job."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)

from taskreel.app.jobs.job_lists import Filters, list_jobs
from taskreel.domain.errors import ConflictError
from taskreel.domain.job_status import Status
from taskreel.domain.value import Value
from taskreel.jobtypes import JOB_TYPES, canonical_name, explain_unknown_type
from taskreel.jobtypes.fields import Moment
from taskreel.jobtypes.job_type import JobType
from taskreel.jobtypes.registered_options import registered_names
from taskreel.web.health import HealthView, read_health
from taskreel.web.http import JsonResponse
from taskreel.web.job_lookup import read_job
from taskreel.web.job_rows import build_job_rows
from taskreel.web.openapi import (
    NO_TOKEN,
    WAIT,
    simplify_schema,
)
from taskreel.web.openapi_problems import document_problems
from taskreel.web.responses import (
    JobsPage,
    JobView,
    ProgressView,
    ResultView,
    View,
    build_error_view,
    build_progress_view,
    build_result_view,
)
from taskreel.web.route_parameters import Authenticated, RequestedJob
from taskreel.web.wait_for_end import wait_for_end

_DEEP = {
    "name": "deep",
    "in": "query",
    "description": "Also the memory, processors and disk of the instance that answers.",
    "schema": {"type": "boolean"},
}

router = APIRouter(prefix="/api/jobs", tags=["jobs"])


class JobTypeView(View):
    """A job type: the schema of its request, its price and an example."""

    job_type: str
    summary: str
    price: str
    capability: str
    max_attempts: int
    timeout_seconds: float
    request_schema: dict[str, Any] = Field(serialization_alias="schema")
    example: dict[str, Any]


class JobTypesView(View):
    """All job types."""

    job_types: list[JobTypeView]


@router.get(
    "/types",
    summary="Every job type: its request, price and an example",
    response_model=JobTypesView,
    openapi_extra=NO_TOKEN,
)
async def list_job_types() -> Response:
    """No token is needed."""
    return JsonResponse(_build_types_view(tuple(JOB_TYPES), registered_names()))


@lru_cache(maxsize=4)
def _build_types_view(names: tuple[str, ...], options: frozenset[str]) -> JobTypesView:
    """All job types. Their schemas take some 0.4 s, so they are made once.

    They follow from the types' names and from the `options` that providers have registered.
    """
    del options
    return JobTypesView(job_types=[build_type_view(JOB_TYPES[name]) for name in names])


def build_type_view(job_type: JobType[Any]) -> JobTypeView:
    """The job type as it is sent."""
    schema = job_type.submission.model_json_schema(by_alias=True)
    return JobTypeView(
        job_type=job_type.name,
        summary=job_type.summary,
        price=job_type.price,
        capability=job_type.capability,
        max_attempts=job_type.retry.max_attempts,
        timeout_seconds=job_type.timeout.total_seconds(),
        request_schema=simplify_schema(schema),
        example=dict(job_type.example),
    )


router.add_api_route(
    "/health",
    read_health,
    summary="The health of the service, its queues and what it depends on",
    response_model=HealthView,
    responses={503: {"model": HealthView, "description": "Unhealthy: the store cannot be used"}},
    openapi_extra={**NO_TOKEN, "parameters": [_DEEP]},
)


def _check_type(name: str) -> str:
    known = canonical_name(name)
    if known not in JOB_TYPES:
        raise ValueError(explain_unknown_type(name))
    return known


def check_text(text: str) -> str:
    """The text of a filter; ValueError for characters that cannot be printed."""
    if not all(map(str.isprintable, text)):
        raise ValueError("contains characters that cannot be printed")
    return text


#: No longer id is ever stored, and Firestore refuses to compare one.
_Id = Annotated[str, Field(max_length=256), AfterValidator(check_text)]


JobTypeName = Annotated[
    str, AfterValidator(_check_type), WithJsonSchema({"type": "string", "enum": list(JOB_TYPES)})
]


def split_words(given: Any) -> Any:
    """A list of words, of which each may hold several between commas."""
    if not isinstance(given, list):
        return given
    return [part for word in given for part in str(word).split(",")]


class JobsQuery(Value):
    """The filters and the page of `GET /api/jobs`.

    `cursor` is the page before's `nextCursor`, or the id of a job: the page begins after it.
    `status` may be given several times, or with commas. `provider` served the job; `text` is a part
    of its prompt. The jobs of pipelines are omitted but for those of `parentId`, or with
    `includeChildren`. `summary` adds to each row its title and a signed preview, so that a page of
    pictures needs no request a row. `userId` is for admins, and for members of
    `projectId`: they see the jobs of all members.
    """

    model_config = ConfigDict(defer_build=False)  # FastAPI builds none of its own

    limit: int = Field(default=20, ge=1, le=100)
    cursor: Annotated[str, Field(max_length=2000)] | None = None
    status: Annotated[tuple[Status, ...], BeforeValidator(split_words)] = ()
    job_type: JobTypeName | None = None
    project_id: _Id | None = None
    parent_id: _Id | None = None
    user_id: _Id | None = None
    provider: _Id | None = None
    text: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(check_text)] | None = (
        None
    )
    created_after: Moment | None = None
    created_before: Moment | None = None
    include_children: bool = False
    summary: bool = False
    order: Literal["newest", "oldest"] = "newest"


@router.get(
    "",
    summary="Your jobs, newest first",
    response_model=JobsPage,
    responses=document_problems("forbidden"),
)
async def list_own_jobs(wanted: Annotated[JobsQuery, Query()], context: Authenticated) -> Response:
    """A page, and `nextCursor` for the next one."""
    services = context.services
    fields = wanted.model_dump(exclude={"limit", "cursor", "order", "summary"})
    filters = Filters(**fields, oldest_first=wanted.order == "oldest")
    page = await list_jobs(
        services, context.caller, filters, limit=wanted.limit, cursor=wanted.cursor
    )
    views = await build_job_rows(services, page.rows, context.base_url, summary=wanted.summary)
    return JsonResponse(JobsPage(jobs=views, next_cursor=page.cursor))


async def read_progress(found: RequestedJob) -> Response:
    """The few fields that a progress bar needs."""
    return JsonResponse(build_progress_view(found.job))


async def read_result(found: RequestedJob) -> Response:
    """409 `no_result` while there is none."""
    services = found.context.services
    job = await wait_for_end(services, found.job, found.wait_seconds)
    if job.has_result:
        return JsonResponse(await build_result_view(services, job))
    if job.status.final:
        text = f"The job is {job.status} and has no result."
    else:
        text = (
            f"The job is {job.status} and has no result yet. "
            "Follow its events, or ask with `Prefer: wait=30`."
        )
    error = build_error_view(job)
    shown = None if error is None else error.model_dump(by_alias=True, mode="json")
    raise ConflictError(text, code="no_result", jobStatus=job.status, error=shown)


def _add_read_routes(prefix: str) -> None:
    """Add the routes that read a job. FastAPI tries routes in order: the commonest is the first."""
    router.add_api_route(
        prefix, read_job, summary="The job", response_model=JobView, openapi_extra=WAIT
    )
    router.add_api_route(
        f"{prefix}/progress",
        read_progress,
        summary="The job's progress",
        response_model=ProgressView,
    )
    router.add_api_route(
        f"{prefix}/result",
        read_result,
        summary="The job's result, with fresh URLs",
        response_model=ResultView,
        responses=document_problems("no_result"),
        openapi_extra=WAIT,
    )


# By id first: `/{job_id}/progress` has the form of `/{job_type}/{job_id}`.
_add_read_routes("/{job_id}")
_add_read_routes("/{job_type}/{job_id}")
