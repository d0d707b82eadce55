"""The problems that routes answer with, as the OpenAPI document shows them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from taskreel.web.problems import build_problem

_SCHEMA = {"$ref": "#/components/schemas/Problem"}
_MEDIA_TYPE = "application/problem+json"
_ONE_FIELD = {
    "errors": [{"path": "prompt", "message": "must have at least 1 character"}],
}


@dataclass(frozen=True, slots=True)
class ProblemExample:
    """A problem: its status, its `code`, and the other members of an example."""

    status: HTTPStatus
    code: str
    detail: str
    members: Mapping[str, Any] = field(default_factory=dict)


_EXAMPLES = {
    one.code: one
    for one in (
        ProblemExample(
            HTTPStatus.BAD_REQUEST, "malformed_json", "The body is not valid JSON: EOF at column 1."
        ),
        ProblemExample(
            HTTPStatus.UNAUTHORIZED,
            "unauthenticated",
            "No token. Send it as `Authorization: Bearer <token>`.",
        ),
        ProblemExample(
            HTTPStatus.PAYMENT_REQUIRED,
            "insufficient_credits",
            "The job costs 5 credits; 2 are available.",
            {"cost": 5, "available": 2},
        ),
        ProblemExample(
            HTTPStatus.PAYMENT_REQUIRED,
            "spend_cap_reached",
            "This job costs 5 credits, and 2 are left of your daily cap of 100 credits: 98 are "
            "spent or held on 2026-11-27 (UTC). Submit it again after 2026-11-28T00:00:00Z, or "
            "ask an administrator for a higher cap.",
            {
                "cap": "daily",
                "limit": 100,
                "spent": 98,
                "cost": 5,
                "resetsAt": "2026-11-28T00:00:00Z",
            },
        ),
        ProblemExample(
            HTTPStatus.FORBIDDEN,
            "forbidden",
            "Only an admin of the deployment may do this: the token needs the claim `role: admin`.",
        ),
        ProblemExample(
            HTTPStatus.NOT_FOUND, "not_found", "There is no job job_4f that you may see."
        ),
        ProblemExample(
            HTTPStatus.REQUEST_TIMEOUT, "request_timeout", "The body did not arrive within 30 s."
        ),
        ProblemExample(
            HTTPStatus.CONFLICT,
            "conflict",
            "Only a failed job can be retried; this one is COMPLETED. POST "
            "/api/jobs/image-generation/job_4f/replay makes a new job of its request.",
            {"jobStatus": "COMPLETED"},
        ),
        ProblemExample(
            HTTPStatus.CONFLICT,
            "no_result",
            "The job is FAILED and has no result.",
            {"jobStatus": "FAILED", "error": {"code": "refused", "message": "It is not allowed."}},
        ),
        ProblemExample(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "too_large",
            "The body is larger than 1 MiB. Pass large files by URL.",
        ),
        ProblemExample(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "invalid_request",
            "prompt: must have at least 1 character.",
            _ONE_FIELD,
        ),
        ProblemExample(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "idempotency_key_reused",
            "This Idempotency-Key was used before with another request.",
        ),
        ProblemExample(
            HTTPStatus.TOO_MANY_REQUESTS,
            "too_many_connections",
            "You have 32 live connections open, which is the limit.",
        ),
        ProblemExample(
            HTTPStatus.TOO_MANY_REQUESTS,
            "rate_limit_exceeded",
            "Too many requests: the policy 'writes' allows 600 a minute, and 200 at once. "
            "Send the next one in 1 s.",
            {"violated-policies": ["writes"]},
        ),
        ProblemExample(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "internal_error",
            "The service failed unexpectedly. Your request is not at fault; it may be sent again.",
        ),
        ProblemExample(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "store_unavailable",
            "A service that this one needs cannot be reached; nothing was lost. "
            "Try again in 5 seconds.",
        ),
    )
}

#: Any route may meet them.
_ALWAYS = ("internal_error", "store_unavailable")
_OF_BODIES = ("malformed_json", "request_timeout", "too_large", "invalid_request")
#: The codes that creating a job, or doing its work again, may be refused with.
OF_SUBMISSIONS = (
    "insufficient_credits",
    "spend_cap_reached",
    "forbidden",
    "idempotency_key_reused",
    #: The job that the same request made before is being removed.
    "conflict",
)


def document_problems(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route for problems that its path and body do not imply."""
    responses: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        one = _EXAMPLES[code]
        response = build_problem(one.status, one.code, one.detail, one.members)
        found = responses.setdefault(
            str(one.status.value),
            {
                "description": one.status.phrase,
                "content": {_MEDIA_TYPE: {"schema": _SCHEMA, "examples": {}}},
            },
        )
        examples = found["content"][_MEDIA_TYPE]["examples"]
        examples[code] = {"value": json.loads(bytes(response.body))}
    return responses


def add_implied_problems(path: str, operation: dict[str, Any]) -> None:
    """Add the problems that follow from the operation: its token, its path, and what it reads."""
    codes = [*_ALWAYS]
    if operation.get("security") != []:
        codes += ["unauthenticated", "rate_limit_exceeded"]
    if "{" in path:
        codes.append("not_found")
    if "requestBody" in operation:
        codes += _OF_BODIES
    elif operation.get("parameters"):
        codes.append("invalid_request")
    responses = operation["responses"]
    # FastAPI's own answer to a wrong parameter, which `app` replaces by a problem.
    responses.get("422", {}).get("content", {}).pop("application/json", None)
    for status, implied in document_problems(*codes).items():
        declared = responses.setdefault(status, implied)
        contents = declared["content"]
        if _MEDIA_TYPE not in contents:
            contents |= implied["content"]
        elif declared is not implied:
            examples = contents[_MEDIA_TYPE].setdefault("examples", {})
            examples |= implied["content"][_MEDIA_TYPE]["examples"]
    operation["responses"] = dict(sorted(responses.items()))
