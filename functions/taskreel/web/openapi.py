"""The OpenAPI document: what FastAPI finds in the routes, with the submissions' schemas and the security scheme."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from taskreel.jobtypes import JOB_TYPES
from taskreel.jobtypes.job_type import JobType

_REFERENCE = "#/components/schemas/{model}"

_SUBMIT_PARAMETERS = [
    {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "maxLength": 255}},
    {"name": "Prefer", "in": "header", "schema": {"type": "string"}, "example": "wait=30"},
    {"name": "validateOnly", "in": "query", "schema": {"type": "boolean"}},
]


#: What in a schema is the caller's data, not words about it.
_DATA = frozenset({"const", "default", "enum", "example", "examples"})


def plain(schema: Any) -> Any:
    """A schema as callers read it: each paragraph of a description in one line, and no titles made of our names."""
    if isinstance(schema, list):
        return [plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: value
        if name in _DATA
        else _in_lines(value)
        if name == "description"
        else plain(value)
        for name, value in schema.items()
        if not (name == "title" and isinstance(value, str))
    }


def _in_lines(description: Any) -> Any:
    """A text's paragraphs; a property of that name is a schema like any other."""
    if not isinstance(description, str):
        return plain(description)
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in description.split("\n\n"))


def body(model: type[Any] | str, example: Any = None) -> dict[str, Any]:
    """A route's `openapi_extra` for a body that the handler reads itself; a model, or the name of one."""
    name = model if isinstance(model, str) else model.__name__
    content: dict[str, Any] = {"schema": {"$ref": _REFERENCE.format(model=name)}}
    if example is not None:
        content["example"] = example
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def submission(model: type[Any] | str, example: Any = None) -> dict[str, Any]:
    """The same for a route that makes a job."""
    return {**body(model, example), "parameters": _SUBMIT_PARAMETERS}


def _submit(job_type: JobType[Any]) -> dict[str, Any]:
    """The operation that creates a job of the type."""
    return {
        "tags": ["jobs"],
        "summary": job_type.summary,
        "description": f"{job_type.submission.__doc__} Price: {job_type.price}.",
        "operationId": f"submit_{job_type.name.replace('-', '_')}",
        **submission(job_type.submission, dict(job_type.example)),
        "responses": {
            "202": _answer("JobView", "created"),
            "200": _answer("JobView", "ended within `Prefer: wait`"),
            "4XX": _answer("Problem", "why it cannot be done"),
        },
    }


def _answer(model: str, description: str) -> dict[str, Any]:
    schema = {"$ref": _REFERENCE.format(model=model)}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def complete(app: FastAPI, *models: type[Any]) -> None:
    """Make the app's document whole: `models` are the bodies that handlers read themselves."""
    found: Callable[[], dict[str, Any]] = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = found()
            wanted = [*(job_type.submission for job_type in JOB_TYPES.values()), *models]
            _, schemas = models_json_schema(
                [(model, "validation") for model in wanted], ref_template=_REFERENCE
            )
            components = document.setdefault("components", {})
            components.setdefault("schemas", {}).update(schemas["$defs"])
            components["securitySchemes"] = {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            }
            document["security"] = [{"token": []}]
            submits = {
                f"/api/jobs/{name}": {"post": _submit(job_type)}
                for name, job_type in JOB_TYPES.items()
            }
            document["paths"] = plain({**submits, **document["paths"]})
            document["components"] = plain(components)
        return found()

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document
