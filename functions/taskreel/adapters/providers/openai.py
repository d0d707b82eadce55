"""OpenAI: pictures and speech, which come in the answer, and text, which runs in the background.

Source: the openai 2.54 types and captures, openai/openai-openapi. A size is snapped to multiples of 16. Pictures to
start from go to the edit path. Text is structured when a schema is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

import httpx

from taskreel.adapters.providers import models, payloads
from taskreel.adapters.providers.http import Http, failed, moderated, no_output
from taskreel.adapters.providers.model_table import ModelRow
from taskreel.adapters.providers.webhooks import operation_id, verify_standard
from taskreel.domain.errors import PermanentError
from taskreel.ports import Capability, Done, Generation, Pending

POLL_AFTER = timedelta(seconds=3)


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
        self._http = Http(
            self.name,
            base_url=base_url,
            hosts=("api.openai.com",),
            headers={"authorization": f"Bearer {key}"},
            transport=transport,
            read_seconds=300.0,  # a picture in high quality takes minutes, and there is no other way to get it
        )

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Done | Pending:
        """Buy pictures or speech, or begin a text."""
        del idempotency_key  # the specification knows none
        row = models.requested(self.name, request)
        match request.capability:
            case Capability.TEXT:
                reply = await self._http.call(
                    "POST", "/responses", creates=row.path, json=_text_body(row, request)
                )
                self._http.accepted(reply, "id", row.path)
                with self._http.reading(row.path):
                    return self._text(reply, request)
            case Capability.SPEECH:
                return await self._speech(row, request)
            case _:
                return await self._pictures(row, request)

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        """How a text is now."""
        reply = await self._http.call("GET", f"/responses/{operation['id']}")
        with self._http.reading():
            return self._text(reply, request)

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        """Stop a text."""
        await self._http.send("POST", f"/responses/{operation['id']}/cancel", fine=(400, 404, 409))

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close()

    async def _pictures(self, row: ModelRow, request: Generation) -> Done:
        body = _picture_body(row, request)
        if request.inputs:
            files = [("image[]", payloads.part(item)) for item in request.inputs]
            form = {name: str(value) for name, value in body.items()}
            reply = await self._http.call(
                "POST", "/images/edits", creates=row.path, data=form, files=files
            )
        else:
            reply = await self._http.call(
                "POST", "/images/generations", creates=row.path, json=body
            )
        with self._http.reading(row.path):
            contents = [
                item["b64_json"] for item in reply.get("data") or () if item.get("b64_json")
            ]
            outputs = await payloads.kept_all(request, contents)
            cost = models.picture_cost(reply.get("usage") or {})
        if not outputs:
            raise no_output(self.name)
        return Done(outputs=outputs, cost_usd=cost)

    async def _speech(self, row: ModelRow, request: Generation) -> Done:
        body = {"model": row.path, "voice": request.params.get("voice") or "coral"}
        body |= payloads.picked(request.params, row.fields) | payloads.options(request.params)
        answer = await self._http.send("POST", "/audio/speech", creates=row.path, json=body)
        if not answer.content:
            raise no_output(self.name)
        output = await payloads.kept(request, answer.content)
        return Done(outputs=(output,), cost_usd=models.estimate(row, request.params))

    def _text(self, reply: Mapping[str, Any], request: Generation) -> Done | Pending:
        match reply.get("status"):
            case "completed":
                return self._completed(reply, request)
            case "failed":
                raise failed(self.name, (reply.get("error") or {}).get("message"))
            case "cancelled":
                raise PermanentError("the text was cancelled at openai", code="provider_cancelled")
            case "incomplete":
                if (reply.get("incomplete_details") or {}).get("reason") == "content_filter":
                    raise moderated(self.name)
                raise PermanentError(
                    "openai's text was cut off at its length limit", code="output_truncated"
                )
            case _:
                return Pending(operation={"id": str(reply["id"])}, poll_after=POLL_AFTER)

    def _completed(self, reply: Mapping[str, Any], request: Generation) -> Done:
        parts = [part for item in reply.get("output") or () for part in item.get("content") or ()]
        if any(part.get("type") == "refusal" for part in parts):
            raise moderated(self.name)
        text = "".join(part.get("text", "") for part in parts if part.get("type") == "output_text")
        row = models.find(
            self.name, request.model, Capability.TEXT, date.min
        )  # it may have retired meanwhile
        usage = reply.get("usage") or {}
        cost = models.token_cost(row, usage.get("input_tokens"), usage.get("output_tokens"))
        return Done(data=payloads.structured(self.name, text, request), cost_usd=cost)


def verify_webhook(headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> str:
    """The response's id, when a Standard Webhooks signature holds."""
    verify_standard(headers, body, secret, now)
    return operation_id(body, "data", "id")


def _picture_body(row: ModelRow, request: Generation) -> dict[str, Any]:
    body = {"model": row.path, **payloads.picked(request.params, row.fields)}
    pixels = row.max_pixels or 1536 * 1024
    if size := payloads.size(request.params, multiple=16, least=256, most=3840, max_pixels=pixels):
        body["size"] = f"{size[0]}x{size[1]}"
    return body | payloads.options(request.params)


def _text_body(row: ModelRow, request: Generation) -> dict[str, Any]:
    body = payloads.picked(request.params, row.fields)
    body |= {
        "model": row.path,
        "background": True,
        "store": True,
    }  # what runs in the background must be stored
    if schema := request.params.get("schema"):
        body["text"] = {
            "format": {"type": "json_schema", "name": "result", "strict": True, "schema": schema}
        }
    return body | payloads.options(request.params)
