"""The OpenAPI document: FastAPI's own, and what it cannot derive.

FastAPI does not see the bodies, which handlers read within their limits, and knows one route for
all job types; the document has one operation for each.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from taskreel.jobtypes import JOB_TYPES
from taskreel.jobtypes.job_type import JobType

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


def document_body(model: type[Any] | str, example: Any = None) -> dict[str, Any]:
    """A route's `openapi_extra`: its body."""
    content: dict[str, Any] = {"schema": reference_schema(model)}
    if example is not None:
        content["example"] = example
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def _document_submit(job_type: JobType[Any], route: dict[str, Any]) -> dict[str, Any]:
    """The operation that creates a job of the type, from that of the route for all types."""
    operation = deepcopy(route)
    parameters = [one for one in operation["parameters"] if one["in"] != "path"]
    own = {
        "summary": job_type.summary,
        "description": f"{job_type.submission.__doc__} Price: {job_type.price}.",
        "operationId": f"submit_{job_type.name.replace('-', '_')}",
        "parameters": parameters,
    }
    body = document_body(job_type.submission, dict(job_type.example))
    return {**operation, **own, **body}


def complete_document(app: FastAPI, submit_path: str, *models: type[Any]) -> None:
    """Complete the app's document when it is first asked for.

    Args:
        app: The application.
        submit_path: The route that creates jobs of all types.
        models: The models that routes refer to by name, besides those of the job types.
    """
    build: Callable[[], dict[str, Any]] = app.openapi

    def build_document() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        document = build()
        schemas = document["components"]["schemas"]
        for name in _UNUSED_SCHEMAS:
            schemas.pop(name, None)
        bodies = [*(job_type.submission for job_type in JOB_TYPES.values()), *models]
        _, found = models_json_schema(
            [(model, "validation") for model in bodies], ref_template=_REFERENCE
        )
        schemas.update(found["$defs"])
        paths = document["paths"]
        route = paths.pop(submit_path)["post"]
        submits = {
            submit_path.format(job_type=name): {"post": _document_submit(job_type, route)}
            for name, job_type in JOB_TYPES.items()
        }
        document["paths"] = simplify_schema({**submits, **paths})
        document["components"] = simplify_schema(document["components"])
        return document

    app.openapi = build_document  # type: ignore[method-assign]  # FastAPI's documented way
