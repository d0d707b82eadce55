"""The entry points that are deployed, each a function of its own."""

from __future__ import annotations

import gc
from typing import Any

from pydantic import BaseModel

# Models that nobody has asked for yet, FastAPI's own too, need not be built while the first request waits.
BaseModel.model_config["defer_build"] = True
# Imports make no garbage: a function starts sooner without the collector; wiring turns it on again.
gc.disable()

import functions_framework.aio  # noqa: E402
from starlette.requests import Request  # noqa: E402

from taskreel import wiring  # noqa: E402

# The framework calls what a handler returns as Starlette does a response: an ASGI application, too, is called so.


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
