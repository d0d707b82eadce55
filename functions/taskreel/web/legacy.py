"""The documented routes of older services, over the same jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import ConfigDict, Field, ValidationError

from taskreel.app.jobs.queries import find_job
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.validation_messages import invalid_model
from taskreel.domain.value import Value
from taskreel.jobtypes import JOB_TYPES
from taskreel.jobtypes.job_type import JobType, Submission
from taskreel.web import openapi
from taskreel.web.http import answer, read_model, services_of
from taskreel.web.jobs import PROBLEMS, caller_of, submit_as
from taskreel.web.schemas import JobView, StepView
from taskreel.web.views import current_step, error_view, job_view, result_view, step_views

router = APIRouter(tags=["older routes"])

MOVIE, SCRIPT = "movie-creation", "script-generation"
_SCENE_TASK = "Describe one scene for the user's prompt: what is seen, what a narrator says, and how long it takes."
_ANSWERS: dict[int | str, dict[str, Any]] = {202: {"model": JobView}, **PROBLEMS}


class AiGeneration(Value):
    """`{type, prompt, parameters{}}`, and any field of the job type that serves it."""

    model_config = ConfigDict(extra="allow")

    type: Literal["script", "scene-description", "image", "video"]
    prompt: str = Field(min_length=1, max_length=10_000)
    parameters: dict[str, Any] = Field(default_factory=dict)


class MovieStatus(Value):
    """How far a movie is. `currentStep` is the first that runs; `result` is there when it is done."""

    movie_id: str
    job_id: str
    status: Status
    current_step: str | None
    percent: int
    steps: list[StepView]
    error: dict[str, Any] | None
    result: dict[str, Any] | None


@router.post(
    "/api/movies",
    status_code=202,
    summary="A whole movie from a prompt",
    responses=_ANSWERS,
    openapi_extra=openapi.submission("MovieCreation"),
)
async def create_movie(request: Request) -> Response:
    """The same as a movie-creation job; `movieId` is its id."""
    movie = JOB_TYPES[MOVIE]
    submission = await read_model(request, movie.submission)
    base = request.app.state.base_url

    def more(job: Job) -> dict[str, Any]:
        return {"movieId": job.job_id, "statusUrl": f"{base}/api/movies/{job.job_id}/status"}

    return await submit_as(request, movie, submission, more)


@router.get(
    "/api/movies/{movie_id}/status",
    summary="A movie's steps, and how far each is",
    responses={200: {"model": MovieStatus}, **PROBLEMS},
)
async def movie_status(request: Request, movie_id: str) -> Response:
    """One read."""
    services = services_of(request)
    job = await find_job(services, await caller_of(request), movie_id, MOVIE)
    steps = step_views(job)
    status = MovieStatus(
        movie_id=job.job_id,
        job_id=job.job_id,
        status=job.status,
        current_step=current_step(job, steps),
        percent=job.progress,
        steps=steps,
        error=error_view(job),
        result=await result_view(services, job) if job.status is Status.COMPLETED else None,
    )
    return answer(status.model_dump(by_alias=True))


@router.post(
    "/v1/generate/script",
    status_code=202,
    summary="A script from a prompt",
    responses=_ANSWERS,
    openapi_extra=openapi.submission("ScriptGeneration"),
)
async def generate_script(request: Request) -> Response:
    """The same as a script-generation job."""
    script = JOB_TYPES[SCRIPT]
    return await submit_as(
        request, script, await read_model(request, script.submission), _status_url(request)
    )


@router.get(
    "/v1/jobs/{job_id}/status",
    summary="A job's status",
    responses={200: {"model": JobView}, **PROBLEMS},
)
async def job_status(request: Request, job_id: str) -> Response:
    """The same as `GET /api/jobs/{jobId}`."""
    services = services_of(request)
    job = await find_job(services, await caller_of(request), job_id)
    return answer(await job_view(services, job, request.app.state.base_url))


@router.post(
    "/api/jobs/ai-generation",
    status_code=202,
    summary="A script, a scene's description, an image or a video, by `type`",
    responses=_ANSWERS,
    openapi_extra=openapi.submission(
        AiGeneration, {"type": "image", "prompt": "A red kite", "parameters": {"width": 512}}
    ),
)
async def generate(request: Request) -> Response:
    """A job of the type that does it; its answer says which."""
    given = await read_model(request, AiGeneration)
    job_type, fields = _mapped(given)
    try:
        submission: Submission = job_type.submission.model_validate(fields)
    except ValidationError as error:
        raise invalid_model(error, job_type.submission) from None
    return await submit_as(request, job_type, submission, _status_url(request))


def _mapped(given: AiGeneration) -> tuple[JobType[Any], dict[str, Any]]:
    """The job type of a generation, and its request."""
    fields = {"prompt": given.prompt, **(given.model_extra or {})}
    match given.type:
        case "script":
            script = JOB_TYPES[SCRIPT]
            own, options = _sorted(script, given.parameters)
            return script, {**fields, **own, **({"options": options} if options else {})}
        case "scene-description":
            from taskreel.jobtypes.text_schemas import SCENE

            prompt = fields.pop("prompt")
            writing = {"kind": "scene", "instructions": _SCENE_TASK, "schema": SCENE}
            parameters = {**writing, **given.parameters}
            return JOB_TYPES["ai-processing"], {
                **fields,
                "task": "text",
                "input": prompt,
                "parameters": parameters,
            }
        case "image" | "video":
            job_type = JOB_TYPES[f"{given.type}-generation"]
            own, options = _sorted(job_type, given.parameters)
            options = {**fields.pop("options", {}), **options}
            return job_type, {**fields, **own, **({"options": options} if options else {})}


def _sorted(
    job_type: JobType[Any], parameters: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Which of the parameters are the request's own fields, and which its options."""
    fields = job_type.submission.model_fields
    names = {*fields, *(field.alias for field in fields.values())}
    own = {name: value for name, value in parameters.items() if name in names}
    return own, {name: value for name, value in parameters.items() if name not in names}


def _status_url(request: Request) -> Any:
    base = request.app.state.base_url
    return lambda job: {"statusUrl": f"{base}/v1/jobs/{job.job_id}/status"}
