"""The entry points that are deployed, each as a function."""

from __future__ import annotations

import gc
import os
from typing import Any

# It would search for plugins in the metadata of every installed package: cold start.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

# Imports make no garbage: a cold start is shorter without the collector. wiring turns it on.
gc.disable()

from pydantic import BaseModel  # noqa: E402

# Build models on first use, FastAPI's own too: the first request need not wait for all of them.
BaseModel.model_config["defer_build"] = True

import functions_framework.aio  # noqa: E402
from starlette.convertors import PathConvertor, register_url_convertor  # noqa: E402
from starlette.requests import Request  # noqa: E402
from starlette.types import Receive, Scope, Send  # noqa: E402

from taskreel import wiring  # noqa: E402


class AnyPathConvertor(PathConvertor):
    """`{path:path}` of a route, for paths with line breaks too.

    The framework's own route would not match them: it would answer a plain 404, without our problem
    document and security headers.
    """

    regex = "(?s:.*)"


# The framework compiles its routes after it has loaded this module.
register_url_convertor("path", AnyPathConvertor())

wiring.check_start()

# The framework calls what a handler returns with `scope, receive, send`: so it may be an ASGI app.


@functions_framework.aio.http
async def jobs_api(_request: Request) -> Any:
    """The public API."""
    return wiring.api()


@functions_framework.aio.http
async def task_processor(_request: Request) -> Any:
    """The task processor, called by Cloud Tasks."""
    return wiring.processor()


async def jobs_gateway(scope: Scope, receive: Receive, send: Send) -> None:
    """The socket.io gateway: an ASGI application, since functions_framework has no WebSockets."""
    await wiring.gateway()(scope, receive, send)


@functions_framework.aio.http
async def maintenance(_request: Request) -> Any:
    """The sweep, called by Cloud Scheduler."""
    return wiring.maintenance()
