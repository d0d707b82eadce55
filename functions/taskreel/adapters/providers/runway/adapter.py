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
from taskreel.adapters.providers.provider_client import (
    ProviderClient,
    cancelled_error,
    moderation_error,
    no_output_error,
    operation_failed_error,
    sanitise_text,
)
from taskreel.domain.errors import PermanentError
from taskreel.ports import Capability, Done, Generation, Input, Pending

VERSION = "2024-11-06"
POLL_AFTER = timedelta(seconds=6)  # the specification asks for five seconds or more
MAX_INLINE_BYTES = 3_700_000  # 5 MB as base64
DEFAULT_VOICE = "Maya"
CREDITS_A_DOLLAR = 100


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
                    raise self._build_error(reply)
                case "CANCELLED":
                    raise cancelled_error(self.name, "the task")
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
            raise no_output_error(self.name)
        credits_ = (reply.get("cost") or {}).get("credits")
        return Done(outputs=outputs, cost_usd=payloads.parse_cost(credits_, CREDITS_A_DOLLAR))

    def _build_error(self, reply: Mapping[str, Any]) -> Exception:
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
            preset = choose_voice(row, request.params, DEFAULT_VOICE)
            voice = {"type": "runway-preset", "presetId": preset}
            body = payloads.rename_fields(request.params, row.fields, row.ranges)
            language = request.params.get("language")
            if language and "language" in row.options:
                body["languageCode"] = payloads.strip_region(language)
            return "text_to_speech", body | {"voice": voice}
        case Capability.VIDEO_EDIT:
            body = payloads.rename_fields(request.params, row.fields, row.ranges)
            return "video_to_video", body | {"videoUri": uris[0]}
        case Capability.SOUND_EFFECT:
            body = payloads.rename_fields(request.params, row.fields, row.ranges)
            return "sound_effect", body | payloads.build_seconds(row, request.params)
        case _:
            body = payloads.rename_fields(request.params, row.fields, row.ranges) | _build_ratio(
                row, request
            )
            references = [
                {"uri": uri, "tag": f"image{number}"} for number, uri in enumerate(uris, 1)
            ]
            return "text_to_image", body | ({"referenceImages": references} if references else {})


def _build_video(
    row: ModelRow, request: Generation, uris: Sequence[str]
) -> tuple[str, dict[str, Any]]:
    body = payloads.rename_fields(request.params, row.fields, row.ranges) | _build_ratio(
        row, request
    )
    body["duration"] = row.find_seconds(request.params.get("duration") or 5)
    if not request.inputs:
        return "text_to_video", body
    frames = [
        {"uri": uri, "position": position}
        for uri, position in zip(uris, ("first", "last"), strict=False)
    ]
    body["promptImage"] = frames if len(frames) > 1 else frames[0]["uri"]
    return "image_to_video", body


def _build_ratio(row: ModelRow, request: Generation) -> dict[str, Any]:
    ratios = row.ratios if request.inputs else row.text_ratios or row.ratios
    return {"ratio": payloads.choose_ratio(request.params, ratios) or ratios[0]}
