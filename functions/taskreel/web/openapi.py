"""The OpenAPI document: what FastAPI finds in the routes, with the submissions' schemas and the security scheme."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from taskreel.jobtypes import JOB_TYPES

_REFERENCE = "#/components/schemas/{model}"


def body(model: type[Any], example: Any = None) -> dict[str, Any]:
    """A route's `openapi_extra` for a body that the handler reads itself."""
    content: dict[str, Any] = {"schema": {"$ref": _REFERENCE.format(model=model.__name__)}}
    if example is not None:
        content["example"] = example
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def complete(app: FastAPI, *models: type[Any]) -> None:
    """Make the app's document whole: `models` are the bodies that handlers read themselves."""
    found: Callable[[], dict[str, Any]] = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = found()
            wanted = [*(job_type.submission for job_type in JOB_TYPES.values()), *models]
            _, schemas = models_json_schema([(model, "validation") for model in wanted], ref_template=_REFERENCE)
            components = document.setdefault("components", {})
            components.setdefault("schemas", {}).update(schemas["$defs"])
            components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
            document["security"] = [{"token": []}]
        return found()

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document
