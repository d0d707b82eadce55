"""Requests of other services' clients: their token, their body, and the job that is made of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json
from starlette.requests import Request

from taskreel.app.jobs.submit import JobRequest, Submitted, submit_job
from taskreel.app.services import Services
from taskreel.domain.errors import InvalidError, MalformedError
from taskreel.domain.webhook_events import FINAL_EVENTS, MessageForm
from taskreel.jobtypes import JOB_TYPES
from taskreel.ports import Capability
from taskreel.web.auth import AuthenticatedRequest, authenticate_header
from taskreel.web.http import no_object_error, parse_idempotency_key, read_body
from taskreel.web.other_apis.model_inputs import name_given_inputs, translate_input
from taskreel.web.other_apis.model_names import NamedModel

#: The schemes of the clients: fal's is `Key`, that of old clients of Replicate `Token`.
_SCHEMES = frozenset({"bearer", "key", "token"})


async def authenticate_client(request: Request) -> AuthenticatedRequest:
    """The request's context, whatever scheme its client sends the token by.

    Raises UnauthenticatedError without a valid token.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    header = f"Bearer {token.strip()}" if scheme.lower() in _SCHEMES else None
    return await authenticate_header(request, header)


async def read_object(request: Request) -> dict[str, Any]:
    """The body as a JSON object. Raises MalformedError and InvalidError."""
    raw = await read_body(request)
    try:
        body = from_json(raw or b"{}")
    except ValueError as error:
        raise MalformedError(f"The body is not valid JSON: {error}.") from None
    if not isinstance(body, dict):
        raise no_object_error()
    return body


@dataclasses.dataclass(frozen=True, slots=True)
class ClientWebhook:
    """An address that gets messages in the form of the client's own service."""

    url: str
    form: MessageForm
    #: The parameter that names the address.
    parameter: str
    events: tuple[str, ...] = FINAL_EVENTS


@dataclasses.dataclass(frozen=True, slots=True)
class SubmittedModel:
    """The job that a model's input has made, and the inputs that have no effect."""

    submitted: Submitted
    ignored: tuple[str, ...]


async def submit_model(
    request: Request,
    context: AuthenticatedRequest,
    named: NamedModel,
    given: Mapping[str, Any],
    *,
    at: str = "input",
    webhook: ClientWebhook | None = None,
) -> SubmittedModel:
    """Create the job that serves a model, or find the one that the same idempotency key made."""
    if webhook is not None:
        given = {**given, **_check_webhook(context.services, named, given, webhook)}
    job_type, body = translate_input(named, given, at=at)
    wanted = JobRequest(
        job_type=job_type,
        submission=body.submission,
        ignored=body.ignored,
        idempotency_key=parse_idempotency_key(request.headers.get("idempotency-key")),
        webhook_form=webhook.form if webhook else None,
    )
    try:
        submitted = await submit_job(context.services, context.caller, wanted)
    except InvalidError as error:
        raise name_given_inputs(error, named, given, at=at) from None
    return SubmittedModel(submitted, body.ignored)


def _check_webhook(
    services: Services, named: NamedModel, given: Mapping[str, Any], webhook: ClientWebhook
) -> dict[str, Any]:
    """The fields of the job for the webhook. Raises InvalidError (the parameter's name)."""
    services.webhooks.check_url(webhook.url, webhook.parameter)
    if JOB_TYPES[named.job_type].capability is Capability.WEBHOOK:
        message = "is not for jobs of this type: they send a message to their own webhookUrl"
        raise InvalidError.at(webhook.parameter, message)
    if given.keys() & {"webhook_url", "webhookUrl", "webhook_events", "webhookEvents"}:
        message = "cannot be used beside the input webhookUrl; leave one of them out"
        raise InvalidError.at(webhook.parameter, message)
    return {"webhook_url": webhook.url, "webhook_events": list(webhook.events)}
