"""Stability AI: pictures (core, ultra, SD 3.5), three upscalers, cutouts, music and sounds.

Source: Stability's OpenAPI; of Stable Audio, the requests of public clients that link to it.

Every request is a multipart form. Results come in the answer, except from the creative upscaler,
which is polled. A shape becomes the nearest `aspect_ratio`. The conservative and creative upscalers
require a prompt; without one they get a neutral one. No cancel, no idempotency key. After 150
requests in ten seconds the account is locked out for a minute.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx

from taskreel.adapters.providers import payloads
from taskreel.adapters.providers.model_limits import find_row_for
from taskreel.adapters.providers.model_row import ModelRow
from taskreel.adapters.providers.provider_client import ProviderClient
from taskreel.adapters.providers.provider_errors import moderation_error, no_output_error
from taskreel.adapters.providers.ratios import choose_ratio
from taskreel.ports import Capability, Done, Generation, Pending

POLL_AFTER = timedelta(seconds=10)
CREATIVE, FAST = "upscale/creative", "upscale/fast"
#: The work that takes no seed.
SEEDLESS = frozenset({FAST, "edit/remove-background"})
NEUTRAL_PROMPT = "a faithful, sharp and detailed photograph"
MAX_SEED = 4_294_967_294
#: How far a generated picture may depart from the one that it starts from: 0 not at all, 1 freely.
STRENGTH = 0.7


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
        self._client = ProviderClient(
            self.name,
            base_url=base_url,
            hosts=("api.stability.ai",),
            headers={"authorization": f"Bearer {key}"},
            transport=transport,
            read_seconds=120.0,
            rate_limit_wait=timedelta(seconds=60),
        )

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Done | Pending:
        """Make one picture; only the creative upscaler returns before it is done."""
        del idempotency_key  # Stability takes none
        row = find_row_for(self.name, request)
        kind = _find_kind(request.capability)
        answer = await self._client.send(
            "POST",
            f"/v2beta/{row.path}" if kind == "audio" else f"/v2beta/stable-image/{row.path}",
            creates=row.name,
            data=_build_fields(row, request),
            files=_build_files(request),
            headers={"accept": "application/json" if row.path == CREATIVE else f"{kind}/*"},
        )
        if row.path != CREATIVE:
            return await self._save_result(request, answer)
        reply = self._client.parse_object(answer, creates=row.name)
        id_ = self._client.require_text(reply, "id", row.name)
        return Pending(operation={"id": id_}, poll_after=POLL_AFTER)

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        """Read the state of a creative upscale; Stability stores its result for a day."""
        answer = await self._client.send(
            "GET", f"/v2beta/results/{operation['id']}", headers={"accept": "*/*"}
        )
        if answer.status_code == 202:
            return Pending(operation=operation, poll_after=POLL_AFTER)
        return await self._save_result(request, answer)

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        """Do nothing: Stability cannot stop an upscale, which runs on without being read."""

    async def close(self) -> None:
        await self._client.close()

    async def _save_result(self, request: Generation, answer: httpx.Response) -> Done:
        # A filtered picture comes with status 200, blurred.
        if answer.headers.get("finish-reason") == "CONTENT_FILTERED":
            raise moderation_error(self.name)
        content_type = answer.headers.get("content-type", "")
        kind = _find_kind(request.capability)
        if not answer.content or not content_type.startswith(f"{kind}/"):
            raise no_output_error(self.name)
        output = await payloads.save_output(request, answer.content)
        return Done(outputs=(output,))


def _find_kind(capability: Capability) -> str:
    return "audio" if capability in {Capability.MUSIC, Capability.SOUND_EFFECT} else "image"


def _build_fields(row: ModelRow, request: Generation) -> dict[str, str]:
    fields = payloads.rename_fields(request.params, row.fields, row.ranges)
    if row.path not in SEEDLESS:
        # To Stability, the seed 0 means a random one.
        seed = payloads.fold_seed(request.params, MAX_SEED)
        fields |= {name: value or 1 for name, value in seed.items()}
    if row.variant:
        fields["model"] = row.variant
    fields |= _build_shape(row, request) | payloads.build_seconds(row, request.params)
    if request.capability is Capability.UPSCALE and row.path != FAST:
        fields.setdefault("prompt", NEUTRAL_PROMPT)
    fields |= payloads.get_provider_options(row, request.params)
    return {name: str(value) for name, value in fields.items()}


def _build_shape(row: ModelRow, request: Generation) -> dict[str, Any]:
    """The shape of the result: that of the input picture where there is one, else a ratio."""
    if request.inputs and row.path == "generate/sd3":
        return {"mode": "image-to-image", "strength": STRENGTH}
    if request.inputs and row.path == "generate/ultra":
        return {"strength": STRENGTH}
    ratio = choose_ratio(request.params, row.ratios) if row.ratios else None
    return {"aspect_ratio": ratio} if ratio else {}


def _build_files(request: Generation) -> dict[str, Any]:
    if not request.inputs:
        return {"none": ""}  # makes httpx send a multipart form although there is no file
    return {"image": payloads.build_form_part(request.inputs[0])}
