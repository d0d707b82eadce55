"""The OpenAPI document: FastAPI's own, completed by what FastAPI cannot derive.

It does not see the route that creates jobs, of which the document has an operation for each job
type, nor the examples and the problems that follow from a route.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Literal

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from taskreel.jobtypes import JOB_TYPES
from taskreel.jobtypes.job_type import JobType
from taskreel.web.openapi import (
    DATA_MEMBERS,
    REFERENCE,
    document_created,
    document_submission,
    simplify_schema,
)
from taskreel.web.openapi_examples import add_examples, build_new_job, dump_example
from taskreel.web.openapi_problems import add_implied_problems

_SCHEME_TEXT = (
    "A JWT of a person, or an API key of a project (`tk_…`, POST /api/projects/{project_id}/keys), "
    "which acts in that project alone."
)
#: FastAPI's own error model; ours is Problem.
_UNUSED_SCHEMAS = ("HTTPValidationError", "ValidationError")


def describe_defaults(schema: Any) -> Any:
    """The schema with each default in words: code generators take such a field for a required one.

    `openapi-typescript` for instance would ask for every option of a request.
    """
    if isinstance(schema, list):
        return [describe_defaults(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    described = {
        name: value if name in DATA_MEMBERS else describe_defaults(value)
        for name, value in schema.items()
    }
    properties = described.get("properties")
    if isinstance(properties, dict):
        described["properties"] = {name: _describe_default(one) for name, one in properties.items()}
    return described


def _describe_default(field: dict[str, Any]) -> dict[str, Any]:
    if "default" not in field:
        return field
    rest = {name: value for name, value in field.items() if name != "default"}
    default = field["default"]
    if default is None or default in ({}, []):
        return rest
    own = field.get("description", "")
    before = f"{own.removesuffix('.')}. " if own else ""
    return {**rest, "description": f"{before}Default: `{json.dumps(default)}`."}


def _document_submit(job_type: JobType[Any]) -> dict[str, Any]:
    """The operation that creates a job of the type."""
    return {
        "tags": ["jobs"],
        "summary": job_type.summary,
        "description": f"{job_type.submission.__doc__} Price: {job_type.price}.",
        "operationId": f"submit_{job_type.name.replace('-', '_')}",
        **document_submission(job_type.submission, dict(job_type.example)),
        "responses": _document_new_job(job_type),
    }


def _document_new_job(job_type: JobType[Any]) -> dict[int | str, dict[str, Any]]:
    responses = document_created("JobView")
    new_job = dump_example(build_new_job(job_type))
    responses["202"]["content"]["application/json"]["example"] = new_job
    return responses


def _document_path_parameters(paths: dict[str, Any]) -> None:
    """Add the path parameters that a dependency reads without declaring them."""
    for path, operations in paths.items():
        for operation in operations.values():
            parameters = list(operation.get("parameters", []))
            known = {one["name"] for one in parameters}
            for name in reversed(re.findall(r"\{(\w+)\}", path)):
                if name not in known:
                    schema = {"type": "string"}
                    one = {"name": name, "in": "path", "required": True, "schema": schema}
                    parameters.insert(0, one)
            if parameters:
                operation["parameters"] = parameters


def complete_document(
    app: FastAPI, *, requests: Iterable[type[Any]], responses: Iterable[type[Any]]
) -> None:
    """Complete the app's document when it is first asked for.

    Args:
        app: The application.
        requests: The bodies that routes refer to by name, besides those of the job types.
        responses: The responses that routes refer to by name.
    """
    build: Callable[[], dict[str, Any]] = app.openapi

    def build_document() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        document = build()
        schemas = document["components"]["schemas"]
        for name in _UNUSED_SCHEMAS:
            schemas.pop(name, None)
        bodies = [*(job_type.submission for job_type in JOB_TYPES.values()), *requests]
        named: list[tuple[type[Any], Literal["validation", "serialization"]]] = [
            *((model, "validation") for model in bodies),
            *((model, "serialization") for model in responses),
        ]
        _, found = models_json_schema(named, ref_template=REFERENCE)
        schemas.update(found["$defs"])
        paths = document["paths"]
        _document_path_parameters(paths)
        submits = {
            f"/api/jobs/{name}": {"post": _document_submit(job_type)}
            for name, job_type in JOB_TYPES.items()
        }
        for path, operations in (*submits.items(), *paths.items()):
            for operation in operations.values():
                add_implied_problems(path, operation)
                add_examples(operation)
        scheme = {"type": "http", "scheme": "bearer", "description": _SCHEME_TEXT}
        document["components"]["securitySchemes"] = {"token": scheme}
        document["security"] = [{"token": []}]
        document["paths"] = simplify_schema({**submits, **paths})
        document["components"] = describe_defaults(simplify_schema(document["components"]))
        return document

    app.openapi = build_document  # type: ignore[method-assign]  # FastAPI's documented way
