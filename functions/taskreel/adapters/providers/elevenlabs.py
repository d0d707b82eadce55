"""ElevenLabs: speech and music, in the answer. Source: elevenlabs 2.78's captures.

`voice` is a voice id; of `language` its ISO 639-1 code goes along; the format becomes the line's usual quality. No
cancel, no idempotency key. A voice that does not exist is `voice_unknown`; no credit comes as a 401 there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import httpx

from taskreel.adapters.providers import models, payloads
from taskreel.adapters.providers.http import Http, no_output
from taskreel.adapters.providers.model_table import VOICE_SETTINGS, ModelRow
from taskreel.domain.errors import PermanentError
from taskreel.ports import Capability, Done, Generation, Pending

RACHEL = "21m00Tcm4TlvDq8ikWAM"  # a voice that every account has
FORMATS = {
    "mp3": "mp3_44100_128",
    "wav": "wav_44100",
    "opus": "opus_48000_128",
    "pcm": "pcm_24000",
}


class ElevenLabs:
    """The ElevenLabs API."""

    name = "elevenlabs"

    def __init__(
        self,
        key: str,
        *,
        base_url: str = "https://api.elevenlabs.io",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = Http(
            self.name,
            base_url=base_url,
            hosts=("elevenlabs.io",),
            headers={"xi-api-key": key},
            transport=transport,
            read_seconds=120.0,
            missing="voice_unknown",
        )

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Done:
        """Buy speech or music."""
        del idempotency_key  # ElevenLabs takes none
        row = models.requested(self.name, request)
        path, body = _asked(row, request)
        form = FORMATS.get(request.params.get("outputFormat") or "mp3", FORMATS["mp3"])
        answer = await self._http.send(
            "POST",
            path,
            creates=f"the voice or model {path.rpartition('/')[2]!r}",
            params={"output_format": form},
            json=body | payloads.options(request.params),
        )
        if not answer.content:
            raise no_output(self.name)
        output = await payloads.kept(request, answer.content)
        return Done(outputs=(output,), cost_usd=_cost(row, request, answer))

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        """Nothing goes on at ElevenLabs once it has answered."""
        del operation, request
        raise PermanentError("elevenlabs has no operations to ask about", code="operation_unknown")

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        """Nothing goes on that could be stopped."""

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close()


def _asked(row: ModelRow, request: Generation) -> tuple[str, dict[str, Any]]:
    params = request.params
    if request.capability is Capability.MUSIC:
        length_ms = int((params.get("duration") or 30) * 1000)
        body = payloads.picked(params, row.fields) | {
            "music_length_ms": length_ms,
            "model_id": row.path,
        }
        return "/v1/music", body
    voice = params.get("voice") or RACHEL
    if not voice.isalnum():  # it goes into the path
        raise PermanentError(
            f"elevenlabs has no voice {voice!r}; give a voice id", code="voice_unknown"
        )
    body = {"model_id": row.path, **payloads.picked(params, row.fields)}
    if language := params.get("language"):
        body["language_code"] = re.split("[-_]", language)[0].lower()
    if settings := payloads.picked(params, VOICE_SETTINGS):
        body["voice_settings"] = settings
    return f"/v1/text-to-speech/{voice}", body


def _cost(row: ModelRow, request: Generation, answer: httpx.Response) -> float | None:
    characters = answer.headers.get("character-cost", "")
    if characters.isdigit() and row.usd is not None and request.capability is Capability.SPEECH:
        return int(characters) * row.usd / 1000
    return models.estimate(row, request.params)
