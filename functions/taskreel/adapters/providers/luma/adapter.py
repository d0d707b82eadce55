"""Luma: pictures (Uni), clips and changed clips (Ray), by the Luma Agents API.

Source: docs.agents.lumalabs.ai, the types of luma-agents 0.5. Every request is polled. Input files
go inline. A picture to start from is edited, further ones are references; two of a clip are its
first and last frame, which a clip of ten seconds takes as key frames. Luma takes no idempotency
key, and cannot stop a generation. Results are at addresses that last an hour; a poll gives new
ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx

from taskreel.adapters.providers import payloads
from taskreel.adapters.providers.model_body import build_model_body
from taskreel.adapters.providers.model_limits import find_row_for
from taskreel.adapters.providers.model_row import ModelRow
from taskreel.adapters.providers.provider_client import ProviderClient
from taskreel.adapters.providers.provider_errors import (
    moderation_error,
    no_credit_error,
    no_output_error,
    operation_failed_error,
    rejected_error,
)
from taskreel.ports import Capability, Done, Generation, Input, Pending

POLL_AFTER = timedelta(seconds=4)
FRAMES_A_SECOND = 24
#: Failures that the same request would meet again.
REFUSED = frozenset({"image_too_large", "unsupported_format", "corrupt_input", "invalid_request"})


class Luma:
    """The Luma Agents API."""

    name = "luma"

    def __init__(
        self,
        key: str,
        *,
        base_url: str = "https://agents.lumalabs.ai/v1",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._client = ProviderClient(
            self.name,
            base_url=base_url,
            hosts=("agents.lumalabs.ai",),
            headers={"authorization": f"Bearer {key}"},
            transport=transport,
        )

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Pending:
        del idempotency_key  # Luma takes none
        row = find_row_for(self.name, request)
        body = _build_body(row, request)
        reply = await self._client.request_json("POST", "/generations", creates=row.path, json=body)
        id_ = self._client.require_text(reply, "id", row.path)
        return Pending(operation={"id": id_}, poll_after=POLL_AFTER)

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        del request  # the operation has all that is needed
        reply = await self._client.request_json("GET", f"/generations/{operation['id']}")
        with self._client.parsing_reply():
            match reply.get("state"):
                case "completed":
                    return self._build_result(reply)
                case "failed":
                    raise self._build_error(reply)
                case _:
                    return Pending(operation=operation, poll_after=POLL_AFTER)

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        """Do nothing: Luma cannot stop a generation, which runs on without being read."""

    async def close(self) -> None:
        await self._client.close()

    def _build_result(self, reply: Mapping[str, Any]) -> Done:
        # Of a clip the EXR file may come along, which is not asked for.
        outputs = tuple(payloads.link_output(item["url"]) for item in reply.get("output") or ())
        if not outputs:
            raise no_output_error(self.name)
        return Done(outputs=outputs)

    def _build_error(self, reply: Mapping[str, Any]) -> Exception:
        code, reason = str(reply.get("failure_code") or ""), reply.get("failure_reason")
        if code == "content_moderated":
            return moderation_error(self.name, failure=code)
        if code == "budget_exhausted":
            return no_credit_error(self.name)
        if code in REFUSED:
            return rejected_error(self.name, reason, failure=code)
        return operation_failed_error(self.name, reason, failure=code)


def _build_body(row: ModelRow, request: Generation) -> dict[str, Any]:
    body = build_model_body(row, request, ())
    files = [_build_file(item) for item in request.inputs]
    if request.capability is Capability.VIDEO:
        # Every clip has a size: what Luma takes without one is not what the request asks for.
        video = {name: body.pop(name) for name in ("duration", "resolution") if name in body}
        body |= {"type": "video", "video": video | _place_frames(files, video.get("duration"))}
    elif request.capability is Capability.VIDEO_EDIT:
        video = {"resolution": body.pop("resolution")}
        body |= {"type": "video_edit", "source": files[0], "video": video}
    elif files:
        body |= {"type": "image_edit", "source": files[0]}
        body |= {"image_ref": files[1:]} if files[1:] else {}
    else:
        body["type"] = "image"
    return {"model": row.path, **body, **payloads.get_provider_options(row, request.params)}


def _place_frames(files: list[dict[str, str]], duration: str | None) -> dict[str, Any]:
    """The first and last frame of a clip: as key frames in ten seconds, which take no others."""
    if duration == "10s" and files:
        ends = (0, 10 * FRAMES_A_SECOND)
        return {"keyframes": files, "keyframe_indexes": list(ends[: len(files)])}
    return dict(zip(("start_frame", "end_frame"), files, strict=False))


def _build_file(item: Input) -> dict[str, str]:
    return {"data": payloads.encode_base64(item), "media_type": item.content_type}
