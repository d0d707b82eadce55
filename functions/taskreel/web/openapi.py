"""The parts of the OpenAPI document that routes declare.

FastAPI does not see the bodies and headers that handlers read within their limits.
"""

from __future__ import annotations

from typing import Any

from taskreel.web.openapi_problems import OF_SUBMISSIONS, document_problems

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
REFERENCE = "#/components/schemas/{model}"
#: Members of a schema that hold the caller's data, not words about it.
DATA_MEMBERS = frozenset({"const", "default", "enum", "example", "examples"})


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
        if name in DATA_MEMBERS:
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
    return {"$ref": REFERENCE.format(model=name)}


def document_body(
    model: type[Any] | str, example: Any = None, *, required: bool = True
) -> dict[str, Any]:
    """A route's `openapi_extra`: its body, which may be empty unless it is required."""
    content: dict[str, Any] = {"schema": reference_schema(model)}
    if example is not None:
        content["example"] = example
    return {"requestBody": {"required": required, "content": {"application/json": content}}}


def document_submission(
    model: type[Any] | str, example: Any = None, *, required: bool = True
) -> dict[str, Any]:
    """The same for a route that creates a job, with its headers and its query parameter."""
    return {**document_body(model, example, required=required), "parameters": [*_SUBMIT_PARAMETERS]}


def document_created(model: type[Any] | str) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that creates a job and shows it as the model."""
    created = reference_schema(model)
    ended = {"anyOf": [created, reference_schema("QuoteView")]}
    return {
        "200": _document_response("Ended within `Prefer: wait`; or a quote", ended),
        "202": _document_response("Created", created),
        **document_problems(*OF_SUBMISSIONS),
    }


def _document_response(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
