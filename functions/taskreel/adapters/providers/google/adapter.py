"""Google: Gemini pictures, text and speech, Veo's and Omni's clips, Lyria's music.

Source: google-genai 3.4's captures, docs.cloud.google.com. There are two ways of access: a key of
the Developer API with the default base URL; or Vertex (now Gemini Enterprise Agent Platform), when
the base URL names a project: `settings.py` builds it. There the key is a bearer token, or a
function that returns a fresh one. Veo is sold on Vertex alone, Omni and Lyria by key: through the
Interactions API (`interactions.py`).

A shape becomes the nearest ratio, a size 1K, 2K or 4K, a duration 4, 6 or 8 s; frame rates are
Veo's own. Two pictures are a clip's first and last frame. No cancel, no idempotency key.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import httpx

from taskreel.adapters.providers import payloads
from taskreel.adapters.providers.file_uploads import FileUploads
from taskreel.adapters.providers.google.gemini_files import GoogleFiles
from taskreel.adapters.providers.google.interactions import (
    FAILED,
    build_interaction,
    collect_media,
    is_interactive,
)
from taskreel.adapters.providers.google.models import count_speech_cost
from taskreel.adapters.providers.google.speech import (
    build_speech_config,
    wrap_samples,
    write_spoken_text,
)
from taskreel.adapters.providers.model_limits import find_row_for
from taskreel.adapters.providers.model_prices import count_token_cost
from taskreel.adapters.providers.model_row import ModelRow
from taskreel.adapters.providers.provider_client import ProviderClient
from taskreel.adapters.providers.provider_errors import (
    cancelled_error,
    moderation_error,
    no_output_error,
    operation_failed_error,
    truncated_error,
)
from taskreel.adapters.providers.ratios import choose_ratio
from taskreel.ports import Capability, Done, Generation, Input, Output, Pending

POLL_AFTER = timedelta(seconds=10)
MAX_SEED, MAX_VIDEO_SEED = 2**31 - 1, 2**32 - 1  # int32; uint32
#: The finish reasons of Gemini's moderation.
MODERATED = frozenset(
    {
        "SAFETY",
        "IMAGE_SAFETY",
        "PROHIBITED_CONTENT",
        "IMAGE_PROHIBITED_CONTENT",
        "BLOCKLIST",
        "SPII",
        "RECITATION",
    }
)


class Google:
    """Gemini and Veo, by the Developer API or by Vertex."""

    name = "google"

    def __init__(
        self,
        key: str | Callable[[], Awaitable[str]],
        *,
        base_url: str = "https://generativelanguage.googleapis.com/v1beta",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._key = key
        self._vertex = "/projects/" in base_url
        self._client = ProviderClient(
            self.name,
            base_url=base_url,
            hosts=("generativelanguage.googleapis.com",),
            headers={},
            transport=transport,
            read_seconds=180.0,
        )
        uploads = FileUploads(self.name, base_url=base_url, transport=transport)
        self._files = GoogleFiles(self._client, uploads, base_url)

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Done | Pending:
        """Make a picture or a text, or begin a video."""
        del idempotency_key  # Google takes none
        row = find_row_for(self.name, request)
        if is_interactive(row):
            return await self._start_interaction(row, request)
        if request.capability is Capability.VIDEO:
            body = _build_video_body(row, request)
            reply = await self._call(row.path, "predictLongRunning", body, creates=row.path)
            name = self._client.require_text(reply, "name", row.path)
            return Pending(operation={"name": name, "model": row.path}, poll_after=POLL_AFTER)

        uploaded = await self._upload_large(request)
        body = _build_content_body(row, request, uploaded)
        reply = await self._call(row.path, "generateContent", body, creates=row.path)
        with self._client.parsing_reply(row.path):
            return await self._build_content_result(row, reply, request)

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        """Read the state of a video or a song."""
        if "interaction" in operation:
            return await self._poll_interaction(operation, request)
        body = {"operationName": operation["name"]}
        reply = await self._call(operation["model"], "fetchPredictOperation", body)
        if not reply.get("done"):
            return Pending(operation=operation, poll_after=POLL_AFTER)
        with self._client.parsing_reply():
            if error := reply.get("error"):
                raise operation_failed_error(self.name, error.get("message"))
            return Done(outputs=await self._save_videos(reply.get("response") or {}, request))

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        """Stop an interaction. Veo's videos cannot be stopped, and run on without being read."""
        if "interaction" in operation:
            await self._client.send(
                "POST",
                f"/interactions/{operation['interaction']}/cancel",
                headers=await self._build_auth_headers(),
                accepts=(400, 404, 409),
            )

    async def close(self) -> None:
        await self._client.close()

    async def _upload_large(self, request: Generation) -> dict[str, str]:
        """Upload the input files that a request has no room for: addresses by their paths."""
        if self._vertex or not request.inputs:
            return {}
        return await self._files.upload_large(request.inputs, await self._build_auth_headers())

    async def _start_interaction(self, row: ModelRow, request: Generation) -> Pending:
        uploaded = await self._upload_large(request)
        reply = await self._client.request_json(
            "POST",
            "/interactions",
            creates=row.path,
            json=build_interaction(row, request, uploaded),
            headers=await self._build_auth_headers(),
        )
        id_ = self._client.require_text(reply, "id", row.path)
        return Pending(operation={"interaction": id_}, poll_after=POLL_AFTER)

    async def _poll_interaction(
        self, operation: Mapping[str, Any], request: Generation
    ) -> Done | Pending:
        reply = await self._client.request_json(
            "GET",
            f"/interactions/{operation['interaction']}",
            headers=await self._build_auth_headers(),
        )
        with self._client.parsing_reply():
            match reply.get("status"):
                case "completed":
                    kind = "video" if request.capability is Capability.VIDEO else "audio"
                    contents = collect_media(reply, kind)
                    if not contents:
                        raise no_output_error(self.name)
                    return Done(outputs=await payloads.save_base64_outputs(request, contents))
                case "cancelled":
                    raise cancelled_error(self.name, "the interaction")
                case status if status in FAILED:
                    raise self._build_interaction_error(reply)
                case _:
                    return Pending(operation=operation, poll_after=POLL_AFTER)

    def _build_interaction_error(self, reply: Mapping[str, Any]) -> Exception:
        errors = reply.get("errors") or [reply.get("error") or {}]
        reason = "; ".join(str(error.get("message") or "") for error in errors).strip("; ")
        if "safety" in reason.lower() or "prohibited" in reason.lower():
            return moderation_error(self.name)
        return operation_failed_error(self.name, reason, failure=str(reply.get("status")))

    async def _build_auth_headers(self) -> dict[str, str]:
        key = self._key if isinstance(self._key, str) else await self._key()
        return {"authorization": f"Bearer {key}"} if self._vertex else {"x-goog-api-key": key}

    async def _call(
        self, model: str, verb: str, body: dict[str, Any], creates: str | None = None
    ) -> dict[str, Any]:
        parent = "/publishers/google" if self._vertex else ""
        return await self._client.request_json(
            "POST",
            f"{parent}/models/{model}:{verb}",
            creates=creates,
            json=body,
            headers=await self._build_auth_headers(),
        )

    async def _build_content_result(
        self, row: ModelRow, reply: Mapping[str, Any], request: Generation
    ) -> Done:
        candidate = (reply.get("candidates") or [{}])[0]
        finish = candidate.get("finishReason")
        if (reply.get("promptFeedback") or {}).get("blockReason") or finish in MODERATED:
            raise moderation_error(self.name)
        if finish == "MAX_TOKENS":
            raise truncated_error(self.name)
        parts = (candidate.get("content") or {}).get("parts") or ()
        answer = [part for part in parts if not part.get("thought")]

        if request.capability is Capability.TEXT:
            text = "".join(part.get("text", "") for part in answer)
            usage = reply.get("usageMetadata") or {}
            written = usage.get("candidatesTokenCount")
            if written is not None:  # what it thought is billed as what it wrote
                written += usage.get("thoughtsTokenCount") or 0
            cost = count_token_cost(row, usage.get("promptTokenCount"), written)
            return Done(data=payloads.parse_text_result(self.name, text, request), cost_usd=cost)

        if request.capability is Capability.SPEECH:
            return await self._build_speech(row, reply, request, answer)
        pictures = [part["inlineData"]["data"] for part in answer if "inlineData" in part]
        if not pictures:
            raise no_output_error(self.name)
        return Done(outputs=await payloads.save_base64_outputs(request, pictures))

    async def _build_speech(
        self,
        row: ModelRow,
        reply: Mapping[str, Any],
        request: Generation,
        parts: Sequence[Mapping[str, Any]],
    ) -> Done:
        sounds = [part["inlineData"] for part in parts if "inlineData" in part]
        if not sounds:
            raise no_output_error(self.name)
        samples = b"".join(base64.b64decode(sound["data"]) for sound in sounds)
        file = wrap_samples(samples, str(sounds[0].get("mimeType") or ""))
        usage = reply.get("usageMetadata") or {}
        cost = count_speech_cost(
            row.name, usage.get("promptTokenCount"), usage.get("candidatesTokenCount")
        )
        return Done(outputs=(await payloads.save_output(request, file),), cost_usd=cost)

    async def _save_videos(
        self, response: Mapping[str, Any], request: Generation
    ) -> tuple[Output, ...]:
        videos = response.get("videos")
        if not videos:
            if response.get("raiMediaFilteredCount"):
                raise moderation_error(self.name)
            raise no_output_error(self.name)
        # Without `storageUri` in the request they are in the answer.
        encoded = [video["bytesBase64Encoded"] for video in videos]
        return await payloads.save_base64_outputs(request, encoded)


def _build_content_body(
    row: ModelRow, request: Generation, uploaded: Mapping[str, str]
) -> dict[str, Any]:
    params = request.params
    pictures = [_build_file_part(item, uploaded.get(str(item.path))) for item in request.inputs]
    speaks = request.capability is Capability.SPEECH
    text = write_spoken_text(params) if speaks else params.get("prompt") or ""
    parts = [{"text": text}, *pictures]
    body: dict[str, Any] = {"contents": [{"role": "user", "parts": parts}]}
    if params.get("instructions") and not speaks:
        body["systemInstruction"] = {"parts": [{"text": params["instructions"]}]}

    config: dict[str, Any] = payloads.rename_fields(params, row.fields, row.ranges)
    config |= payloads.fold_seed(params, MAX_SEED)
    if speaks:
        config |= build_speech_config(row, params)
    if request.capability is Capability.IMAGE:
        config["responseModalities"] = ["TEXT", "IMAGE"]
        config["imageConfig"] = _build_image_config(row, params)
    elif params.get("schema"):
        config["responseMimeType"] = "application/json"
        config["responseSchema"] = payloads.convert_to_openapi_schema(params["schema"])
    return body | {"generationConfig": config} | payloads.get_provider_options(row, params)


def _build_file_part(item: Input, uri: str | None) -> dict[str, Any]:
    if uri is not None:
        return {"fileData": {"mimeType": item.content_type, "fileUri": uri}}
    return {"inlineData": {"mimeType": item.content_type, "data": payloads.encode_base64(item)}}


def _build_image_config(row: ModelRow, params: Mapping[str, Any]) -> dict[str, str]:
    ratio = choose_ratio(params, row.ratios)
    size = payloads.choose_size_name(row, params, 1024)
    return {"imageSize": size} | ({"aspectRatio": ratio} if ratio else {})


def _build_video_body(row: ModelRow, request: Generation) -> dict[str, Any]:
    params = request.params
    instance: dict[str, Any] = {"prompt": params.get("prompt") or ""}
    instance |= zip(("image", "lastFrame"), map(_encode_frame, request.inputs), strict=False)

    parameters = payloads.rename_fields(params, row.fields, row.ranges)
    parameters |= payloads.fold_seed(params, MAX_VIDEO_SEED)
    parameters["durationSeconds"] = row.find_seconds(params.get("duration") or 8)
    parameters["aspectRatio"] = choose_ratio(params, row.ratios) or row.ratios[0]
    if params.get("height") and params.get("width"):
        shorter = min(params["width"], params["height"])
        parameters["resolution"] = "1080p" if shorter > 720 else "720p"
    parameters |= payloads.get_provider_options(row, params)
    return {"instances": [instance], "parameters": parameters}


def _encode_frame(item: Input) -> dict[str, str]:
    return {"bytesBase64Encoded": payloads.encode_base64(item), "mimeType": item.content_type}
