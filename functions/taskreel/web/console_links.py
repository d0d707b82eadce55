"""The deployment's place in Cloud Console, for administrators: public answers do not name it."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import APIRouter
from fastapi.requests import Request
from fastapi.responses import Response

from taskreel.web.auth import ApiContext
from taskreel.web.http import JsonResponse, View, check_query
from taskreel.web.openapi_problems import document_problems
from taskreel.web.route_parameters import AuthenticatedAdmin

router = APIRouter(prefix="/api", tags=["deployment"])

_CONSOLE = "https://console.cloud.google.com"
_WARNINGS = 'resource.type="cloud_run_revision" severity>=WARNING'
#: Each page's name, and its path in Cloud Console.
_PAGES = {
    "Dashboards": "monitoring/dashboards",
    "Alerts": "monitoring/alerting",
    "Warnings in the logs": f"logs/query;query={quote(_WARNINGS, safe='')}",
    "Queues": "cloudtasks",
    "Services": "run",
}


class ConsoleLink(View):
    """A page of Cloud Console."""

    name: str
    url: str


class DeploymentView(View):
    """The Google Cloud project, and its pages in Cloud Console; null and none on a laptop."""

    project_id: str | None
    console_links: list[ConsoleLink]


@router.get(
    "/deployment",
    summary="The project, and its pages in Cloud Console (admin)",
    response_model=DeploymentView,
    responses=document_problems("forbidden"),
)
async def read_deployment(request: Request, _: AuthenticatedAdmin) -> Response:
    """Cloud Console asks for the person's own rights in the project."""
    check_query(request)
    return JsonResponse(build_deployment_view(ApiContext.of(request).console_project))


def build_deployment_view(project: str | None) -> DeploymentView:
    """The links of a project; None is no deployment."""
    pages = {} if project is None else _PAGES
    return DeploymentView(
        project_id=project,
        console_links=[
            ConsoleLink(name=name, url=f"{_CONSOLE}/{path}?project={project}")
            for name, path in pages.items()
        ],
    )
