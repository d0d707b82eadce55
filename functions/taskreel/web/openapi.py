"""The OpenAPI document: FastAPI's own, and what it cannot derive.

FastAPI does not see the bodies and headers that handlers read within their limits, nor the route
that creates jobs; the document has an operation for each job type.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Literal

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from taskreel.jobtypes import JOB_TYPES
from taskreel.jobtypes.job_type import JobType

_PREFER = {
    "name": "Prefer",
    "in": "header",
    "description": "`wait=N`: wait up to N seconds, at most 60, for the job's end.",
    "schema": {"type": "string"},
    "example": "wait=30",
}
#: A route's `openapi_extra` if it needs no token.
NO_TOKEN: dict[str, Any] = {"security": []}
#: Documents `Prefer` for a route that reads a job.
WAIT: dict[str, Any] = {"parameters": [_PREFER]}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "A repeated request has the effect of the first one alone.",
    "schema": {"type": "string", "maxLength": 255},
}
#: Documents `Idempotency-Key` for a route that creates something else than a job.
ONCE: dict[str, Any] = {"parameters": [_IDEMPOTENCY_KEY]}
_SUBMIT_PARAMETERS = [
    _IDEMPOTENCY_KEY,
    _PREFER,
    {
        "name": "validateOnly",
        "in": "query",
        "description": "Check and quote the request without creating a job.",
        "schema": {"type": "boolean"},
    },
]
_REFERENCE = "#/components/schemas/{model}"
#: FastAPI's own error model; ours is Problem.
_UNUSED_SCHEMAS = ("HTTPValidationError", "ValidationError")
#: Members of a schema that hold the caller's data, not words about it.
_DATA = frozenset({"const", "default", "enum", "example", "examples"})


def simplify_schema(schema: Any) -> Any:
    """The schema with each paragraph of a description in one line, and without generated titles."""
    if isinstance(schema, list):
        return [simplify_schema(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    simple: dict[str, Any] = {}
    for name, value in schema.items():
        if name == "title" and isinstance(value, str):
            continue
        if name in _DATA:
            simple[name] = value
        elif name == "description" and isinstance(value, str):
            simple[name] = _unwrap_paragraphs(value)
        else:
            simple[name] = simplify_schema(value)
    return simple


def _unwrap_paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def reference_schema(model: type[Any] | str) -> dict[str, str]:
    """The reference to a model's schema; a name spares the import of the model."""
    name = model if isinstance(model, str) else model.__name__
    return {"$ref": _REFERENCE.format(model=name)}


#: The problems that every route may answer with.
PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "description": "The reason why it cannot be done",
        "content": {"application/problem+json": {"schema": reference_schema("Problem")}},
    }
}


def document_body(model: type[Any] | str, example: Any = None) -> dict[str, Any]:
    """A route's `openapi_extra`: its body."""
    content: dict[str, Any] = {"schema": reference_schema(model)}
    if example is not None:
        content["example"] = example
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def document_submission(model: type[Any] | str, example: Any = None) -> dict[str, Any]:
    """The same for a route that creates a job, with its headers and its query parameter."""
    return {**document_body(model, example), "parameters": [*_SUBMIT_PARAMETERS]}


def document_created(model: type[Any] | str) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that creates a job and shows it as the model."""
    created = reference_schema(model)
    ended = {"anyOf": [created, reference_schema("QuoteView")]}
    return {
        "200": _document_response("Ended within `Prefer: wait`; or a quote", ended),
        "202": _document_response("Created", created),
    }


def _document_submit(job_type: JobType[Any]) -> dict[str, Any]:
    """The operation that creates a job of the type."""
    return {
        "tags": ["jobs"],
        "summary": job_type.summary,
        "description": f"{job_type.submission.__doc__} Price: {job_type.price}.",
        "operationId": f"submit_{job_type.name.replace('-', '_')}",
        **document_submission(job_type.submission, dict(job_type.example)),
        "responses": {**document_created("JobView"), **PROBLEMS},
    }


def _document_response(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


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
        _, found = models_json_schema(named, ref_template=_REFERENCE)
        schemas.update(found["$defs"])
        paths = document["paths"]
        _document_path_parameters(paths)
        submits = {
            f"/api/jobs/{name}": {"post": _document_submit(job_type)}
            for name, job_type in JOB_TYPES.items()
        }
        scheme = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
        document["components"]["securitySchemes"] = {"token": scheme}
        document["security"] = [{"token": []}]
        document["paths"] = simplify_schema({**submits, **paths})
        document["components"] = simplify_schema(document["components"])
        return document

    app.openapi = build_document  # type: ignore[method-assign]  # FastAPI's documented way
