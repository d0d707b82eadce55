"""The APIs of other generation services, over the same jobs.

A program that was written for one of them works with this one by another base URL and a token of
this API in place of its key. Each is an application of its own: its routes, its errors and its
responses are those that the service's released client reads, and no part of this API's document.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from starlette.types import ASGIApp

#: The beginning of a path → the module that serves what begins so.
_PREFIXES: Mapping[str, str] = {
    "/fal/": "fal_api",
    "/replicate/": "replicate_api",
    "/v1/audio/": "openai_api",
    "/v1/chat/": "openai_api",
    "/v1/completions": "openai_api",
    "/v1/embeddings": "openai_api",
    "/v1/files": "openai_api",
    "/v1/images/": "openai_api",
    "/v1/models": "openai_api",
    "/v1/moderations": "openai_api",
    "/v1/responses": "openai_api",
    "/v1/videos": "openai_api",
}


def find_other_api(path: str) -> str | None:
    """The module of the API that has the path; None for this API's own paths."""
    if path.startswith("/api/"):
        return None
    return next((module for prefix, module in _PREFIXES.items() if path.startswith(prefix)), None)


def build_other_api(module: str) -> ASGIApp:
    """The application of the module, which is imported on first use."""
    app: ASGIApp = import_module(f"{__name__}.{module}").build_app()
    return app
