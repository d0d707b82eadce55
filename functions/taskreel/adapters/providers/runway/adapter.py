"""Runway: video from text, a picture or a video, pictures, upscaling, speech, sound effects.

Source: runwayml 5.24's types, Runway's OpenAPI. A shape becomes the nearest `ratio` of the model, a
duration the nearest that it can make. Two pictures are a clip's first and last frame. Files up to
5 MB go inline, larger ones by address, or as uploads where no service can reach ours. A task that
waits for a free slot (THROTTLED) counts as running.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import httpx

from taskreel.adapters.providers import payloads
from taskreel.adapters.providers.file_uploads import FileUploads
from taskreel.adapters.providers.model_limits import choose_voice, find_row_for
from taskreel.adapters.providers.model_row import ModelRow
from taskreel.adapters.providers.provider_client import ProviderClient
from taskreel.adapters.providers.provider_errors import (
    cancelled_error,
    moderation_error,
    no_output_error,
    operation_failed_error,
    sanitise_text,
)
from taskreel.adapters.providers.ratios import (
    choose_ratio,
    choose_text_ratio,
    count_pixels,
    find_size_name,
    list_ratios,
)
from taskreel.domain.errors import PermanentError, RunError
from taskreel.ports import Capability, Done, Generation, Input, Pending

VERSION = "2024-11-06"
POLL_AFTER = timedelta(seconds=6)  # the specification asks for five seconds or more
MAX_INLINE_BYTES = 3_700_000  # 5 MB as base64
DEFAULT_VOICE = "Maya"
CREDITS_A_DOLLAR = 100
#: The longest side of a clip where a request leaves it open.
OPEN_SIDE = 1280
#: The models of pictures whose prompt may name a picture: `@image1`.
TAGGED = frozenset(
    {
        *("gen4_image", "gen4_image_turbo", "gemini_2.5_flash", "gpt_image_2"),
        *("gpt_image_2_5_flare", "gpt_image_2_5_sunburst", "nano_banana_2.1"),
        *("gemini_image3.1_flash", "gemini_image3.1_flash_lite", "gemini_image3_pro"),
    }
)


class Runway:
    """The Runway developer API."""

    name = "runway"

    def __init__(
        self,
        key: str,
        *,
        base_url: str = "https://api.dev.runwayml.com",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._uploads = FileUploads(self.name, base_url=base_url, transport=transport)
        self._client = ProviderClient(
            self.name,
            base_url=base_url,
            hosts=("api.dev.runwayml.com",),
            headers={"authorization": f"Bearer {key}", "x-runway-version": VERSION},
            transport=transport,
        )

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Pending:
        del idempotency_key  # Runway takes none
        row = find_row_for(self.name, request)
        uris = [await self._link(item) for item in request.inputs]
        path, fields = _build_request(row, request, uris)
        body = {"model": row.path, **fields, **payloads.get_provider_options(row, request.params)}
        reply = await self._client.request_json("POST", f"/v1/{path}", creates=row.path, json=body)
        id_ = self._client.require_text(reply, "id", row.path)
        return Pending(operation={"id": id_}, poll_after=POLL_AFTER)

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        """Read the task's state; a poll after success gives fresh addresses of the results."""
        del request  # the operation has all that is needed
        reply = await self._client.request_json("GET", f"/v1/tasks/{operation['id']}")
        with self._client.parsing_reply():
            match reply.get("status"):
                case "SUCCEEDED":
                    return self._build_result(reply)
                case "FAILED":
                    raise _with_cost(self._build_error(reply), reply)
                case "CANCELLED":
                    raise _with_cost(cancelled_error(self.name, "the task"), reply)
                case _:
                    return Pending(
                        operation=operation,
                        poll_after=POLL_AFTER,
                        progress=payloads.parse_progress(reply.get("progress")),
                    )

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        """Stop and delete the task; Runway does not refund the credits it has used."""
        await self._client.send("DELETE", f"/v1/tasks/{operation['id']}", accepts=(404,))

    async def close(self) -> None:
        await self._client.close()

    async def _link(self, item: Input) -> str:
        """The address or the data of a file to start from; uploaded where Runway cannot reach it.

        An upload is free, repeated with the next attempt, and removed after a day.
        """
        if not payloads.needs_upload(item, MAX_INLINE_BYTES):
            return payloads.build_data_uri(item, MAX_INLINE_BYTES)
        name, content, kind = payloads.build_form_part(item)
        reply = await self._client.request_json(
            "POST", "/v1/uploads", json={"filename": name, "type": "ephemeral"}
        )
        with self._client.parsing_reply():
            url, uri, fields = str(reply["uploadUrl"]), str(reply["runwayUri"]), reply["fields"]
            form = {str(field): str(value) for field, value in fields.items()}
        # The fields come first: the storage reads them before the file.
        await self._uploads.send("POST", url, data=form, files={"file": (name, content, kind)})
        return uri

    def _build_result(self, reply: Mapping[str, Any]) -> Done:
        outputs = tuple(payloads.link_output(url) for url in reply.get("output") or ())
        if not outputs:
            raise _with_cost(no_output_error(self.name), reply)
        return Done(outputs=outputs, cost_usd=_read_cost(reply))

    def _build_error(self, reply: Mapping[str, Any]) -> RunError:
        code = str(reply.get("failureCode") or "")
        if code.startswith("SAFETY"):
            return moderation_error(self.name, failure=code)
        if code.startswith("ASSET"):
            reason = sanitise_text(str(reply.get("failure") or "no reason given"))
            return PermanentError(
                f"runway cannot use an input file: {reason}",
                code="provider_rejected",
                failure=code,
            )
        return operation_failed_error(self.name, reply.get("failure"), failure=code)


def _read_cost(reply: Mapping[str, Any]) -> float | None:
    """The final charge of a task that has ended, in US dollars: 0 if it was refunded."""
    return payloads.parse_cost((reply.get("cost") or {}).get("credits"), CREDITS_A_DOLLAR)


def _with_cost(error: RunError, reply: Mapping[str, Any]) -> RunError:
    """The error of a task with its charge: Runway bills some of the tasks that fail."""
    error.cost_usd = _read_cost(reply)
    return error


def _build_request(
    row: ModelRow, request: Generation, uris: Sequence[str]
) -> tuple[str, dict[str, Any]]:
    """The path of a request, and its body without the model."""
    match request.capability:
        case Capability.VIDEO:
            return _build_video(row, request, uris)
        case Capability.UPSCALE:
            scale = payloads.choose_nearest(request.params.get("scale"), row.scales)
            picture = {"imageUri": uris[0]}
            return "image_upscale", picture | ({"scaleFactor": scale} if scale else {})
        case Capability.SPEECH:
            return "text_to_speech", _build_speech(row, request)
        case Capability.VIDEO_EDIT:
            video = payloads.name_inputs(row.input_fields, uris)
            return "video_to_video", _build_fields(row, request) | video
        case Capability.SOUND_EFFECT:
            seconds = payloads.build_seconds(row, request.params)
            return "sound_effect", _build_fields(row, request) | seconds
        case _:
            return "text_to_image", _build_picture(row, request, uris)


def _build_fields(row: ModelRow, request: Generation) -> dict[str, Any]:
    """The model's constants, and the options that it has by names of its own."""
    return {**row.constants, **payloads.rename_fields(request.params, row.fields, row.ranges)}


def _build_speech(row: ModelRow, request: Generation) -> dict[str, Any]:
    body = _build_fields(row, request)
    language = request.params.get("language")
    if language and "language" in row.options:
        body["languageCode"] = payloads.strip_region(language)
    if row.voices:
        preset = choose_voice(row, request.params, DEFAULT_VOICE)
        body["voice"] = {"type": "runway-preset", "presetId": preset}
    return body


def _build_picture(row: ModelRow, request: Generation, uris: Sequence[str]) -> dict[str, Any]:
    body = _build_fields(row, request) | _build_shape(row, request)
    if uris:
        # Only some models let a prompt name a picture, by its tag.
        tagged = row.name in TAGGED
        body["referenceImages"] = [
            {"uri": uri, "tag": f"image{number}"} if tagged else {"uri": uri}
            for number, uri in enumerate(uris, 1)
        ]
    return body


def _build_video(
    row: ModelRow, request: Generation, uris: Sequence[str]
) -> tuple[str, dict[str, Any]]:
    body = _build_fields(row, request) | _build_shape(row, request)
    body["duration"] = row.find_seconds(request.params.get("duration") or 5)
    if not uris:
        return "text_to_video", body
    # Without a position a picture is a mere reference at the models that take two frames.
    frames = [
        {"uri": uri, "position": position}
        for uri, position in zip(uris, ("first", "last"), strict=False)
    ]
    body["promptImage"] = frames if row.max_inputs > 1 else uris[0]
    return "image_to_video", body


def _build_shape(row: ModelRow, request: Generation) -> dict[str, Any]:
    """The fields of the size and the ratio, as far as the model has them."""
    if request.inputs and row.input_sizes:
        pixels = count_pixels(choose_text_ratio(row, request.params))
        return {row.size_field: find_size_name(row.input_sizes, pixels)}
    shape: dict[str, Any] = {}
    if row.sizes:
        shape[row.size_field] = payloads.choose_size_name(row, request.params, OPEN_SIDE)
    ratios = list_ratios(row, from_inputs=bool(request.inputs))
    if ratios:
        shape["ratio"] = choose_ratio(request.params, ratios) or ratios[0]
    return shape
