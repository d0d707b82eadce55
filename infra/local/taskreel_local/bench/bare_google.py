"""The yardsticks of cold start on Google Cloud: functions that import the clients they use, and ask Firestore once."""

from __future__ import annotations

import importlib
import os

import functions_framework.aio
from google.cloud import firestore
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

for _name in os.environ.get("BENCH_CLIENTS", "").split():
    importlib.import_module(f"google.cloud.{_name}")


@functions_framework.aio.http
async def bare_google(_request: Request) -> Response:
    """Answer once Firestore has."""
    await firestore.AsyncClient(project="bench").collection("health").document("probe").get()
    return PlainTextResponse("ok")
