"""The documented routes of older services, over the same jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import ConfigDict, Field, ValidationError

from taskreel.app.jobs.queries import find_job
from taskreel.app.jobs.submit import JobRequest
from taskreel.domain.job_status import Status
from taskreel.domain.validation_messages import invalid_model
from taskreel.domain.value import Value
from taskreel.jobtypes import JOB_TYPES
from taskreel.jobtypes.job_type import JobType
from taskreel.jobtypes.submission import Submission
from taskreel.web.http import JsonResponse
from taskreel.web.job_submission import Submitter, respond_with_job
from taskreel.web.openapi import PROBLEMS, document_created, document_submission
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

router = APIRouter(tags=["older routes"], responses=PROBLEMS)
#: Must be included before the jobs: their route takes every type, and refuses this one.
generation_router = APIRouter(tags=["older routes"], responses=PROBLEMS)

MOVIE, SCRIPT = "movie-creation", "script-generation"
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


class LegacyJobView(JobView):
    """A job, and the older route that shows it."""

    status_url: str


class MovieJobView(LegacyJobView):
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
    submission: Annotated[Submission, submission_body(MOVIE)], submitter: Submitting
) -> Response:
    """The same as a movie-creation job; `movieId` is its id."""

    def extend(view: JobView) -> JobView:
        status_url = f"{submitter.context.base_url}/api/movies/{view.job_id}/status"
        return MovieJobView(**dict(view), movie_id=view.job_id, status_url=status_url)

    request = _build_request(JOB_TYPES[MOVIE], submission, submitter)
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
    responses=document_created(LegacyJobView),
    openapi_extra=document_submission("ScriptGeneration"),
)
async def create_script(
    submission: Annotated[Submission, submission_body(SCRIPT)], submitter: Submitting
) -> Response:
    """The same as a script-generation job."""
    return await _create_legacy_job(submitter, JOB_TYPES[SCRIPT], submission)


@router.get("/v1/jobs/{job_id}/status", summary="A job's status", response_model=JobView)
async def read_job_status(job_id: str, context: Authenticated) -> Response:
    """The same as `GET /api/jobs/{jobId}`."""
    job = await find_job(context.services, context.caller, job_id)
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
    job_type, fields = _map_generation(generation)
    try:
        submission: Submission = job_type.submission.model_validate(fields)
    except ValidationError as error:
        raise invalid_model(error, job_type.submission) from None
    return await _create_legacy_job(submitter, job_type, submission)


async def _create_legacy_job(
    submitter: Submitter, job_type: JobType[Any], submission: Submission
) -> Response:
    def extend(view: JobView) -> JobView:
        status_url = f"{submitter.context.base_url}/v1/jobs/{view.job_id}/status"
        return LegacyJobView(**dict(view), status_url=status_url)

    request = _build_request(job_type, submission, submitter)
    return await respond_with_job(submitter, submitter.context.caller, request, extend)


def _build_request(
    job_type: JobType[Any], submission: Submission, submitter: Submitter
) -> JobRequest:
    return JobRequest(
        job_type=job_type,
        submission=submission,
        idempotency_key=submitter.idempotency_key,
    )


def _map_generation(generation: AiGeneration) -> tuple[JobType[Any], dict[str, Any]]:
    """The job type that serves the generation, and the fields of its request."""
    fields = {"prompt": generation.prompt, **(generation.model_extra or {})}
    match generation.type:
        case "script":
            return _split_parameters(JOB_TYPES[SCRIPT], fields, generation.parameters)
        case "scene-description":
            from taskreel.jobtypes.text_schemas import SCENE

            prompt = fields.pop("prompt")
            writing = {"kind": "scene", "instructions": _SCENE_TASK, "schema": SCENE}
            task = {
                "task": "text",
                "input": prompt,
                "parameters": {**writing, **generation.parameters},
            }
            return JOB_TYPES["ai-processing"], {**fields, **task}
        case "image" | "video":
            job_type = JOB_TYPES[f"{generation.type}-generation"]
            return _split_parameters(job_type, fields, generation.parameters)


def _split_parameters(
    job_type: JobType[Any], fields: Mapping[str, Any], parameters: Mapping[str, Any]
) -> tuple[JobType[Any], dict[str, Any]]:
    """Add the parameters: the type's own fields as such, the others as its options."""
    declared = job_type.submission.model_fields
    names = {*declared, *(field.alias for field in declared.values())}
    own = {name: value for name, value in parameters.items() if name in names}
    others = {name: value for name, value in parameters.items() if name not in names}
    request = {**fields, **own}
    options = request.get("options", {})
    # Options that are not an object are left as they are: the job type's model refuses them.
    if others and isinstance(options, Mapping):
        request["options"] = {**options, **others}
    return job_type, request
