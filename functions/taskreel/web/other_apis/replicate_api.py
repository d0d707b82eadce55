"""Replicate's HTTP API under `/replicate/v1`.

Python: `REPLICATE_BASE_URL={url}/replicate`. JavaScript: `baseUrl: "{url}/replicate/v1"`.
Its errors have the form of this API's own problems.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from taskreel.app.jobs.cancel import cancel_job
from taskreel.app.jobs.job_lists import Filters, list_jobs
from taskreel.app.jobs.job_store import load_job
from taskreel.app.jobs.queries import find_job
from taskreel.app.webhooks.endpoints import OWN, find_endpoint
from taskreel.domain.errors import ConflictError, InvalidError, NotFoundError
from taskreel.domain.job import Job
from taskreel.domain.webhook_events import FINAL_EVENTS, MessageForm, Signature
from taskreel.web.auth import ApiContext, AuthenticatedRequest
from taskreel.web.http import parse_wait_seconds
from taskreel.web.other_apis.client_requests import (
    ClientWebhook,
    authenticate_client,
    read_object,
    submit_model,
)
from taskreel.web.other_apis.model_names import NamedModel, find_model, list_models
from taskreel.web.other_apis.replicate_files import create_file, delete_file, read_file
from taskreel.web.other_apis.replicate_prediction import (
    PredictionLinks,
    build_model,
    build_prediction,
    build_version,
    version_id,
)
from taskreel.web.other_apis.replicate_stream import stream_prediction
from taskreel.web.problems import install_handlers
from taskreel.web.wait_for_end import wait_for_end

_PAGE = 100
#: The clients give up after 60.5 s; the answer needs some of it.
_LONGEST_WAIT = 55.0
_FIELDS = frozenset(
    {"input", "version", "stream", "webhook", "webhook_completed", "webhook_events_filter"}
)
#: Replicate's events → those of a job. All of a result comes with the end.
_EVENTS: Mapping[str, tuple[str, ...]] = {
    "start": ("job.processing",),
    "output": ("job.completed",),
    "logs": (),
    "completed": FINAL_EVENTS,
}


def build_app() -> Starlette:
    """The application."""
    routes = [
        Route(f"/replicate/v1{path}", handler, methods=[method])
        for method, path, handler in _list_routes()
    ]
    app = Starlette(routes=routes)
    install_handlers(app)
    return app


def _list_routes() -> list[tuple[str, str, Callable[[Request], Awaitable[Response]]]]:
    return [
        ("POST", "/predictions", _create_by_version),
        ("GET", "/predictions", _list_predictions),
        ("GET", "/predictions/{job_id}", _read_prediction),
        ("POST", "/predictions/{job_id}/cancel", _cancel_prediction),
        ("GET", "/outputs/{job_id}/{name:path}", _read_output),
        ("GET", "/streams/{job_id}", stream_prediction),
        ("GET", "/models", _list_models),
        ("GET", "/models/{owner}/{name}", _read_model),
        ("GET", "/models/{owner}/{name}/versions", _list_versions),
        ("GET", "/models/{owner}/{name}/versions/{version}", _read_version),
        ("POST", "/models/{owner}/{name}/predictions", _create_by_model),
        ("POST", "/deployments/{owner}/{name}/predictions", _create_by_model),
        ("GET", "/account", _read_account),
        ("GET", "/webhooks/default/secret", _read_webhook_secret),
        ("POST", "/files", create_file),
        ("GET", "/files/{file_id}", read_file),
        ("DELETE", "/files/{file_id}", delete_file),
    ]


# ── Predictions ──────────────────────────────────────────────────────────────────────────────────


async def _create_by_model(request: Request) -> Response:
    context = await authenticate_client(request)
    return await _create(request, context, _find_model_in_path(request), await read_object(request))


async def _create_by_version(request: Request) -> Response:
    """`version` is a version's id, or `owner/name` with or without one."""
    context = await authenticate_client(request)
    body = await read_object(request)
    version = body.get("version")
    if not isinstance(version, str) or not version:
        message = "is required: a version's id, or a model's owner/name"
        raise InvalidError.at("version", message)
    return await _create(request, context, _find_version(version), body)


async def _create(
    request: Request, context: AuthenticatedRequest, named: NamedModel, body: dict[str, Any]
) -> Response:
    _check_body(body)
    webhook = _parse_webhook(body)
    given = body.get("input", {})
    made = await submit_model(request, context, named, given, webhook=webhook)
    job = made.submitted.job
    seconds = _parse_wait(request.headers.get("prefer"))
    if seconds:
        job = await wait_for_end(context.services, job, seconds)
    headers = {"Taskreel-Ignored-Inputs": ", ".join(made.ignored)} if made.ignored else {}
    shown = _build_prediction(request, job, has_waited=seconds > 0)
    return _respond(shown, HTTPStatus.CREATED, headers)


def _check_body(body: dict[str, Any]) -> None:
    for name in body.keys() - _FIELDS:
        message = "is unknown; the model's inputs belong into `input`"
        raise InvalidError.at(name, message)
    if not isinstance(body.get("input", {}), dict):
        raise InvalidError.at("input", "must be an object")


def _parse_webhook(body: Mapping[str, Any]) -> ClientWebhook | None:
    """`webhook` with its filter, or the older `webhook_completed`, which gets the end alone."""
    name = "webhook" if body.get("webhook") else "webhook_completed"
    url, given = body.get(name), body.get("webhook_events_filter")
    if not url:
        return None
    if not isinstance(url, str):
        raise InvalidError.at(name, "must be a URL")
    if not given or name == "webhook_completed":
        return ClientWebhook(url, MessageForm.REPLICATE, name)
    known = ", ".join(_EVENTS)
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise InvalidError.at("webhook_events_filter", f"must be a list of: {known}")
    if unknown := [one for one in given if one not in _EVENTS]:
        message = f"has no event {unknown[0]!r}; there are: {known}"
        raise InvalidError.at("webhook_events_filter", message)
    events = tuple(dict.fromkeys(event for one in given for event in _EVENTS[one]))
    if not events:
        message = "must have more than logs: logs are not sent here"
        raise InvalidError.at("webhook_events_filter", message)
    return ClientWebhook(url, MessageForm.REPLICATE, name, events)


async def _read_webhook_secret(request: Request) -> Response:
    """The key that signs the webhooks of the caller's predictions."""
    context = await authenticate_client(request)
    endpoint = await find_endpoint(context.services, context.caller, OWN)
    now = context.services.clock.now()
    shared = [one for one in endpoint.valid_keys(now) if one.kind is Signature.HMAC]
    if not shared:
        raise ConflictError(
            "Your webhooks are signed by Ed25519, which this client cannot verify. Replace the key "
            'by POST /api/webhook-endpoints/default/keys {"signature": "v1"}.'
        )
    return _respond({"key": shared[-1].secret})


def _parse_wait(prefer: str | None) -> float:
    """The seconds of `Prefer: wait=N`; as many as the clients wait for a bare `wait`."""
    seconds = parse_wait_seconds(prefer)
    preferences = [one.strip().lower() for one in re.split("[,;]", prefer or "")]
    if not seconds and "wait" in preferences:
        seconds = _LONGEST_WAIT
    return min(seconds, _LONGEST_WAIT)


async def _list_predictions(request: Request) -> Response:
    context = await authenticate_client(request)
    cursor = request.query_params.get("cursor")
    page = await list_jobs(
        context.services, context.caller, Filters(), limit=_PAGE, cursor=cursor or None
    )
    url = f"{context.base_url}/replicate/v1/predictions"
    return _respond(
        {
            "previous": None,
            "next": f"{url}?cursor={quote(page.cursor)}" if page.cursor else None,
            "results": [_build_prediction(request, job) for job in page.rows],
        }
    )


async def _read_prediction(request: Request) -> Response:
    context = await authenticate_client(request)
    job = await find_job(context.services, context.caller, request.path_params["job_id"])
    return _respond(_build_prediction(request, job))


async def _cancel_prediction(request: Request) -> Response:
    context = await authenticate_client(request)
    services, caller = context.services, context.caller
    found = await find_job(services, caller, request.path_params["job_id"])
    job = await cancel_job(services, caller, found.job_id, found.job_type)
    return _respond(_build_prediction(request, job))


async def _read_output(request: Request) -> Response:
    """A file of a result; its link is the permission."""
    context = ApiContext.of(request)
    services = context.services
    job_id, name = request.path_params["job_id"], request.path_params["name"]
    query = request.query_params
    now = services.clock.now()
    signature = query.get("signature", "")
    context.file_links().check(f"{job_id}/{name}", query.get("expires", ""), signature, now)
    job = await load_job(services.store, job_id)
    file = next((one for one in job.artifacts if one.name == name), None) if job else None
    if file is None:
        raise NotFoundError(f"There is no file {name} of {job_id} any more.")
    headers = {"Content-Length": str(file.bytes), "Access-Control-Allow-Origin": "*"}
    content = services.blobs.read(file.path)
    return StreamingResponse(content, headers=headers, media_type=file.content_type)


def _build_prediction(request: Request, job: Job, *, has_waited: bool = False) -> dict[str, Any]:
    context = ApiContext.of(request)
    links = PredictionLinks(context.file_links(), context.services, job)
    return build_prediction(job, context.base_url, links, has_waited=has_waited)


# ── Models ───────────────────────────────────────────────────────────────────────────────────────


def _find_model_in_path(request: Request) -> NamedModel:
    path = request.path_params
    return find_model("replicate", f"{path['owner']}/{path['name']}")


def _find_version(version: str) -> NamedModel:
    name, _, id_ = version.rpartition(":")
    if "/" in version:
        return find_model("replicate", name or id_)
    found = next((one for one in list_models("replicate") if version_id(one.name) == version), None)
    if found is None:
        raise NotFoundError(
            f"There is no version {version!r} here: versions at Replicate itself are not known. "
            "Name the model alone, as owner/name."
        )
    return found


async def _list_models(request: Request) -> Response:
    context = await authenticate_client(request)
    models = [build_model(one, context.base_url) for one in list_models("replicate")]
    return _respond({"previous": None, "next": None, "results": models})


async def _read_model(request: Request) -> Response:
    context = await authenticate_client(request)
    return _respond(build_model(_find_model_in_path(request), context.base_url))


async def _list_versions(request: Request) -> Response:
    await authenticate_client(request)
    versions = [build_version(_find_model_in_path(request))]
    return _respond({"previous": None, "next": None, "results": versions})


async def _read_version(request: Request) -> Response:
    await authenticate_client(request)
    version = build_version(_find_model_in_path(request))
    if version["id"] != request.path_params["version"]:
        raise NotFoundError(f"The model's only version here is {version['id']}.")
    return _respond(version)


async def _read_account(request: Request) -> Response:
    context = await authenticate_client(request)
    user_id = context.caller.user_id
    return _respond({"type": "user", "username": user_id, "name": user_id, "github_url": None})


def _respond(
    body: dict[str, Any], status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None
) -> Response:
    return Response(to_json(body), status.value, headers, media_type="application/json")
