"""Replicate: any model, official ones by name, others by version. Source: replicate 1.0.7's captures, its OpenAPI.

The table's models get our parameters under their names; any other gets the prompt, the seed and `providerOptions`.
Files up to 256 kB go inline, larger ones by address. Replicate removes results after an hour.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx

from taskreel.adapters.providers import models, payloads
from taskreel.adapters.providers.http import Http, failed, moderated, no_output
from taskreel.adapters.providers.model_table import ModelRow
from taskreel.adapters.providers.webhooks import Webhook, operation_id, verify_standard
from taskreel.domain.errors import PermanentError
from taskreel.ports import Capability, Done, Generation, Pending

POLL_AFTER = timedelta(seconds=3)
INLINE_BYTES = 190_000  # 256 kB as base64
#: Replicate stops the run itself after this long, so that what nobody asks about any more costs no more.
CANCEL_AFTER = {Capability.VIDEO: "1800s"}
#: The field for the picture to start from, where it is not `image`.
PICTURE = {
    "black-forest-labs/flux-1.1-pro": "image_prompt",
    "black-forest-labs/flux-kontext-pro": "input_image",
}
OBJECTIONS = ("nsfw", "sensitive", "moderat", "safety", "content policy")


class Replicate:
    """The Replicate API."""

    name = "replicate"

    def __init__(
        self,
        key: str,
        *,
        base_url: str = "https://api.replicate.com",
        transport: httpx.AsyncBaseTransport | None = None,
        webhook: Webhook | None = None,
    ) -> None:
        headers = {"authorization": f"Bearer {key}"}
        self._http = Http(
            self.name,
            base_url=base_url,
            hosts=("api.replicate.com",),
            headers=headers,
            transport=transport,
        )
        self._webhook = webhook

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Pending:
        """Buy one prediction."""
        row = models.requested(self.name, request)
        name, _, version = row.path.partition(":")
        path = "/v1/predictions" if version else f"/v1/models/{name}/predictions"
        body: dict[str, Any] = ({"version": version} if version else {}) | {
            "input": _input(row, request)
        }
        if hook := self._webhook:  # Replicate takes no idempotency key; it names the unit here
            body |= {"webhook": hook.of(idempotency_key), "webhook_events_filter": ["completed"]}
        limit = {"cancel-after": CANCEL_AFTER.get(request.capability, "600s")}
        reply = await self._http.call("POST", path, creates=row.name, json=body, headers=limit)
        id_ = self._http.accepted(reply, "id", row.name)
        urls = reply.get("urls")
        return Pending(
            operation={"id": id_, "urls": urls if isinstance(urls, dict) else {}},
            poll_after=POLL_AFTER,
        )

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        """How the prediction is now."""
        url = operation["urls"].get("get") or f"/v1/predictions/{operation['id']}"
        reply = await self._http.call("GET", url)
        with self._http.reading():
            match reply.get("status"):
                case "succeeded":
                    return self._done(reply, request)
                case "failed":
                    raise self._failure(str(reply.get("error") or ""))
                case "canceled" | "aborted" as status:
                    raise PermanentError(
                        f"the prediction was {status} at replicate", code="provider_cancelled"
                    )
                case _:
                    return Pending(operation=operation, poll_after=POLL_AFTER)

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        """Stop the prediction."""
        url = operation["urls"].get("cancel") or f"/v1/predictions/{operation['id']}/cancel"
        await self._http.send("POST", url, fine=(404, 409, 422))

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close()

    def _done(self, reply: Mapping[str, Any], request: Generation) -> Done:
        if reply.get("data_removed"):
            raise PermanentError(
                "replicate has removed the result, an hour after it was made", code="result_expired"
            )
        found = [*_strings(reply.get("output"))]
        if request.capability is Capability.TEXT and found:
            return Done(data=payloads.structured(self.name, "".join(found), request))
        outputs = tuple(
            payloads.linked(text) for text in found if text.startswith(("https://", "http://"))
        )
        if not outputs:
            raise no_output(self.name)
        return Done(outputs=outputs)

    def _failure(self, said: str) -> Exception:
        if any(word in said.lower() for word in OBJECTIONS):
            return moderated(self.name)
        return failed(self.name, said)


def verify_webhook(headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> str:
    """The prediction's id, when a Standard Webhooks signature holds; it may come twice."""
    verify_standard(headers, body, secret, now)
    return operation_id(body, "id")


def _input(row: ModelRow, request: Generation) -> dict[str, Any]:
    body = payloads.picked(request.params, row.fields)
    if body.get("output_format") == "jpeg":
        body["output_format"] = "jpg"
    if row.ratios and (shape := payloads.nearest_ratio(request.params, row.ratios)):
        body["aspect_ratio"] = shape
    if request.inputs:
        body[PICTURE.get(row.path, "image")] = payloads.data_uri(request.inputs[0], INLINE_BYTES)
    return body | payloads.options(request.params)


def _strings(output: Any) -> Iterator[str]:
    """Every text in a result, whose shape is the model's own: one, a list, an object."""
    if isinstance(output, str):
        yield output
    elif isinstance(output, list | tuple):
        for item in output:
            yield from _strings(item)
    elif isinstance(output, dict):
        for item in output.values():
            yield from _strings(item)
