"""fal: any model, through its queue. Source: fal-client 1.0.3's captures, fal.ai/docs.

The table's models get our parameters under their names; any other gets the prompt, the seed and `providerOptions`. A
size is snapped to multiples of 8. COMPLETED is not success: the error stands beside it, or is the result's own status.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from taskreel.adapters.providers import models, payloads
from taskreel.adapters.providers.http import MODERATION, Http, failed, moderated, no_output
from taskreel.adapters.providers.model_table import ModelRow
from taskreel.adapters.providers.webhooks import Webhook, check_time, header, operation_id, refuse
from taskreel.ports import Capability, Done, Generation, Pending

POLL_AFTER = timedelta(seconds=3)
INLINE_BYTES = 5_000_000
#: Where models put their files: a list, or one.
PLACES = ("images", "image", "video", "audio", "audio_file")


class Fal:
    """The fal queue API."""

    name = "fal"

    def __init__(
        self,
        key: str,
        *,
        base_url: str = "https://queue.fal.run",
        transport: httpx.AsyncBaseTransport | None = None,
        webhook: Webhook | None = None,
    ) -> None:
        headers = {"authorization": f"Key {key}"}
        self._http = Http(
            self.name,
            base_url=base_url,
            hosts=("queue.fal.run",),
            headers=headers,
            transport=transport,
        )
        self._webhook = webhook

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Pending:
        """Put one request on the queue."""
        row = models.requested(self.name, request)
        body = _body(row, request)
        # fal takes no idempotency key; it names the unit here
        hook = {"fal_webhook": self._webhook.of(idempotency_key)} if self._webhook else None
        reply = await self._http.call(
            "POST", f"/{row.path}", creates=row.name, json=body, params=hook
        )
        # The addresses it returns are shorter than the model's; they cannot be built here.
        named = ("request_id", "status_url", "response_url", "cancel_url")
        operation = {name: self._http.accepted(reply, name, row.name) for name in named}
        return Pending(operation=operation, poll_after=POLL_AFTER)

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        """How it is now, and the result when there is one."""
        status = await self._http.call("GET", operation["status_url"], params={"logs": "0"})
        if status.get("status") != "COMPLETED":
            return Pending(operation=operation, poll_after=POLL_AFTER)
        if status.get("error"):
            raise self._failure(str(status["error"]), str(status.get("error_type") or ""))
        result = await self._http.call("GET", operation["response_url"])
        with self._http.reading():
            if request.capability is Capability.TEXT:
                return Done(
                    data=payloads.structured(self.name, str(result.get("output") or ""), request)
                )
            flagged = result.get("has_nsfw_concepts") or ()
            if flagged and all(flagged):  # the pictures come all the same, black
                raise moderated(self.name)
            found = (item.get("url") for place in PLACES for item in _listed(result.get(place)))
            outputs = tuple(payloads.linked(url) for url in found if url)
            if not outputs:
                raise no_output(self.name)
            return Done(outputs=outputs)

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        """Take it off the queue, or ask its runner to stop."""
        await self._http.send("PUT", operation["cancel_url"], fine=(400, 404))

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close()

    def _failure(self, said: str, kind: str) -> Exception:
        if kind in MODERATION or "content policy" in said.lower():
            return moderated(self.name)
        return failed(self.name, said, failure=kind)


def verify_webhook(headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> str:
    """The request's id, when its Ed25519 signature is by one of fal's keys.

    `secret` is the text of `https://rest.fal.ai/.well-known/jwks.json`; it may be cached for a day.
    """
    id_, user, seconds = (
        header(headers, f"x-fal-webhook-{name}") for name in ("request-id", "user-id", "timestamp")
    )
    check_time(seconds, now)
    signed = "\n".join([id_, user, seconds, hashlib.sha256(body).hexdigest()]).encode()
    try:
        signature = bytes.fromhex(header(headers, "x-fal-webhook-signature"))
    except ValueError as error:
        raise refuse("its signature is not hexadecimal") from error
    if not any(_signed_by(key, signature, signed) for key in json.loads(secret)["keys"]):
        raise refuse("its signature does not match")
    return operation_id(body, "request_id")


def _signed_by(key: Mapping[str, str], signature: bytes, signed: bytes) -> bool:
    try:
        public = base64.urlsafe_b64decode(key["x"] + "=" * (-len(key["x"]) % 4))
        Ed25519PublicKey.from_public_bytes(public).verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def _body(row: ModelRow, request: Generation) -> dict[str, Any]:
    params = request.params
    body = payloads.picked(params, row.fields)
    if row.ratios and (shape := payloads.nearest_ratio(params, row.ratios)):
        body["aspect_ratio"] = shape
    elif "width" in row.options:
        size = payloads.size(params, multiple=8, least=64, most=4096, max_pixels=2**24)
        body |= {"image_size": {"width": size[0], "height": size[1]}} if size else {}
    if request.inputs:
        body["image_url"] = payloads.data_uri(request.inputs[0], INLINE_BYTES)
    return body | payloads.options(params)


def _listed(value: Any) -> list[dict[str, Any]]:
    return [
        item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)
    ]
