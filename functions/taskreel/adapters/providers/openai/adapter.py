"""OpenAI: pictures, speech and transcripts come in the answer; a text runs in the background.

Source: the openai 2.54 types and captures, openai/openai-openapi. A size is snapped to multiples of
16. Pictures to start from go to the edit path. Text is structured when a schema is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import httpx

from taskreel.adapters.providers import payloads
from taskreel.adapters.providers.model_limits import choose_voice, find_row_for
from taskreel.adapters.providers.model_lookup import find_row
from taskreel.adapters.providers.model_prices import count_token_cost
from taskreel.adapters.providers.model_row import ModelRow
from taskreel.adapters.providers.openai.models import count_image_cost
from taskreel.adapters.providers.provider_client import ProviderClient
from taskreel.adapters.providers.provider_errors import (
    cancelled_error,
    moderation_error,
    no_output_error,
    operation_failed_error,
    truncated_error,
)
from taskreel.adapters.providers.ratios import choose_ratio
from taskreel.adapters.providers.transcripts import Segment, Transcript, save_transcript
from taskreel.ports import Capability, Done, Generation, Pending

POLL_AFTER = timedelta(seconds=3)
DEFAULT_VOICE = "coral"


class OpenAI:
    """The OpenAI API."""

    name = "openai"

    def __init__(
        self,
        key: str,
        *,
        base_url: str = "https://api.openai.com/v1",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._client = ProviderClient(
            self.name,
            base_url=base_url,
            hosts=("api.openai.com",),
            headers={"authorization": f"Bearer {key}"},
            transport=transport,
            # A picture in high quality takes minutes, and comes in the answer only.
            read_seconds=300.0,
        )

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Done | Pending:
        """Make pictures or speech, or begin a text."""
        del idempotency_key  # the API has none
        row = find_row_for(self.name, request)
        match request.capability:
            case Capability.TEXT:
                return await self._start_text(row, request)
            case Capability.SPEECH:
                return await self._make_speech(row, request)
            case Capability.TRANSCRIPTION:
                return await self._transcribe(row, request)
            case _:
                return await self._make_pictures(row, request)

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        """Read the state of a text."""
        reply = await self._client.request_json("GET", f"/responses/{operation['id']}")
        with self._client.parsing_reply():
            return self._read_response(reply, request)

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        """Stop a text."""
        path = f"/responses/{operation['id']}/cancel"
        await self._client.send("POST", path, accepts=(400, 404, 409))

    async def close(self) -> None:
        await self._client.close()

    async def _start_text(self, row: ModelRow, request: Generation) -> Done | Pending:
        reply = await self._client.request_json(
            "POST", "/responses", creates=row.path, json=_build_text_body(row, request)
        )
        self._client.require_text(reply, "id", row.path)
        with self._client.parsing_reply(row.path):
            return self._read_response(reply, request)

    async def _make_pictures(self, row: ModelRow, request: Generation) -> Done:
        path, content = "/images/generations", {"json": _build_picture_body(row, request)}
        if request.inputs:
            path, content = "/images/edits", _build_edit_form(row, request)
        reply = await self._client.request_json("POST", path, creates=row.path, **content)
        with self._client.parsing_reply(row.path):
            pictures = [
                item["b64_json"] for item in reply.get("data") or () if item.get("b64_json")
            ]
            outputs = await payloads.save_base64_outputs(request, pictures)
            cost = count_image_cost(reply.get("usage") or {})
        if not outputs:
            raise no_output_error(self.name)
        return Done(outputs=outputs, cost_usd=cost)

    async def _make_speech(self, row: ModelRow, request: Generation) -> Done:
        body = {"model": row.path, "voice": choose_voice(row, request.params, DEFAULT_VOICE)}
        body |= payloads.rename_fields(request.params, row.fields, row.ranges)
        body |= payloads.get_provider_options(row, request.params)
        answer = await self._client.send("POST", "/audio/speech", creates=row.path, json=body)
        output = await payloads.save_answer(self.name, request, answer)
        return Done(outputs=(output,))

    async def _transcribe(self, row: ModelRow, request: Generation) -> Done:
        reply = await self._client.request_json(
            "POST",
            "/audio/transcriptions",
            creates=row.path,
            data=_build_transcription_form(row, request),
            files={"file": payloads.build_form_part(request.inputs[0])},
        )
        with self._client.parsing_reply(row.path):
            made = _read_transcript(reply)
        return await save_transcript(row, request, made)

    def _read_response(self, reply: Mapping[str, Any], request: Generation) -> Done | Pending:
        match reply.get("status"):
            case "completed":
                return self._build_text_result(reply, request)
            case "failed":
                raise operation_failed_error(self.name, (reply.get("error") or {}).get("message"))
            case "cancelled":
                raise cancelled_error(self.name, "the text")
            case "incomplete":
                if (reply.get("incomplete_details") or {}).get("reason") == "content_filter":
                    raise moderation_error(self.name)
                raise truncated_error(self.name)
            case _:
                return Pending(operation={"id": str(reply["id"])}, poll_after=POLL_AFTER)

    def _build_text_result(self, reply: Mapping[str, Any], request: Generation) -> Done:
        parts = [part for item in reply.get("output") or () for part in item.get("content") or ()]
        if any(part.get("type") == "refusal" for part in parts):
            raise moderation_error(self.name)
        text = "".join(part.get("text", "") for part in parts if part.get("type") == "output_text")
        # date.min: the model may have retired while the text was written.
        row = find_row(self.name, request.model, Capability.TEXT, date.min)
        usage = reply.get("usage") or {}
        cost = count_token_cost(row, usage.get("input_tokens"), usage.get("output_tokens"))
        return Done(data=payloads.parse_text_result(self.name, text, request), cost_usd=cost)


def _build_picture_body(row: ModelRow, request: Generation) -> dict[str, Any]:
    body = {"model": row.path, **payloads.rename_fields(request.params, row.fields, row.ranges)}
    if row.ratios:
        if listed := choose_ratio(request.params, row.ratios):
            body["size"] = listed.replace(":", "x")
    elif size := payloads.fit_size(
        payloads.meet_least_size(
            request.params, min_pixels=row.min_pixels, max_ratio=row.max_ratio or 3.0, multiple=16
        ),
        multiple=16,
        least=256,
        most=3840,
        max_pixels=row.max_pixels or 3840 * 2160,
    ):
        body["size"] = f"{size[0]}x{size[1]}"
    return body | payloads.get_provider_options(row, request.params)


def _build_edit_form(row: ModelRow, request: Generation) -> dict[str, Any]:
    body = _build_picture_body(row, request)
    return {
        "data": {name: str(value) for name, value in body.items()},
        "files": [("image[]", payloads.build_form_part(item)) for item in request.inputs],
    }


def _build_text_body(row: ModelRow, request: Generation) -> dict[str, Any]:
    body = payloads.rename_fields(request.params, row.fields, row.ranges)
    # OpenAI runs in the background only what it also stores.
    body |= {"model": row.path, "background": True, "store": True}
    if schema := request.params.get("schema"):
        body["text"] = {
            "format": {"type": "json_schema", "name": "result", "strict": True, "schema": schema}
        }
    return body | payloads.get_provider_options(row, request.params)


def _build_transcription_form(row: ModelRow, request: Generation) -> dict[str, Any]:
    # Only these formats have times, and each is of one kind of model; the newest has none.
    form: dict[str, Any] = {"model": row.path}
    if "diarize" in row.computed:
        form |= {"response_format": "diarized_json", "chunking_strategy": "auto"}
    elif "language" not in row.fields:
        form |= {"response_format": "verbose_json", "timestamp_granularities[]": "segment"}
    if language := request.params.get("language"):
        form[row.fields.get("language", "language")] = payloads.strip_region(language)
    return form | payloads.get_provider_options(row, request.params)


def _read_transcript(reply: Mapping[str, Any]) -> Transcript | None:
    """The transcript of an answer; None for one without. That of silence is an empty text."""
    if "text" not in reply:
        return None
    segments = tuple(
        Segment(
            float(one["start"]),
            float(one["end"]),
            str(one["text"]).strip(),
            str(one.get("speaker") or ""),
        )
        for one in reply.get("segments") or ()
    )
    seconds = reply.get("duration")
    known = float(seconds) if isinstance(seconds, int | float) else None
    found = [one.get("code") for one in reply.get("languages") or () if one.get("code")]
    language = reply.get("language") or (found[0] if len(found) == 1 else "")
    return Transcript(str(reply["text"]), str(language), segments, known)
