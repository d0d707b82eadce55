"""The yardstick of cold start on Google Cloud: a function that imports the client it uses, and asks it once."""

from __future__ import annotations

import functions_framework.aio
from google.cloud import firestore
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response


@functions_framework.aio.http
async def bare_google(_request: Request) -> Response:
    """Answer once Firestore has."""
    await firestore.AsyncClient(project="bench").collection("health").document("probe").get()
    return PlainTextResponse("ok")
