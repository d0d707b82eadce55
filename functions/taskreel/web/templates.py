"""The API of templates: named requests with parameters, and jobs that are made of them."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.requests import Request
from fastapi.responses import Response
from pydantic import Field
from pydantic_core import to_json

from taskreel.app.templates.job_templates import (
    NewVersion,
    delete_template,
    draft_version,
    find_template,
    list_templates,
    save_template,
)
from taskreel.domain.errors import InvalidError
from taskreel.domain.job_template import MOST_CHARACTERS, JobTemplate, TemplateVersion
from taskreel.domain.value import Value, format_path
from taskreel.web.auth import AuthenticatedRequest
from taskreel.web.http import JsonResponse, check_query, parse_boolean
from taskreel.web.job_submission import (
    SubmissionBody,
    build_request,
    find_requested_type,
    parse_submission,
    respond_with_job,
)
from taskreel.web.openapi import ONCE, document_body
from taskreel.web.openapi_problems import OF_SUBMISSIONS, document_problems
from taskreel.web.responses import JobView, View
from taskreel.web.route_parameters import Authenticated, Submitting, json_body

router = APIRouter(prefix="/api/templates", tags=["templates"])

_NAME = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
_EXAMPLE = {
    "jobType": "image-generation",
    "data": {"prompt": "A poster of {{parameters.subject}}, {{parameters.style}}"},
    "defaults": {"style": "as a woodcut"},
}


class TemplateOrder(Value):
    """A request with references `{{parameters.name}}`, and the defaults of its parameters.

    `shared` is for admins: every user may use it. A user's own template of a name comes first.
    """

    job_type: str = Field(max_length=100)
    data: dict[str, Any]
    defaults: dict[str, Any] = Field(default_factory=dict)
    shared: bool = False


class NamedTemplateOrder(TemplateOrder):
    """A new template."""

    name: Annotated[str, _NAME]


class TemplateUse(Value):
    """The values of the parameters; `version` is the newest unless it names another."""

    parameters: dict[str, Any] = Field(default_factory=dict)
    version: int | None = Field(default=None, ge=1, strict=True)


class TemplateVersionView(View):
    """A version of a template; `parameters` that are not among `defaults` must be given."""

    version: int
    job_type: str
    data: dict[str, Any]
    defaults: dict[str, Any]
    parameters: list[str]
    saved_at: datetime
    saved_by: str


class TemplateView(View):
    """A template with its newest version; earlier ones by number, up to five in all."""

    name: str
    shared: bool
    version: TemplateVersionView
    earlier_versions: list[int]
    created_at: datetime
    updated_at: datetime


class TemplateList(View):
    """Your templates and the shared ones, by name."""

    templates: list[TemplateView]


def build_template_view(template: JobTemplate, version: TemplateVersion) -> TemplateView:
    """The template as it is sent, with one of its versions."""
    return TemplateView(
        name=template.name,
        shared=template.shared,
        version=TemplateVersionView(
            version=version.version,
            job_type=version.job_type,
            data=version.data,
            defaults=version.defaults,
            parameters=version.parameters,
            saved_at=version.saved_at,
            saved_by=version.saved_by,
        ),
        earlier_versions=[one.version for one in template.versions[:-1]],
        created_at=template.created_at,
        updated_at=template.updated_at,
    )


@router.get("", summary="Your templates, and the shared ones", response_model=TemplateList)
async def get_templates(request: Request, context: Authenticated) -> Response:
    """Up to 200 of each, by name, each with its newest version."""
    check_query(request)
    found = await list_templates(context.services, context.caller)
    views = [build_template_view(one, one.newest) for one in found]
    return JsonResponse(TemplateList(templates=views))


@router.post(
    "",
    status_code=201,
    summary="Save a template",
    response_model=TemplateView,
    responses=document_problems("conflict", "forbidden", "not_found"),
    openapi_extra=document_body(NamedTemplateOrder, {"name": "poster", **_EXAMPLE}),
)
async def create_template(
    request: Request,
    context: Authenticated,
    order: Annotated[NamedTemplateOrder, json_body(NamedTemplateOrder)],
) -> Response:
    """The request is checked against its job type, as far as it is known without parameters."""
    check_query(request)
    template = await _save(context, order.name, order, must_be_new=True)
    return JsonResponse(build_template_view(template, template.newest), HTTPStatus.CREATED)


@router.get("/{name}", summary="One template", response_model=TemplateView)
async def get_template(
    request: Request, name: str, context: Authenticated, version: int | None = None
) -> Response:
    """Your own of that name, else the shared one."""
    check_query(request, "version")
    template = await find_template(context.services, context.caller, name)
    return JsonResponse(build_template_view(template, template.find_version(version)))


@router.put(
    "/{name}",
    summary="Save the next version of a template",
    response_model=TemplateView,
    responses=document_problems("forbidden"),
    openapi_extra=document_body(TemplateOrder, _EXAMPLE),
)
async def put_template(
    request: Request,
    name: str,
    context: Authenticated,
    order: Annotated[TemplateOrder, json_body(TemplateOrder)],
) -> Response:
    """Five versions are retained; jobs and uses of earlier ones are not affected."""
    check_query(request)
    template = await _save(context, name, order, must_be_new=False)
    return JsonResponse(build_template_view(template, template.newest))


@router.delete(
    "/{name}",
    summary="Delete a template",
    response_model=TemplateView,
    responses=document_problems("forbidden"),
)
async def remove_template(
    request: Request, name: str, context: Authenticated, *, shared: bool = False
) -> Response:
    """With all its versions; jobs that were made of it stay. `shared=true` is for admins."""
    check_query(request, "shared")
    shared = parse_boolean(request, "shared")
    template = await delete_template(context.services, context.caller, name, shared=shared)
    return JsonResponse(build_template_view(template, template.newest))


@router.post(
    "/{name}/jobs",
    status_code=202,
    summary="Create a job of a template",
    response_model=JobView,
    responses=document_problems(*OF_SUBMISSIONS),
    openapi_extra={
        **document_body(TemplateUse, {"parameters": {"subject": "a lighthouse"}}),
        **ONCE,
    },
)
async def create_job_of_template(
    name: str, submitter: Submitting, use: Annotated[TemplateUse, json_body(TemplateUse)]
) -> Response:
    """The same as a submission of the filled-in request, with its headers and checks.

    A missing or unknown parameter is refused by its name.
    """
    context = submitter.context
    template = await find_template(context.services, context.caller, name)
    version = template.find_version(use.version)
    job_type = find_requested_type(version.job_type)
    body = parse_submission(to_json(version.fill(use.parameters)), job_type)
    return await respond_with_job(
        submitter, context.caller, build_request(submitter, job_type, body)
    )


async def _save(
    context: AuthenticatedRequest, name: str, order: TemplateOrder, *, must_be_new: bool
) -> JobTemplate:
    if len(to_json(order.model_dump())) > MOST_CHARACTERS:
        raise InvalidError.at("data", f"takes more than {MOST_CHARACTERS:,} characters as JSON")
    new = NewVersion(
        name=name,
        shared=order.shared,
        job_type=find_requested_type(order.job_type).name,
        data=order.data,
        defaults=order.defaults,
    )
    _check_request(draft_version(context.services, context.caller, new))
    return await save_template(context.services, context.caller, new, must_be_new=must_be_new)


def _check_request(version: TemplateVersion) -> SubmissionBody | None:
    """Check the request against its type, but for the values of parameters without a default.

    Raises InvalidError whose paths begin with `data`; None where a parameter is still open.
    """
    samples = {name: f"{{{{parameters.{name}}}}}" for name in version.parameters}
    filled = version.fill({**samples, **version.defaults})
    try:
        return parse_submission(to_json(filled), find_requested_type(version.job_type))
    except InvalidError as error:
        open_paths = [format_path(at) for at in version.open_places]
        wrong = [
            one
            for one in error.details.get("errors", [])
            if not any(one["path"].startswith(path) for path in open_paths)
        ]
        if not wrong:
            return None
        first = wrong[0]
        text = f"{first['path']}: {first['message']}"
        raise InvalidError(text, errors=wrong).under("data") from None
