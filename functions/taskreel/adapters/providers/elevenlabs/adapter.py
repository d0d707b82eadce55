"""ElevenLabs: speech, music, effects and transcripts, all in the answer.

Source: elevenlabs 2.78's captures and types.
`voice` is a voice id; of `language` the ISO 639-1 code is sent; a format becomes its usual quality.
No cancel, no idempotency key. A voice that does not exist is `voice_unknown`; a lack of credit is
reported with status 401.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from taskreel.adapters.providers import payloads
from taskreel.adapters.providers.elevenlabs.models import HALVED, RACHEL, VOICE_SETTING_FIELDS
from taskreel.adapters.providers.model_limits import choose_voice, find_row_for
from taskreel.adapters.providers.model_row import ModelRow
from taskreel.adapters.providers.provider_client import ProviderClient
from taskreel.adapters.providers.transcripts import read_scribe, save_transcript
from taskreel.domain.errors import PermanentError
from taskreel.ports import Capability, Done, Generation, Pending

DEFAULT_MUSIC_SECONDS = 30
OUTPUT_FORMATS = {
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
        self._client = ProviderClient(
            self.name,
            base_url=base_url,
            hosts=("elevenlabs.io",),
            headers={"xi-api-key": key},
            transport=transport,
            read_seconds=120.0,
            missing_code="voice_unknown",
        )

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Done:
        del idempotency_key  # ElevenLabs takes none
        row = find_row_for(self.name, request)
        if request.capability is Capability.TRANSCRIPTION:
            return await self._transcribe(row, request)
        match request.capability:
            case Capability.MUSIC:
                path, body = _build_music(row, request.params)
            case Capability.SOUND_EFFECT:
                path, body = _build_effect(row, request.params)
            case _:
                path, body = _build_speech(row, request.params)
        output_format = request.params.get("outputFormat") or "mp3"
        answer = await self._client.send(
            "POST",
            path,
            creates=f"the voice or model {path.rpartition('/')[2]!r}",
            params={"output_format": OUTPUT_FORMATS.get(output_format, OUTPUT_FORMATS["mp3"])},
            json=body | payloads.get_provider_options(row, request.params),
        )
        output = await payloads.save_answer(self.name, request, answer)
        return Done(outputs=(output,), cost_usd=_count_cost(row, request, answer))

    async def _transcribe(self, row: ModelRow, request: Generation) -> Done:
        (item,) = request.inputs
        form = _build_transcription_form(row, request.params)
        # A part without a file's name makes the request multipart, as the API needs it.
        files: dict[str, Any] = {"model_id": (None, row.path)}
        if item.path.stat().st_size > payloads.MAX_INPUT_BYTES and payloads.is_reachable(item.url):
            form["cloud_storage_url"] = item.url
        else:
            files["file"] = payloads.build_form_part(item)
        reply = await self._client.request_json(
            "POST", "/v1/speech-to-text", creates=row.path, data=form, files=files
        )
        with self._client.parsing_reply(row.path):
            made = read_scribe(reply)
        return await save_transcript(row, request, made)

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        """Raise PermanentError: ElevenLabs answers at once and has no operations."""
        del operation, request
        raise PermanentError("elevenlabs has no operations to poll", code="operation_unknown")

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        """Do nothing: there is no operation to stop."""

    async def close(self) -> None:
        await self._client.close()


def _build_music(row: ModelRow, params: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    body = payloads.rename_fields(params, row.fields, row.ranges)
    seconds = row.find_seconds(params.get("duration") or DEFAULT_MUSIC_SECONDS)
    body[row.seconds_field] = round(seconds * 1000)
    body["model_id"] = row.path
    return "/v1/music", body


def _build_effect(row: ModelRow, params: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    body = {"model_id": row.path, **payloads.rename_fields(params, row.fields, row.ranges)}
    return "/v1/sound-generation", body | payloads.build_seconds(row, params)


def _build_transcription_form(row: ModelRow, params: Mapping[str, Any]) -> dict[str, Any]:
    form = payloads.rename_fields(params, row.fields, row.ranges)
    form |= {"timestamps_granularity": "word", **payloads.fold_seed(params, 2**31 - 1)}
    if language := params.get("language"):
        form["language_code"] = payloads.strip_region(language)
    return form | payloads.get_provider_options(row, params)


def _build_speech(row: ModelRow, params: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    voice = choose_voice(row, params, RACHEL)
    if not voice.isalnum():  # it becomes a part of the path
        raise PermanentError(
            f"voice must be an ElevenLabs voice id (letters and digits), not {voice!r}",
            code="voice_unknown",
        )
    body = {"model_id": row.path, **payloads.rename_fields(params, row.fields, row.ranges)}
    if language := params.get("language"):
        body["language_code"] = payloads.strip_region(language)
    able = {ours: its for ours, its in VOICE_SETTING_FIELDS.items() if ours in row.options}
    if settings := payloads.rename_fields(params, able, row.ranges):
        body["voice_settings"] = settings
    return f"/v1/text-to-speech/{voice}", body


def _count_cost(row: ModelRow, request: Generation, answer: httpx.Response) -> float | None:
    """The cost of the characters that ElevenLabs counted; None: it counted none, or in halves."""
    if row.path in HALVED:
        return None
    characters = answer.headers.get("character-cost", "")
    if characters.isdigit() and row.usd is not None and request.capability is Capability.SPEECH:
        return int(characters) * row.usd / 1000
    return None
