"""Stability AI: pictures (core, ultra, SD 3.5) and three upscalers. Source: Stability's OpenAPI.

Everything is multipart. Pictures come in the answer, except from the creative upscaler, which is polled. A shape
becomes the nearest `aspect_ratio`. The conservative and creative upscalers demand a prompt; without one they get a
neutral one. No cancel, no idempotency key. After 150 requests in ten seconds the account is locked out for a minute.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx

from taskreel.adapters.providers import models, payloads
from taskreel.adapters.providers.http import Http, moderated, no_output
from taskreel.adapters.providers.model_table import ModelRow
from taskreel.ports import Capability, Done, Generation, Pending

POLL_AFTER = timedelta(seconds=10)
CREATIVE = "upscale/creative"
NEUTRAL_PROMPT = "a faithful, sharp and detailed photograph"
MOST_SEED = 4_294_967_294


class Stability:
    """The Stability platform API, v2beta."""

    name = "stability"

    def __init__(
        self,
        key: str,
        *,
        base_url: str = "https://api.stability.ai",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = Http(
            self.name,
            base_url=base_url,
            hosts=("api.stability.ai",),
            headers={"authorization": f"Bearer {key}"},
            transport=transport,
            read_seconds=120.0,
            patience=timedelta(seconds=60),
        )

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Done | Pending:
        """Buy one picture; only the creative upscaler makes one wait."""
        del idempotency_key  # Stability takes none
        row = models.requested(self.name, request)
        answer = await self._http.send(
            "POST",
            f"/v2beta/stable-image/{row.path}",
            creates=row.name,
            data=_fields(row, request),
            files=_files(request),
            headers={"accept": "application/json" if row.path == CREATIVE else "image/*"},
        )
        if row.path != CREATIVE:
            return await self._done(request, answer, row.usd)
        id_ = self._http.accepted(self._http.read(answer, creates=row.name), "id", row.name)
        return Pending(operation={"id": id_, "usd": row.usd}, poll_after=POLL_AFTER)

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        """How the creative upscale is now; its result is kept for a day."""
        answer = await self._http.send(
            "GET", f"/v2beta/results/{operation['id']}", headers={"accept": "*/*"}
        )
        if answer.status_code == 202:
            return Pending(operation=operation, poll_after=POLL_AFTER)
        return await self._done(request, answer, operation.get("usd"))

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        """Stability cannot stop an upscale; it runs on, unread."""

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close()

    async def _done(self, request: Generation, answer: httpx.Response, usd: float | None) -> Done:
        # A filtered picture comes with status 200, blurred.
        if answer.headers.get("finish-reason") == "CONTENT_FILTERED":
            raise moderated(self.name)
        content_type = answer.headers.get("content-type", "")
        if not answer.content or not content_type.startswith("image/"):
            raise no_output(self.name)
        return Done(outputs=(await payloads.kept(request, answer.content),), cost_usd=usd)


def _fields(row: ModelRow, request: Generation) -> dict[str, str]:
    fields = payloads.picked(request.params, row.fields)
    if row.path != "upscale/fast":
        fields |= {
            name: value or 1 for name, value in payloads.seed(request.params, MOST_SEED).items()
        }  # 0 is none
    if row.variant:
        fields["model"] = row.variant
    if row.path == "generate/sd3" and request.inputs:
        fields |= {"mode": "image-to-image", "strength": 0.7}
    elif row.path == "generate/ultra" and request.inputs:
        fields["strength"] = 0.7
    elif ratio := payloads.nearest_ratio(request.params, row.ratios) if row.ratios else None:
        fields["aspect_ratio"] = ratio
    if request.capability is Capability.UPSCALE and row.path != "upscale/fast":
        fields.setdefault("prompt", NEUTRAL_PROMPT)
    return {name: str(value) for name, value in (fields | payloads.options(request.params)).items()}


def _files(request: Generation) -> dict[str, Any]:
    if not request.inputs:
        return {"none": ""}  # makes httpx send multipart although there is no file
    return {"image": payloads.part(request.inputs[0])}
