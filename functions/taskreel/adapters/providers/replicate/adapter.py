"""Replicate: any model, official ones by name, others by version.

Source: replicate 1.0.7's captures, its OpenAPI. The table's models get our parameters under their
own names; any other gets the prompt, the seed and `providerOptions`. Files up to 256 kB go inline,
larger ones by address, or through Replicate's own files where no service can reach ours. Replicate
removes results after an hour.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
    no_output_error,
    operation_failed_error,
)
from taskreel.adapters.providers.provider_webhooks import WebhookTarget, choose_poll_after
from taskreel.domain.errors import PermanentError
from taskreel.ports import Capability, Done, Generation, Input, Pending

POLL_AFTER = timedelta(seconds=3)
MAX_INLINE_BYTES = 190_000  # 256 kB as base64
#: Replicate itself stops a run after this time, so that an abandoned one costs no more.
CANCEL_AFTER = {Capability.VIDEO: "1800s"}
#: Parts of the errors of models whose own moderation rejected a request.
MODERATION_TEXTS = ("nsfw", "sensitive", "moderat", "safety", "content policy")


class Replicate:
    """The Replicate API."""

    name = "replicate"

    def __init__(
        self,
        key: str,
        *,
        base_url: str = "https://api.replicate.com",
        transport: httpx.AsyncBaseTransport | None = None,
        webhook: WebhookTarget | None = None,
    ) -> None:
        self._client = ProviderClient(
            self.name,
            base_url=base_url,
            hosts=("api.replicate.com",),
            headers={"authorization": f"Bearer {key}"},
            transport=transport,
        )
        self._webhook = webhook
        self._poll_after = choose_poll_after(webhook, POLL_AFTER)

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Pending:
        row = find_row_for(self.name, request)
        name, _, version = row.path.partition(":")
        path = "/v1/predictions" if version else f"/v1/models/{name}/predictions"
        files = [await self._link(item) for item in request.inputs]
        body: dict[str, Any] = {"input": _build_input(row, request, files)}
        if version:
            body["version"] = version
        if self._webhook:  # Replicate takes no idempotency key; here it names the unit
            body["webhook"] = self._webhook.build_url(idempotency_key)
            body["webhook_events_filter"] = ["completed"]

        reply = await self._client.request_json(
            "POST",
            path,
            creates=row.name,
            json=body,
            headers={"cancel-after": CANCEL_AFTER.get(request.capability, "600s")},
        )
        id_ = self._client.require_text(reply, "id", row.name)
        urls = reply.get("urls")
        return Pending(
            operation={"id": id_, "urls": urls if isinstance(urls, dict) else {}},
            poll_after=self._poll_after,
        )

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        url = operation["urls"].get("get") or f"/v1/predictions/{operation['id']}"
        reply = await self._client.request_json("GET", url)
        with self._client.parsing_reply():
            match reply.get("status"):
                case "succeeded":
                    return self._build_result(reply, request)
                case "failed":
                    raise self._build_error(str(reply.get("error") or ""))
                case "canceled" | "aborted" as status:
                    raise PermanentError(
                        f"the prediction was {status} at replicate", code="provider_cancelled"
                    )
                case _:
                    return Pending(operation=operation, poll_after=self._poll_after)

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        url = operation["urls"].get("cancel") or f"/v1/predictions/{operation['id']}/cancel"
        await self._client.send("POST", url, accepts=(404, 409, 422))

    async def close(self) -> None:
        await self._client.close()

    async def _link(self, item: Input) -> str:
        """The address or the data of a file to start from; uploaded where it must be."""
        if not payloads.needs_upload(item, MAX_INLINE_BYTES):
            return payloads.build_data_uri(item, MAX_INLINE_BYTES)
        # Free, and repeated with the next attempt: Replicate removes its files after a day.
        part = payloads.build_form_part(item)
        reply = await self._client.request_json("POST", "/v1/files", files={"content": part})
        with self._client.parsing_reply():
            return str(reply["urls"]["get"])

    def _build_result(self, reply: Mapping[str, Any], request: Generation) -> Done:
        if reply.get("data_removed"):
            raise PermanentError(
                "replicate removed the result, which it stores for one hour", code="result_expired"
            )
        texts = [*_collect_texts(reply.get("output"))]
        if request.capability is Capability.TEXT and texts:
            return Done(data=payloads.parse_text_result(self.name, "".join(texts), request))
        urls = [text for text in texts if text.startswith(("https://", "http://"))]
        if not urls:
            raise no_output_error(self.name)
        return Done(outputs=tuple(payloads.link_output(url) for url in urls))

    def _build_error(self, reason: str) -> Exception:
        if any(text in reason.lower() for text in MODERATION_TEXTS):
            return moderation_error(self.name)
        return operation_failed_error(self.name, reason)


def _build_input(row: ModelRow, request: Generation, files: Sequence[str]) -> dict[str, Any]:
    body = build_model_body(row, request, files)
    if files and not row.input_fields:
        body["image"] = files[0]
    if body.get("output_format") == "jpeg":
        body["output_format"] = "jpg"
    return body | payloads.get_provider_options(row, request.params)


def _collect_texts(output: Any) -> Iterator[str]:
    """Every text in a result, whose shape differs by model: one, a list, an object."""
    if isinstance(output, str):
        yield output
    elif isinstance(output, list | tuple):
        for item in output:
            yield from _collect_texts(item)
    elif isinstance(output, dict):
        for item in output.values():
            yield from _collect_texts(item)
