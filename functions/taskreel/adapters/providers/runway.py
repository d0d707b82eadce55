"""Runway: video from text or a picture, pictures, upscaling, speech. Source: runwayml 5.24's types, Runway's OpenAPI.

A shape becomes the nearest `ratio` of the model, a duration the nearest it can make. Two pictures are a clip's first
and last frame. Files up to 5 MB go inline. A task that waits for a free place (THROTTLED) counts as running.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx

from taskreel.adapters.providers import models, payloads
from taskreel.adapters.providers.http import Http, failed, moderated, no_output, presentable
from taskreel.adapters.providers.model_table import ModelRow
from taskreel.domain.errors import PermanentError
from taskreel.ports import Capability, Done, Generation, Pending

VERSION = "2024-11-06"
POLL_AFTER = timedelta(seconds=6)  # no oftener than every five seconds, says the specification
INLINE_BYTES = 3_700_000  # 5 MB as base64


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
        headers = {"authorization": f"Bearer {key}", "x-runway-version": VERSION}
        self._http = Http(
            self.name,
            base_url=base_url,
            hosts=("api.dev.runwayml.com",),
            headers=headers,
            transport=transport,
        )

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Pending:
        """Buy one task."""
        del idempotency_key  # Runway takes none
        row = models.requested(self.name, request)
        path, body = _asked(row, request)
        body = {"model": row.path, **body, **payloads.options(request.params)}
        reply = await self._http.call("POST", f"/v1/{path}", creates=row.path, json=body)
        return Pending(
            operation={"id": self._http.accepted(reply, "id", row.path)}, poll_after=POLL_AFTER
        )

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        """How it is now; asking again after success gives fresh addresses of the results."""
        del request  # the operation says it all
        reply = await self._http.call("GET", f"/v1/tasks/{operation['id']}")
        with self._http.reading():
            match reply.get("status"):
                case "SUCCEEDED":
                    return self._done(reply)
                case "FAILED":
                    raise self._failure(reply)
                case "CANCELLED":
                    raise PermanentError(
                        "the task was cancelled at runway", code="provider_cancelled"
                    )
                case _:
                    return Pending(
                        operation=operation,
                        poll_after=POLL_AFTER,
                        progress=payloads.fraction(reply.get("progress")),
                    )

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        """Stop and forget the task; what it has used is not refunded."""
        await self._http.send("DELETE", f"/v1/tasks/{operation['id']}", fine=(404,))

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close()

    def _done(self, reply: Mapping[str, Any]) -> Done:
        outputs = tuple(payloads.linked(url) for url in reply.get("output") or ())
        if not outputs:
            raise no_output(self.name)
        credits_ = (reply.get("cost") or {}).get("credits")
        return Done(
            outputs=outputs, cost_usd=credits_ / 100 if isinstance(credits_, int | float) else None
        )

    def _failure(self, reply: Mapping[str, Any]) -> Exception:
        code = str(reply.get("failureCode") or "")
        if code.startswith("SAFETY"):
            return moderated(self.name, failure=code)
        if code.startswith("ASSET"):
            said = presentable(str(reply.get("failure") or "no reason given"))
            return PermanentError(
                f"runway cannot use the given file: {said}", code="provider_rejected", failure=code
            )
        return failed(self.name, reply.get("failure"), failure=code)


def _asked(row: ModelRow, request: Generation) -> tuple[str, dict[str, Any]]:
    """The path that does it, and the fields for it."""
    match request.capability:
        case Capability.VIDEO:
            return _video(row, request)
        case Capability.UPSCALE:
            scale = payloads.nearest(request.params.get("scale"), row.scales)
            body = {"imageUri": _uri(request, 0)}
            return "image_upscale", body | ({"scaleFactor": scale} if scale else {})
        case Capability.SPEECH:
            voice = {"type": "runway-preset", "presetId": request.params.get("voice") or "Maya"}
            return "text_to_speech", payloads.picked(request.params, row.fields) | {"voice": voice}
        case _:
            body = payloads.picked(request.params, row.fields) | _ratio(row, request)
            tags = [
                {"uri": _uri(request, n), "tag": f"image{n + 1}"}
                for n in range(len(request.inputs))
            ]
            return "text_to_image", body | ({"referenceImages": tags} if tags else {})


def _video(row: ModelRow, request: Generation) -> tuple[str, dict[str, Any]]:
    body = payloads.picked(request.params, row.fields) | _ratio(row, request)
    body["duration"] = payloads.nearest(request.params.get("duration") or 5, row.durations)
    if not request.inputs:
        return "text_to_video", body
    frames = [{"uri": _uri(request, n), "position": place} for n, place in _places(request)]
    body["promptImage"] = frames if len(frames) > 1 else frames[0]["uri"]
    return "image_to_video", body


def _places(request: Generation) -> list[tuple[int, str]]:
    return list(enumerate(("first", "last")[: len(request.inputs)]))


def _ratio(row: ModelRow, request: Generation) -> dict[str, Any]:
    return {"ratio": payloads.nearest_ratio(request.params, row.ratios) or row.ratios[0]}


def _uri(request: Generation, index: int) -> str:
    return payloads.data_uri(request.inputs[index], INLINE_BYTES)
