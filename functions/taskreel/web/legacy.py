"""The documented routes of older services, over the same jobs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import ConfigDict, Field

from taskreel.app.jobs.queries import find_job
from taskreel.domain.errors import NotFoundError
from taskreel.domain.job_status import Status
from taskreel.domain.value import Value
from taskreel.jobtypes import JOB_TYPES
from taskreel.jobtypes.job_type import JobType
from taskreel.web.documented_bodies import spread_fields
from taskreel.web.http import JsonResponse
from taskreel.web.job_submission import (
    SubmissionBody,
    Submitter,
    build_request,
    respond_with_job,
    validate_submission,
)
from taskreel.web.openapi import document_created, document_submission
from taskreel.web.responses import (
    JobErrorView,
    JobView,
    ResultView,
    StepView,
    View,
    build_error_view,
    build_job_view,
    build_result_view,
    build_step_views,
    find_current_step,
)
from taskreel.web.route_parameters import (
    Authenticated,
    Submitting,
    json_body,
    submission_body,
)

router = APIRouter(tags=["older routes"])
#: Must be included before the jobs: their route takes every type, and refuses this one.
generation_router = APIRouter(tags=["older routes"])

MOVIE, SCRIPT = "movie-creation", "script-generation"
#: The prompt of the documented service for a request without one.
_SCRIPT_PROMPT = "Generate movie script"
SCRIPT_STARTED = "Script generation started"
_SCENE_TASK = (
    "Describe one scene for the user's prompt: what is seen, what a narrator says, "
    "and how long it takes."
)


class AiGeneration(Value):
    """`{type, prompt, parameters{}}`, and any field of the job type that serves it."""

    model_config = ConfigDict(extra="allow")

    type: Literal["script", "scene-description", "image", "video"]
    prompt: str = Field(min_length=1, max_length=10_000)
    parameters: dict[str, Any] = Field(default_factory=dict)


class ScriptOrder(Value):
    """`{projectId, userId, parameters{}}`, and any field of script-generation.

    Without a prompt, the script is written by the parameters alone.
    """

    model_config = ConfigDict(extra="allow")

    parameters: dict[str, Any] = Field(default_factory=dict)


class LegacyJobView(JobView, kw_only=True):
    """A job, and the older route that shows it."""

    status_url: str


class ScriptJobView(LegacyJobView, kw_only=True):
    """A script's job, with a word for its user."""

    message: str


class MovieJobView(LegacyJobView, kw_only=True):
    """A movie's job; `movieId` is its id."""

    movie_id: str


class MovieStatus(View):
    """A movie's progress. `currentStep` is the first running step; `result` is set at the end."""

    movie_id: str
    job_id: str
    status: Status
    current_step: str | None
    percent: int
    steps: list[StepView]
    error: JobErrorView | None
    result: ResultView | None


@router.post(
    "/api/movies",
    status_code=202,
    summary="A whole movie from a prompt",
    responses=document_created(MovieJobView),
    openapi_extra=document_submission("MovieCreation"),
)
async def create_movie(
    body: Annotated[SubmissionBody, submission_body(MOVIE)], submitter: Submitting
) -> Response:
    """The same as a movie-creation job; `movieId` is its id."""

    def extend(view: JobView) -> JobView:
        status_url = f"{submitter.context.base_url}/api/movies/{view.job_id}/status"
        return MovieJobView(**dict(view), movie_id=view.job_id, status_url=status_url)

    request = build_request(submitter, JOB_TYPES[MOVIE], body)
    return await respond_with_job(submitter, submitter.context.caller, request, extend)


@router.get(
    "/api/movies/{movie_id}/status",
    summary="A movie's steps and their progress",
    response_model=MovieStatus,
)
async def read_movie_status(movie_id: str, context: Authenticated) -> Response:
    """One read."""
    job = await find_job(context.services, context.caller, movie_id, MOVIE)
    steps = build_step_views(job)
    completed = job.status is Status.COMPLETED
    return JsonResponse(
        MovieStatus(
            movie_id=job.job_id,
            job_id=job.job_id,
            status=job.status,
            current_step=find_current_step(job, steps),
            percent=job.progress,
            steps=steps,
            error=build_error_view(job),
            result=await build_result_view(context.services, job) if completed else None,
        )
    )


@router.post(
    "/v1/generate/script",
    status_code=202,
    summary="A script from a prompt",
    responses=document_created(ScriptJobView),
    openapi_extra=document_submission(
        ScriptOrder, {"projectId": "project-456", "parameters": {"genre": "comedy"}}
    ),
)
async def create_script(
    order: Annotated[ScriptOrder, json_body(ScriptOrder)], submitter: Submitting
) -> Response:
    """The same as a script-generation job, with `parameters` for its fields and options."""
    job_type = JOB_TYPES[SCRIPT]
    given, dropped = spread_fields(
        job_type.submission, order.model_extra or {}, order.parameters, at="parameters"
    )
    if not {"prompt", "topic", "idea"} & given.keys():
        given["prompt"] = _SCRIPT_PROMPT
    body = validate_submission(given, job_type, dropped)
    view = partial(ScriptJobView, message=SCRIPT_STARTED)
    return await _create_legacy_job(submitter, job_type, body, view)


@router.get("/v1/jobs/{job_id}/status", summary="A job's status", response_model=JobView)
async def read_job_status(job_id: str, context: Authenticated) -> Response:
    """The same as `GET /api/jobs/{jobId}`; the problem of a 404 also has `error`."""
    try:
        job = await find_job(context.services, context.caller, job_id)
    except NotFoundError as missing:
        raise NotFoundError(missing.message, error="Job not found") from None
    return JsonResponse(await build_job_view(context.services, job, context.base_url))


@generation_router.post(
    "/api/jobs/ai-generation",
    status_code=202,
    summary="A script, a scene's description, an image or a video, by `type`",
    responses=document_created(LegacyJobView),
    openapi_extra=document_submission(
        AiGeneration,
        {"type": "image", "prompt": "A red kite", "parameters": {"width": 512}},
    ),
)
async def create_ai_generation(
    generation: Annotated[AiGeneration, json_body(AiGeneration)], submitter: Submitting
) -> Response:
    """A job of the type that serves it; `jobType` of the response names it."""
    job_type, body = _map_generation(generation)
    return await _create_legacy_job(submitter, job_type, body)


async def _create_legacy_job(
    submitter: Submitter,
    job_type: JobType[Any],
    body: SubmissionBody,
    build_view: Callable[..., LegacyJobView] = LegacyJobView,
) -> Response:
    def extend(view: JobView) -> JobView:
        status_url = f"{submitter.context.base_url}/v1/jobs/{view.job_id}/status"
        return build_view(**dict(view), status_url=status_url)

    request = build_request(submitter, job_type, body)
    return await respond_with_job(submitter, submitter.context.caller, request, extend)


def _map_generation(generation: AiGeneration) -> tuple[JobType[Any], SubmissionBody]:
    """The job type that serves the generation, and its request."""
    fields = {"prompt": generation.prompt, **(generation.model_extra or {})}
    parameters = generation.parameters
    if generation.type == "scene-description":
        from taskreel.jobtypes.text_schemas import SCENE

        job_type = JOB_TYPES["ai-processing"]
        prompt = fields.pop("prompt")
        writing = {"kind": "scene", "instructions": _SCENE_TASK, "schema": SCENE, **parameters}
        task = {"task": "text", "input": prompt, "parameters": writing}
        return job_type, validate_submission({**fields, **task}, job_type, [])
    job_type = JOB_TYPES[SCRIPT if generation.type == "script" else f"{generation.type}-generation"]
    fields, dropped = spread_fields(job_type.submission, fields, parameters, at="parameters")
    return job_type, validate_submission(fields, job_type, dropped)
