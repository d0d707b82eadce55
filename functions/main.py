"""The entry points that are deployed, each a function of its own."""

from __future__ import annotations

from typing import Any

import functions_framework.aio
from starlette.requests import Request

from taskreel import wiring


@functions_framework.aio.http
async def jobs_api(_request: Request) -> Any:
    """The public API."""
    return wiring.api()


@functions_framework.aio.http
async def task_processor(_request: Request) -> Any:
    """Called back by Cloud Tasks."""
    return wiring.processor()


@functions_framework.aio.http
async def maintenance(_request: Request) -> Any:
    """Called by Cloud Scheduler."""
    return wiring.maintenance()
