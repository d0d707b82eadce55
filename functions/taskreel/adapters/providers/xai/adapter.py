"""xAI: pictures, speech and texts, which come in the answer, and clips, which are polled.

Source: docs.x.ai, and the requests of the AI SDK's package for xAI. Input files go inline. A
rejected result comes with status 200 and `respect_moderation: false`. The cost is in the answer, in
ticks. xAI takes no idempotency key, and cannot stop a clip.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx

from taskreel.adapters.providers import chat_completions, payloads
from taskreel.adapters.providers.model_body import build_model_body
from taskreel.adapters.providers.model_limits import find_row_for
from taskreel.adapters.providers.model_row import ModelRow
from taskreel.adapters.providers.provider_client import ProviderClient
from taskreel.adapters.providers.provider_errors import (
    moderation_error,
    no_output_error,
    operation_failed_error,
)
from taskreel.ports import Capability, Done, Generation, Pending

POLL_AFTER = timedelta(seconds=5)
TICKS_A_DOLLAR = 1e10


class XAI:
    """The xAI API."""

    name = "xai"

    def __init__(
        self,
        key: str,
        *,
        base_url: str = "https://api.x.ai/v1",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._client = ProviderClient(
            self.name,
            base_url=base_url,
            hosts=("api.x.ai",),
            headers={"authorization": f"Bearer {key}"},
            transport=transport,
            # A long text comes in the answer only.
            read_seconds=300.0,
        )

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Done | Pending:
        """Make pictures, speech or a text, or begin a clip."""
        del idempotency_key  # the API has none
        row = find_row_for(self.name, request)
        match request.capability:
            case Capability.TEXT:
                return await self._write_text(row, request)
            case Capability.SPEECH:
                return await self._make_speech(row, request)
            case Capability.VIDEO:
                return await self._start_clip(row, request)
            case _:
                return await self._make_pictures(row, request)

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        """Read the state of a clip."""
        del request  # the operation has all that is needed
        reply = await self._client.request_json("GET", f"/videos/{operation['id']}")
        with self._client.parsing_reply():
            match reply.get("status"):
                case "done":
                    return self._read_clip(reply)
                case "failed" | "expired" as status:
                    error = reply.get("error") or {}
                    code = str(error.get("code") or status)
                    if "moderation" in code or "content" in code:
                        raise moderation_error(self.name, failure=code)
                    reason = error.get("message") or status
                    raise operation_failed_error(self.name, reason, failure=code)
                case _:
                    return Pending(
                        operation=operation,
                        poll_after=POLL_AFTER,
                        progress=payloads.parse_progress(reply.get("progress"), 100),
                    )

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        """Do nothing: xAI cannot stop a clip, which runs on without being read."""

    async def close(self) -> None:
        await self._client.close()

    async def _write_text(self, row: ModelRow, request: Generation) -> Done:
        body = chat_completions.build_body(row, request)
        body |= payloads.get_provider_options(row, request.params)
        reply = await self._client.request_json(
            "POST", "/chat/completions", creates=row.path, json=body
        )
        with self._client.parsing_reply(row.path):
            return chat_completions.read_answer(row, reply, request, _read_cost(reply))

    async def _make_speech(self, row: ModelRow, request: Generation) -> Done:
        body = build_model_body(row, request, ())
        body |= payloads.get_provider_options(row, request.params)
        answer = await self._client.send("POST", "/tts", creates=row.path, json=body)
        output = await payloads.save_answer(self.name, request, answer)
        return Done(outputs=(output,))

    async def _make_pictures(self, row: ModelRow, request: Generation) -> Done:
        path, body = "/images/generations", _build_body(row, request)
        # One picture and several have fields of their own.
        files = [{"url": url, "type": "image_url"} for url in _inline_files(request)]
        if files:
            path = "/images/edits"
            body |= {"image": files[0]} if len(files) == 1 else {"images": files}
        body["response_format"] = "b64_json"
        body |= payloads.get_provider_options(row, request.params)
        reply = await self._client.request_json("POST", path, creates=row.path, json=body)
        with self._client.parsing_reply(row.path):
            items = reply.get("data") or ()
            rejected = [item for item in items if item.get("respect_moderation") is False]
            pictures = [
                item["b64_json"] for item in items if item not in rejected and item.get("b64_json")
            ]
            outputs = await payloads.save_base64_outputs(request, pictures)
        if not outputs:
            raise moderation_error(self.name) if rejected else no_output_error(self.name)
        # The others are paid for: one that is rejected does not cost them too.
        said = f"xai rejected {len(rejected)} of {len(items)} pictures; the others are here"
        data = {"note": said} if rejected else None
        return Done(outputs=outputs, data=data, cost_usd=_read_cost(reply))

    async def _start_clip(self, row: ModelRow, request: Generation) -> Pending:
        body = _build_body(row, request)
        for url in _inline_files(request):
            body["image"] = {"url": url}
        body |= payloads.get_provider_options(row, request.params)
        reply = await self._client.request_json(
            "POST", "/videos/generations", creates=row.path, json=body
        )
        id_ = self._client.require_text(reply, "request_id", row.path)
        return Pending(operation={"id": id_}, poll_after=POLL_AFTER)

    def _read_clip(self, reply: Mapping[str, Any]) -> Done:
        video = reply.get("video") or {}
        if video.get("respect_moderation") is False:
            raise moderation_error(self.name)
        if not video.get("url"):
            raise no_output_error(self.name)
        return Done(outputs=(payloads.link_output(video["url"]),), cost_usd=_read_cost(reply))


def _build_body(row: ModelRow, request: Generation) -> dict[str, Any]:
    return {"model": row.path, **build_model_body(row, request, ())}


def _inline_files(request: Generation) -> list[str]:
    return [payloads.build_data_uri(item, payloads.MAX_INPUT_BYTES) for item in request.inputs]


def _read_cost(reply: Mapping[str, Any]) -> float | None:
    ticks = (reply.get("usage") or {}).get("cost_in_usd_ticks")
    return payloads.parse_cost(ticks, TICKS_A_DOLLAR)
