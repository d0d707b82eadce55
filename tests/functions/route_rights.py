"""The rights of every route, and the bodies with which the tests ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from taskreel.jobtypes import JOB_TYPES


class Right(Enum):
    """The callers that may use a route."""

    #: All, without a token.
    OPEN = "open"
    #: Those with a token; a user gets and changes their own things alone.
    USER = "user"
    #: The owner of what the path names, and admins; to others it does not exist.
    OWNER = "owner"
    #: The owner alone: an admin is told that it does not exist.
    ONLY_OWNER = "only owner"
    #: The user whom the path names, and admins.
    SELF = "self"
    ADMIN = "admin"


IMAGE = "/api/jobs/image-generation"
_ENDPOINT = "/api/webhook-endpoints/{endpoint_id}"
_OF_JOB = ("/api/jobs/{job_id}", "/api/jobs/{job_type}/{job_id}")
REASON = {"reason": "a test"}
TEMPLATE: dict[str, Any] = {
    "name": "poster",
    "jobType": "image-generation",
    "data": {"prompt": "a kite", "options": {"width": 64, "height": 64}},
}
#: `METHOD path` → who may, by the kind of right.
RIGHTS: Mapping[str, Right] = {
    **{f"POST /api/jobs/{name}": Right.USER for name in JOB_TYPES},
    **{
        f"GET {path}{part}": Right.OWNER
        for path in _OF_JOB
        for part in ("", "/history", "/events", "/progress", "/result")
    },
    "POST /api/jobs/{job_type}/{job_id}/cancel": Right.OWNER,
    "POST /api/jobs/{job_type}/{job_id}/retry": Right.OWNER,
    "POST /api/jobs/{job_type}/{job_id}/replay": Right.OWNER,
    "POST /api/jobs/{job_type}/{job_id}/reschedule": Right.OWNER,
    "GET /api/jobs/{job_type}/{job_id}/webhooks": Right.OWNER,
    "DELETE /api/jobs/{job_type}/{job_id}": Right.OWNER,
    "GET /api/queue/{job_id}/position": Right.OWNER,
    "GET /v1/jobs/{job_id}/status": Right.OWNER,
    "GET /api/movies/{movie_id}/status": Right.OWNER,
    "POST /api/jobs/ai-generation": Right.USER,
    "POST /api/movies": Right.USER,
    "POST /v1/generate/script": Right.USER,
    "POST /api/jobs/delayed": Right.USER,
    "POST /api/jobs:batch": Right.USER,
    "GET /api/jobs": Right.USER,
    "GET /api/jobs/events": Right.USER,
    "POST /api/stream-tokens": Right.USER,
    "GET /api/jobs/types": Right.OPEN,
    "GET /api/jobs/health": Right.OPEN,
    "POST /api/jobs/recurring": Right.USER,
    "GET /api/jobs/recurring": Right.USER,
    "GET /api/jobs/recurring/{recurring_job_id}": Right.OWNER,
    "DELETE /api/jobs/recurring/{recurring_job_id}": Right.OWNER,
    "POST /api/jobs/recurring/{recurring_job_id}/pause": Right.OWNER,
    "POST /api/jobs/recurring/{recurring_job_id}/resume": Right.OWNER,
    "POST /api/jobs/recurring/{recurring_job_id}/take-over": Right.OWNER,
    "POST /api/jobs/queues/{job_type}/pause": Right.ADMIN,
    "POST /api/jobs/queues/{job_type}/resume": Right.ADMIN,
    "DELETE /api/jobs/queues/{job_type}/clear": Right.ADMIN,
    "GET /api/jobs/queues/locations": Right.ADMIN,
    "POST /api/jobs/queues/locations/{location}/drain": Right.ADMIN,
    "POST /api/jobs/queues/locations/{location}/resume": Right.ADMIN,
    "DELETE /api/cache": Right.ADMIN,
    "GET /api/jobs/queues/stats": Right.USER,
    "GET /api/jobs/dead-letters": Right.USER,
    "POST /api/jobs/dead-letters/redrive": Right.USER,
    "GET /api/jobs/stats": Right.USER,
    "GET /api/jobs/performance": Right.USER,
    "GET /api/jobs/user/{user_id}/history": Right.SELF,
    "GET /api/credits": Right.USER,
    "GET /api/credits/ledger": Right.USER,
    "GET /api/credits/caps": Right.USER,
    "GET /api/credits/{user_id}": Right.ADMIN,
    "GET /api/credits/{user_id}/caps": Right.ADMIN,
    "PUT /api/credits/{user_id}/caps": Right.ADMIN,
    "POST /api/credits/{user_id}/grants": Right.ADMIN,
    "GET /api/accounts": Right.ADMIN,
    "GET /api/accounts/sums": Right.ADMIN,
    "POST /api/accounts/{user_id}/erasure": Right.ADMIN,
    "PUT /api/accounts/{user_id}/shards": Right.ADMIN,
    "GET /api/erasures/{erasure_id}": Right.ADMIN,
    "GET /api/audit": Right.ADMIN,
    "GET /api/alerts": Right.ADMIN,
    "POST /api/alerts/test": Right.ADMIN,
    "GET /api/deployment": Right.ADMIN,
    "GET /api/providers": Right.USER,
    "GET /api/providers/performance": Right.ADMIN,
    "POST /api/providers/{provider}/{model}/breaker": Right.ADMIN,
    "POST /api/webhooks/{provider}": Right.OPEN,  # the provider signs the body
    "GET /metrics": Right.ADMIN,
    "GET /api/limits": Right.USER,
    "GET /api/limits/{user_id}": Right.ADMIN,
    "PUT /api/limits/{user_id}": Right.ADMIN,
    "POST /api/operations": Right.USER,
    "GET /api/operations": Right.USER,
    "GET /api/operations/{operation_id}": Right.OWNER,
    "POST /api/operations/{operation_id}/abort": Right.OWNER,
    "POST /api/webhook-endpoints": Right.USER,
    "GET /api/webhook-endpoints": Right.USER,
    f"GET {_ENDPOINT}": Right.OWNER,
    f"PATCH {_ENDPOINT}": Right.OWNER,
    f"DELETE {_ENDPOINT}": Right.OWNER,
    f"GET {_ENDPOINT}/keys": Right.OWNER,
    f"POST {_ENDPOINT}/keys": Right.OWNER,
    f"POST {_ENDPOINT}/test": Right.OWNER,
    f"GET {_ENDPOINT}/deliveries": Right.OWNER,
    f"POST {_ENDPOINT}/redeliver": Right.OWNER,
    "GET /api/webhook-deliveries/{delivery_id}": Right.OWNER,
    "POST /api/webhook-deliveries/{delivery_id}/redeliver": Right.OWNER,
    "GET /api/templates": Right.USER,
    "POST /api/templates": Right.USER,
    # A template of the caller's own, or a shared one: nobody reads another's.
    "GET /api/templates/{name}": Right.ONLY_OWNER,
    "PUT /api/templates/{name}": Right.ONLY_OWNER,
    "DELETE /api/templates/{name}": Right.ONLY_OWNER,
    "POST /api/templates/{name}/jobs": Right.ONLY_OWNER,
    "POST /api/projects": Right.USER,
    "GET /api/projects": Right.USER,
    # Members' roles: test_projects.py.
    "GET /api/projects/{project_id}": Right.OWNER,
    "PUT /api/projects/{project_id}/members/{user_id}": Right.OWNER,
    "DELETE /api/projects/{project_id}/members/{user_id}": Right.OWNER,
    "PUT /api/projects/{project_id}/owner": Right.OWNER,
    "PUT /api/projects/{project_id}/caps": Right.OWNER,
    "PUT /api/projects/{project_id}/limits": Right.OWNER,
    "GET /api/projects/{project_id}/credits": Right.OWNER,
    "GET /api/projects/{project_id}/ledger": Right.OWNER,
    "POST /api/projects/{project_id}/grants": Right.ADMIN,
    "PUT /api/projects/{project_id}/payer": Right.ADMIN,
    # Roles, and what a key itself may do: test_project_keys.py.
    "GET /api/projects/{project_id}/keys": Right.OWNER,
    "POST /api/projects/{project_id}/keys": Right.OWNER,
    "POST /api/projects/{project_id}/keys/{key_id}/rotate": Right.OWNER,
    "DELETE /api/projects/{project_id}/keys/{key_id}": Right.OWNER,
    "POST /api/uploads": Right.USER,
    "GET /api/uploads": Right.USER,
    "GET /api/uploads/{upload_id}": Right.OWNER,
    "DELETE /api/uploads/{upload_id}": Right.OWNER,
}
#: The bodies of routes that check one before they look for what the path names.
BODIES: Mapping[str, Any] = {
    "POST /api/jobs/{job_type}/{job_id}/replay": {},
    "POST /api/jobs/{job_type}/{job_id}/reschedule": {"delay": 60_000},
    "POST /api/jobs/queues/{job_type}/pause": REASON,
    "POST /api/jobs/queues/{job_type}/resume": REASON,
    "POST /api/jobs/queues/locations/{location}/drain": REASON,
    "POST /api/jobs/queues/locations/{location}/resume": REASON,
    "POST /api/jobs/dead-letters/redrive": {"code": "x", "limit": 1},
    "PUT /api/credits/{user_id}/caps": {"daily": 10, **REASON},
    "POST /api/credits/{user_id}/grants": {"amount": 1, **REASON},
    "POST /api/providers/{provider}/{model}/breaker": {"state": None, **REASON},
    "PUT /api/limits/{user_id}": {"activeJobs": 1, **REASON},
    "POST /api/accounts/{user_id}/erasure": REASON,
    "PUT /api/accounts/{user_id}/shards": {"shards": 1, **REASON},
    f"PATCH {_ENDPOINT}": {"description": "mine"},
    f"POST {_ENDPOINT}/keys": {},
    f"POST {_ENDPOINT}/redeliver": {"since": "2020-01-01T00:00:00Z"},
    "PUT /api/projects/{project_id}/members/{user_id}": {"role": "admin"},
    "PUT /api/projects/{project_id}/owner": {"ownerId": "ada"},
    "PUT /api/projects/{project_id}/caps": {"daily": 10, **REASON},
    "POST /api/projects/{project_id}/grants": {"amount": 1, **REASON},
    "PUT /api/projects/{project_id}/payer": {"payer": "members", **REASON},
    "PUT /api/projects/{project_id}/limits": {"activeJobs": 10, **REASON},
    "POST /api/projects/{project_id}/keys": {"name": "mine"},
    "PUT /api/templates/{name}": {**TEMPLATE, "name": None},
    "POST /api/templates/{name}/jobs": {"parameters": {}},
}
#: The routes of other services' clients. Their errors have the forms of those services.
OTHER_RIGHTS: Mapping[str, Right] = {
    **{
        f"{method} /fal/{{owner}}/{{alias}}/requests/{{job_id}}{part}": Right.OWNER
        for method, part in (("GET", "/status/stream"), ("GET", "/status"), ("GET", ""))
    },
    "PUT /fal/{owner}/{alias}/requests/{job_id}/cancel": Right.OWNER,
    "POST /fal/run/{model:path}": Right.USER,
    "POST /fal/{model:path}": Right.USER,
    **{
        f"POST /fal/{path}": Right.USER
        for path in (
            "rest/storage/auth/token",
            "rest/storage/upload/initiate",
            "rest/storage/upload/initiate-multipart",
            "cdn/files/upload",
            "cdn/files/upload/multipart",
        )
    },
    "GET /fal/rest/.well-known/jwks.json": Right.OPEN,
    "POST /v1/images/generations": Right.USER,
    "POST /v1/images/edits": Right.USER,
    "POST /v1/audio/speech": Right.USER,
    "GET /v1/models": Right.USER,
    "GET /v1/models/{model:path}": Right.USER,
    **{
        f"GET /replicate/v1{path}": Right.USER
        for path in (
            "/predictions",
            "/models",
            "/models/{owner}/{name}",
            "/models/{owner}/{name}/versions",
            "/models/{owner}/{name}/versions/{version}",
            "/account",
            "/webhooks/default/secret",
        )
    },
    "POST /replicate/v1/predictions": Right.USER,
    "POST /replicate/v1/models/{owner}/{name}/predictions": Right.USER,
    "POST /replicate/v1/deployments/{owner}/{name}/predictions": Right.USER,
    "POST /replicate/v1/files": Right.USER,
    "GET /replicate/v1/predictions/{job_id}": Right.OWNER,
    "POST /replicate/v1/predictions/{job_id}/cancel": Right.OWNER,
    "GET /replicate/v1/files/{file_id}": Right.OWNER,
    "DELETE /replicate/v1/files/{file_id}": Right.OWNER,
}
#: Links that are opened without a token; the address has a signature instead.
SIGNED_LINKS = (
    "PUT /fal/cdn/",
    "GET /replicate/v1/outputs/",
    "GET /replicate/v1/streams/",
)
