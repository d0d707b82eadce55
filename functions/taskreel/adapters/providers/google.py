"""Google: Gemini pictures and text, and Veo video. Source: google-genai 3.4's captures, docs.cloud.google.com.

Two ways in. A Developer API key with the default base URL; or Vertex (now Gemini Enterprise Agent Platform), when the
base URL names a project: `https://us-central1-aiplatform.googleapis.com/v1beta1/projects/p/locations/us-central1`.
There the key is a bearer token, or a function that returns a fresh one. A shape becomes the nearest ratio, a size 1K,
2K or 4K, a duration 4, 6 or 8 s; frame rates are Veo's own. Two pictures are a clip's first and last frame. No cancel,
no idempotency key.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

import httpx

from taskreel.adapters.providers import models, payloads
from taskreel.adapters.providers.http import Http, failed, moderated, no_output
from taskreel.adapters.providers.model_table import ModelRow
from taskreel.domain.errors import PermanentError
from taskreel.ports import Capability, Done, Generation, Input, Output, Pending

POLL_AFTER = timedelta(seconds=10)
MOST_SEED, MOST_VIDEO_SEED = 2**31 - 1, 2**32 - 1  # int32; uint32
BLOCKED = frozenset(
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
        self._http = Http(
            self.name,
            base_url=base_url,
            hosts=("generativelanguage.googleapis.com",),
            headers={},
            transport=transport,
            read_seconds=180.0,
        )

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Done | Pending:
        """Buy a picture or a text, or begin a video."""
        del idempotency_key  # Google takes none
        row = models.requested(self.name, request)
        if request.capability is Capability.VIDEO:
            reply = await self._call(
                row.path, "predictLongRunning", _video_body(row, request), creates=row.path
            )
            operation = {"name": self._http.accepted(reply, "name", row.path), "model": row.path}
            return Pending(operation=operation, poll_after=POLL_AFTER)
        reply = await self._call(
            row.path, "generateContent", _content_body(row, request), creates=row.path
        )
        with self._http.reading(row.path):
            return await self._content(row, reply, request)

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        """How a video is now."""
        if self._vertex:
            asked = {"operationName": operation["name"]}
            reply = await self._call(operation["model"], "fetchPredictOperation", asked)
        else:
            reply = await self._http.call(
                "GET", f"/{operation['name']}", headers=await self._auth()
            )
        if not reply.get("done"):
            return Pending(operation=operation, poll_after=POLL_AFTER)
        with self._http.reading():
            if error := reply.get("error"):
                raise failed(self.name, error.get("message"))
            response = reply.get("response") or {}
            return Done(
                outputs=await self._videos(
                    response.get("generateVideoResponse") or response, request
                )
            )

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        """Google cannot stop a video; it runs on, unread."""

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close()

    async def _auth(self) -> dict[str, str]:
        key = self._key if isinstance(self._key, str) else await self._key()
        return {"authorization": f"Bearer {key}"} if self._vertex else {"x-goog-api-key": key}

    async def _call(
        self, model: str, verb: str, body: dict[str, Any], creates: str | None = None
    ) -> dict[str, Any]:
        path = (
            f"/publishers/google/models/{model}:{verb}"
            if self._vertex
            else f"/models/{model}:{verb}"
        )
        return await self._http.call(
            "POST", path, creates=creates, json=body, headers=await self._auth()
        )

    async def _content(self, row: ModelRow, reply: Mapping[str, Any], request: Generation) -> Done:
        candidate = (reply.get("candidates") or [{}])[0]
        if (reply.get("promptFeedback") or {}).get("blockReason") or candidate.get(
            "finishReason"
        ) in BLOCKED:
            raise moderated(self.name)
        if candidate.get("finishReason") == "MAX_TOKENS":
            raise PermanentError(
                "google's text was cut off at its length limit", code="output_truncated"
            )
        parts = (candidate.get("content") or {}).get("parts") or ()
        if request.capability is Capability.TEXT:
            usage = reply.get("usageMetadata") or {}
            text = "".join(part.get("text", "") for part in parts if not part.get("thought"))
            cost = models.token_cost(
                row, usage.get("promptTokenCount"), usage.get("candidatesTokenCount")
            )
            return Done(data=payloads.structured(self.name, text, request), cost_usd=cost)
        pictures = [
            part["inlineData"]["data"]
            for part in parts
            if "inlineData" in part and not part.get("thought")
        ]
        if not pictures:
            raise no_output(self.name)
        return Done(outputs=await payloads.kept_all(request, pictures))

    async def _videos(self, response: Mapping[str, Any], request: Generation) -> tuple[Output, ...]:
        samples = response.get("videos") or [
            sample["video"] for sample in response.get("generatedSamples") or ()
        ]
        if not samples:
            raise (
                moderated(self.name)
                if response.get("raiMediaFilteredCount")
                else no_output(self.name)
            )
        if "bytesBase64Encoded" in samples[0]:
            return await payloads.kept_all(
                request, [sample["bytesBase64Encoded"] for sample in samples]
            )
        # The Developer API's files open with the key only, so nobody but this adapter can copy them.
        answers = [
            await self._http.send("GET", sample["uri"], headers=await self._auth())
            for sample in samples
        ]
        return tuple(
            [await payloads.kept(request, answer.content, n) for n, answer in enumerate(answers, 1)]
        )


def _content_body(row: ModelRow, request: Generation) -> dict[str, Any]:
    params = request.params
    parts = [
        {"inlineData": {"mimeType": item.content_type, "data": payloads.inline(item)}}
        for item in request.inputs
    ]
    body: dict[str, Any] = {
        "contents": [{"role": "user", "parts": [{"text": params.get("prompt") or ""}, *parts]}]
    }
    if params.get("instructions"):
        body["systemInstruction"] = {"parts": [{"text": params["instructions"]}]}
    config: dict[str, Any] = payloads.picked(params, row.fields) | payloads.seed(params, MOST_SEED)
    if request.capability is Capability.IMAGE:
        config |= {
            "responseModalities": ["TEXT", "IMAGE"],
            "imageConfig": _image_config(row, params),
        }
    elif params.get("schema"):
        config |= {
            "responseMimeType": "application/json",
            "responseSchema": payloads.open_api_schema(params["schema"]),
        }
    return body | {"generationConfig": config} | payloads.options(params)


def _image_config(row: ModelRow, params: Mapping[str, Any]) -> dict[str, str]:
    ratio = payloads.nearest_ratio(params, row.ratios)
    longest = max(params.get("width") or 1024, params.get("height") or 1024)
    size = "1K" if longest <= 1440 else "2K" if longest <= 2880 else "4K"
    return {"imageSize": size} | ({"aspectRatio": ratio} if ratio else {})


def _video_body(row: ModelRow, request: Generation) -> dict[str, Any]:
    params = request.params
    instance = {"prompt": params.get("prompt") or ""}
    frames = dict(zip(("image", "lastFrame"), map(_frame, request.inputs), strict=False))
    asked = payloads.picked(params, row.fields)
    asked |= payloads.seed(params, MOST_VIDEO_SEED)
    asked["durationSeconds"] = payloads.nearest(params.get("duration") or 8, row.durations)
    asked["aspectRatio"] = payloads.nearest_ratio(params, row.ratios) or row.ratios[0]
    if params.get("height") and params.get("width"):
        asked["resolution"] = "1080p" if min(params["width"], params["height"]) > 720 else "720p"
    return {"instances": [instance | frames], "parameters": asked | payloads.options(params)}


def _frame(item: Input) -> dict[str, str]:
    return {"bytesBase64Encoded": payloads.inline(item), "mimeType": item.content_type}
