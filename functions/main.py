"""The entry points that are deployed, each a function of its own."""

from __future__ import annotations

import functions_framework.aio
from starlette.requests import Request
from starlette.types import ASGIApp

from taskreel import wiring


@functions_framework.aio.http
async def jobs_api(_request: Request) -> ASGIApp:
    """The public API."""
    return wiring.api()


@functions_framework.aio.http
async def task_processor(_request: Request) -> ASGIApp:
    """Called back by Cloud Tasks."""
    return wiring.processor()


@functions_framework.aio.http
async def maintenance(_request: Request) -> ASGIApp:
    """Called by Cloud Scheduler."""
    return wiring.maintenance()
