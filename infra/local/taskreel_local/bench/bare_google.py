"""The reference for cold starts on Google Cloud: imports the clients, reads from Firestore."""

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
    """Return "ok" after one read from Firestore."""
    await firestore.AsyncClient(project="bench").collection("health").document("probe").get()
    return PlainTextResponse("ok")
