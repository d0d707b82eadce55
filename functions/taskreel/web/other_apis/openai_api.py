"""The media part of OpenAI's API: images, from text or pictures, and speech.

They are answered by the request that asks for them.

`OpenAI(base_url="{url}/v1", api_key=token)`. Each request is a job like any other: credits are held
for it, `maxUsd` (in the client's `extra_body`) caps its price, and it stays in the list of jobs;
`x-request-id` is its id. The job goes on when the client goes away.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from taskreel.app.services import Services
from taskreel.domain.artifact import Artifact
from taskreel.domain.errors import (
    Category,
    InvalidError,
    SpendCapError,
    TaskreelError,
    TooFewCreditsError,
)
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.web.auth import AuthenticatedRequest
from taskreel.web.other_apis.client_requests import (
    SubmittedModel,
    authenticate_client,
    read_object,
    submit_model,
)
from taskreel.web.other_apis.input_names import explain_failure
from taskreel.web.other_apis.model_names import NamedModel, find_model, list_models
from taskreel.web.other_apis.openai_edits import read_edit, store_pictures
from taskreel.web.problems import answer_crash, find_headers, find_status, log_server_fault
from taskreel.web.wait_for_end import wait_for_end

#: Cloud Run ends a request after 300 s; the client itself waits for 600.
_LONGEST_WAIT = 280.0
#: Images in the body of a response; larger ones are read by their URLs.
_MOST_BYTES = 48 << 20
_DEFAULT_IMAGE_MODEL = "gpt-image-2"
_IMAGE_TYPES = frozenset({"image-generation"})
_SPEECH_TYPES = frozenset({"audio-synthesis"})
#: Words for a choice of the service's own.
_AUTO = ("auto", None)
_QUALITIES: Mapping[str, str] = {"standard": "medium", "hd": "high"}
#: Fields here → the parameters that stand for them there.
_PARAMETERS: Mapping[str, str] = {
    "text": "input",
    "format": "response_format",
    "settings.speed": "speed",
    "options.width": "size",
    "options.height": "size",
    "options.quality": "quality",
    "options.output_format": "output_format",
    "num_images": "n",
    "image_urls": "image",
}
#: The client sends a failed request again; ours would be another job.
_NO_RETRY = {"x-should-retry": "false"}


def build_app() -> Starlette:
    """The application."""
    app = Starlette(
        routes=[
            *(Route(path, serve, methods=["POST"]) for path, serve in _SERVED.items()),
            Route("/v1/models", _list_models, methods=["GET"]),
            Route("/v1/models/{model:path}", _read_model, methods=["GET"]),
        ]
    )
    app.add_exception_handler(TaskreelError, _answer_error)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(Exception, _answer_crash)
    return app


# ── Images ───────────────────────────────────────────────────────────────────────────────────────


async def _generate_images(request: Request) -> Response:
    context = await authenticate_client(request)
    return await _make_images(request, context, await read_object(request))


async def _edit_images(request: Request) -> Response:
    context = await authenticate_client(request)
    fields, pictures = await read_edit(request)
    # Before a file is stored, which counts against the user's quota.
    _refuse_stream(fields)
    _find_model(fields.get("model") or _DEFAULT_IMAGE_MODEL, _IMAGE_TYPES)
    given = {**fields, "image_urls": await store_pictures(request, context, pictures)}
    return await _make_images(request, context, given)


async def _make_images(
    request: Request, context: AuthenticatedRequest, body: dict[str, Any]
) -> Response:
    _refuse_stream(body)
    named = _find_model(body.pop("model", None) or _DEFAULT_IMAGE_MODEL, _IMAGE_TYPES)
    as_url = _wants_urls(body.pop("response_format", None), named)
    made = await submit_model(request, context, named, _translate_image(body), at="")
    job = await _wait(context, made)
    if job.status is not Status.COMPLETED:
        return _respond_with_failure(job)
    services = context.services
    if not as_url and sum(file.bytes for file in job.artifacts) > _MOST_BYTES:
        message = "The images are too large for a response; ask for response_format url."
        raise InvalidError.at("response_format", message, text=message)
    show = _link_image if as_url else _encode_image
    images = [await show(services, file) for file in job.artifacts]
    ended = job.status_at[job.status]
    return _respond({"created": int(ended.timestamp()), "data": images}, headers=_describe(made))


def _translate_image(body: Mapping[str, Any]) -> dict[str, Any]:
    """The request as inputs of a model."""
    fields = dict(body)
    options = fields.pop("options", None) or {}
    if not isinstance(options, dict):
        raise InvalidError.at("options", "must be an object")
    options = dict(options)
    size = fields.pop("size", None)
    if size not in _AUTO:
        width, _, height = str(size).partition("x")
        if not (width.isdecimal() and height.isdecimal()):
            message = "must be auto, or width and height in pixels, such as 1024x1536"
            raise InvalidError.at("size", message)
        options |= {"width": int(width), "height": int(height)}
    quality = fields.pop("quality", None)
    if quality not in _AUTO:
        options["quality"] = _QUALITIES.get(str(quality), quality)
    output_format = fields.pop("output_format", None)
    if output_format is not None:
        options["output_format"] = output_format
    return {**fields, "options": options}


def _wants_urls(response_format: Any, named: NamedModel) -> bool:
    """As OpenAI does: its image models answer with content, the older ones with URLs."""
    if response_format is None:
        return named.name.startswith("dall-e-")
    if response_format not in ("url", "b64_json"):
        raise InvalidError.at("response_format", "must be url or b64_json")
    return bool(response_format == "url")


async def _encode_image(services: Services, file: Artifact) -> dict[str, str]:
    content = b"".join([chunk async for chunk in services.blobs.read(file.path)])
    return {"b64_json": base64.b64encode(content).decode()}


async def _link_image(services: Services, file: Artifact) -> dict[str, str]:
    expires_in = services.rules.signed_url_lifetime
    return {"url": await services.blobs.signed_url(file.path, expires_in=expires_in)}


# ── Speech ───────────────────────────────────────────────────────────────────────────────────────


async def _synthesize_speech(request: Request) -> Response:
    context = await authenticate_client(request)
    body = await read_object(request)
    _refuse_stream(body)
    named = _find_model(body.pop("model", None), _SPEECH_TYPES)
    made = await submit_model(request, context, named, _translate_speech(body), at="")
    job = await _wait(context, made)
    if job.status is not Status.COMPLETED or not job.artifacts:
        return _respond_with_failure(job)
    file = job.artifacts[0]
    headers = {"Content-Length": str(file.bytes), **_describe(made)}
    content = context.services.blobs.read(file.path)
    return StreamingResponse(content, headers=headers, media_type=file.content_type)


def _translate_speech(body: Mapping[str, Any]) -> dict[str, Any]:
    """The request as inputs of a model."""
    fields = dict(body)
    fields.pop("stream_format", None)
    if "input" in fields:
        fields["text"] = fields.pop("input")
    if "response_format" in fields:
        fields["format"] = fields.pop("response_format")
    voice = fields.get("voice")
    if isinstance(voice, dict):
        fields["voice"] = voice.get("id")
    if fields.get("speed") is not None:
        fields["settings"] = {"speed": fields.pop("speed")}
    return fields


# ── Both ─────────────────────────────────────────────────────────────────────────────────────────


def _refuse_stream(body: Mapping[str, Any]) -> None:
    if body.get("stream") or body.get("stream_format") == "sse":
        name = "stream" if body.get("stream") else "stream_format"
        raise InvalidError.at(name, "streams of parts are not supported; leave it out")


def _find_model(name: Any, job_types: frozenset[str]) -> NamedModel:
    if not isinstance(name, str) or not name:
        raise InvalidError.at("model", "is required")
    named = find_model("openai", name)
    if named.job_type not in job_types:
        served = [one.name for one in list_models("openai") if one.job_type in job_types]
        raise InvalidError.at("model", f"cannot do this; use one of: {', '.join(served)}")
    return named


async def _wait(context: AuthenticatedRequest, made: SubmittedModel) -> Job:
    return await wait_for_end(context.services, made.submitted.job, _LONGEST_WAIT)


async def _list_models(request: Request) -> Response:
    await authenticate_client(request)
    media = _IMAGE_TYPES | _SPEECH_TYPES
    models = [_show_model(one) for one in list_models("openai") if one.job_type in media]
    return _respond({"object": "list", "data": models})


async def _read_model(request: Request) -> Response:
    await authenticate_client(request)
    return _respond(_show_model(find_model("openai", request.path_params["model"])))


def _show_model(named: NamedModel) -> dict[str, Any]:
    return {"id": named.name, "object": "model", "created": 0, "owned_by": "taskreel"}


# ── Responses ────────────────────────────────────────────────────────────────────────────────────


def _respond(
    body: dict[str, Any],
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> Response:
    return Response(to_json(body), status.value, headers, media_type="application/json")


def _describe(made: SubmittedModel) -> dict[str, str]:
    """The headers that name the job, and the parameters that had no effect."""
    headers = {"x-request-id": made.submitted.job.job_id}
    if made.ignored:
        headers["Taskreel-Ignored-Inputs"] = ", ".join(made.ignored)
    return headers


def _respond_with_failure(job: Job) -> Response:
    """The end of a job without a result, or that it goes on."""
    headers = {"x-request-id": job.job_id, **_NO_RETRY}
    if not job.status.final:
        message = f"The job goes on; read it at /api/jobs/{job.job_id}."
        return _refuse(HTTPStatus.GATEWAY_TIMEOUT, message, "timeout", headers=headers)
    if job.error is None:
        message = f"The job is {job.status}."
        return _refuse(HTTPStatus.CONFLICT, message, job.status.lower(), headers=headers)
    permanent = job.error.category == Category.PERMANENT
    status = HTTPStatus.BAD_REQUEST if permanent else HTTPStatus.INTERNAL_SERVER_ERROR
    message, parameter = explain_failure(job, _name_parameter)
    return _refuse(status, message, job.error.code, parameter, headers)


def _name_parameter(path: str) -> str:
    """The parameter that stands for one of our inputs: all of them are pictures."""
    return "image" if path.startswith("imageUrl") else path


#: OpenAI's clients know them as an exceeded quota.
_OF_MONEY = {TooFewCreditsError.code, SpendCapError.code}


def _refuse(
    status: HTTPStatus,
    message: str,
    code: str,
    parameter: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    if status is HTTPStatus.TOO_MANY_REQUESTS:
        kind = "insufficient_quota" if code in _OF_MONEY else "rate_limit_error"
    error = {"message": message, "type": kind, "param": parameter, "code": code}
    return _respond({"error": error}, status, headers)


async def _answer_error(_request: Request, error: Exception) -> Response:
    """OpenAI's form of an error, and its statuses: 400 for a wrong field, 429 without credits."""
    assert isinstance(error, TaskreelError)  # noqa: S101 - it is registered for these alone
    status, parameter = find_status(error), None
    if isinstance(error, InvalidError):
        status = HTTPStatus.BAD_REQUEST
        error = error.rename(lambda path: _PARAMETERS.get(path, path))
        found = error.details.get("errors") or [{"path": ""}]
        parameter = str(found[0]["path"]) or None
    message = log_server_fault(error, status) or error.message
    headers = find_headers(error)
    if error.code in _OF_MONEY:
        status, headers = HTTPStatus.TOO_MANY_REQUESTS, _NO_RETRY
    return _refuse(status, message, error.code, parameter, headers)


async def _answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for these alone
    status = HTTPStatus(error.status_code)
    message = f"{error.detail}."
    if status is HTTPStatus.NOT_FOUND:
        message = f"There is no {request.method} {request.url.path} here; there are: {_LISTED}."
    return _refuse(status, message, status.name.lower())


async def _answer_crash(request: Request, error: Exception) -> Response:
    await answer_crash(request, error)  # it logs
    message = "The service failed unexpectedly. Your request is not at fault."
    return _refuse(HTTPStatus.INTERNAL_SERVER_ERROR, message, "internal_error")


_SERVED: Mapping[str, Callable[[Request], Awaitable[Response]]] = {
    "/v1/images/generations": _generate_images,
    "/v1/images/edits": _edit_images,
    "/v1/audio/speech": _synthesize_speech,
}
_LISTED = ", ".join([*(f"POST {path}" for path in _SERVED), "GET /v1/models"])
