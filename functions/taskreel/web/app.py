"""The FastAPI application: all routes of the public API, documented.

`PublicApi` stands before it, and imports it on first need.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.requests import Request
from fastapi.responses import Response
from fastapi_offline import FastAPIOffline

from taskreel.app.jobs.replay import Replay
from taskreel.domain.validation_messages import describe_errors, invalid_request
from taskreel.jobtypes import JOB_TYPES
from taskreel.web import (
    accounts,
    alerts,
    audit_log,
    batch,
    console_links,
    dead_letters,
    endpoint_orders,
    erasures,
    flow,
    history,
    job_reads,
    jobs,
    legacy,
    metrics,
    model_performance,
    openapi_document,
    operations,
    problems,
    project_credits,
    project_keys,
    providers,
    queue_locations,
    queues,
    result_cache,
    schedules,
    statistics,
)
from taskreel.web import credits as credits_routes
from taskreel.web import projects as project_routes
from taskreel.web import spend_caps as spend_cap_routes
from taskreel.web import templates as template_routes
from taskreel.web import uploads as upload_routes
from taskreel.web import webhooks as webhook_routes
from taskreel.web.allowed_methods import AllowedMethods
from taskreel.web.job_submission import QuoteView
from taskreel.web.live import routes as live_routes
from taskreel.web.responses import Problem

_ROUTERS = (
    legacy.generation_router,
    # Before the routes whose path begins with the name of a job type.
    schedules.router,
    queue_locations.router,
    queues.router,
    dead_letters.router,
    statistics.router,
    history.router,
    batch.router,
    jobs.router,
    live_routes.router,
    job_reads.router,
    spend_cap_routes.router,  # before `/api/credits/{user_id}`
    credits_routes.router,
    accounts.router,
    erasures.router,
    audit_log.router,
    alerts.router,
    console_links.router,
    model_performance.router,
    metrics.router,
    providers.router,
    flow.router,
    operations.router,
    webhook_routes.router,
    template_routes.router,
    project_routes.router,
    project_credits.router,
    project_keys.router,
    upload_routes.router,
    result_cache.router,
    legacy.router,
)
_DESCRIPTION = "Create media generation jobs, follow them, and read their results."


def build_fastapi() -> FastAPI:
    """The application; each request's scope has its ApiContext."""
    app = FastAPIOffline(
        docs_url="/api/docs",
        redoc_url=None,
        title="Taskreel",
        description=_DESCRIPTION,
        openapi_url="/api/openapi.json",
        swagger_ui_oauth2_redirect_url="/api/docs/oauth2-redirect",
        static_url="/api/docs/static",
        # Cloud Run traces, measures and logs requests already.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    for router in _ROUTERS:
        app.include_router(router)
    routes = [route for router in _ROUTERS for route in router.routes]
    submits = [("POST", f"/api/jobs/{name}") for name in JOB_TYPES]
    app.add_middleware(AllowedMethods, routes=routes, more=submits)
    app.add_exception_handler(RequestValidationError, _answer_invalid_parameter)
    problems.install_handlers(app)
    openapi_document.complete_document(
        app,
        requests=(
            credits_routes.Grant,
            spend_cap_routes.SpendCapsOrder,
            accounts.AccountShardsOrder,
            providers.BreakerOrder,
            legacy.AiGeneration,
            legacy.ScriptOrder,
            Replay,
            queues.QueueOrder,
            flow.UserLimitOrder,
            operations.OperationOrder,
            dead_letters.Redrive,
            erasures.ErasureOrder,
            project_routes.NewProject,
            project_routes.MemberOrder,
            project_credits.PayerOrder,
            project_keys.NewKeyOrder,
            project_keys.RotationOrder,
            project_routes.OwnerOrder,
            project_routes.ProjectLimitsOrder,
            batch.JobBatch,
            schedules.DelayedJob,
            schedules.StartTime,
            schedules.RecurringJobOrder,
            upload_routes.UploadOrder,
            template_routes.NamedTemplateOrder,
            template_routes.TemplateOrder,
            template_routes.TemplateUse,
            endpoint_orders.EndpointOrder,
            endpoint_orders.EndpointPatch,
            webhook_routes.KeyRotation,
            webhook_routes.DeliveryRange,
        ),
        responses=(
            legacy.MovieJobView.model(),
            legacy.LegacyJobView.model(),
            legacy.ScriptJobView.model(),
            QuoteView,
            Problem,
        ),
    )
    return app


async def _answer_invalid_parameter(request: Request, error: Exception) -> Response:
    """A parameter that FastAPI refused, in the same form as a field of a body."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for these alone
    # A location begins with the part of the request: ("query", "limit").
    # ("query", "status", 0) is one of several values of one parameter.
    rows: list[Any] = [{**row, "loc": row["loc"][1:2]} for row in error.errors()]
    found = describe_errors(rows, _find_query_model(request), noun="query parameter")
    return await problems.answer_error(request, invalid_request(found))


def _find_query_model(request: Request) -> Any:
    """The model of the route's query parameters; None if they are declared one by one."""
    fields = request.scope["route"].dependant.query_params
    return next((field.field_info.annotation for field in fields), None)
