"""The reference for cold starts: a function that does nothing, on the same framework."""

from __future__ import annotations

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response


@functions_framework.aio.http
async def bare(_request: Request) -> Response:
    """Return "ok"."""
    return PlainTextResponse("ok")
