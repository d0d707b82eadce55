"""Black Forest Labs: FLUX pictures, one a request. Source: BFL's OpenAPI and integration guide (docs.bfl.ai).

`flux-pro-1.1` and FLUX.2 take a size, snapped to their multiple of 32 or 16; ultra and kontext take the nearest ratio.
There is no cancel, and no idempotency key.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx

from taskreel.adapters.providers import models, payloads
from taskreel.adapters.providers.http import Http, failed, moderated, no_output
from taskreel.adapters.providers.model_table import ModelRow
from taskreel.adapters.providers.webhooks import Webhook, header, operation_id, refuse
from taskreel.domain.errors import PermanentError
from taskreel.ports import Done, Generation, Pending

POLL_AFTER = timedelta(seconds=2)


class BlackForestLabs:
    """The FLUX API."""

    name = "bfl"

    def __init__(
        self,
        key: str,
        *,
        base_url: str = "https://api.bfl.ai",
        transport: httpx.AsyncBaseTransport | None = None,
        webhook: Webhook | None = None,
    ) -> None:
        self._http = Http(
            self.name,
            base_url=base_url,
            hosts=("bfl.ai",),
            headers={"x-key": key},
            transport=transport,
        )
        self._webhook = webhook

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Pending:
        """Buy one picture."""
        row = models.requested(self.name, request)
        body = {**_body(row, request), **payloads.options(request.params)}
        if hook := self._webhook:  # BFL takes no idempotency key; it names the unit here
            body |= {"webhook_url": hook.of(idempotency_key), "webhook_secret": hook.secret}
        reply = await self._http.call("POST", f"/v1/{row.path}", creates=row.path, json=body)
        id_ = self._http.accepted(reply, "id", row.path)
        # With a webhook there is no polling_url; with one, the regional host it names must be used.
        url = reply.get("polling_url") or f"/v1/get_result?id={id_}"
        return Pending(
            operation={"id": id_, "url": url, "credits": reply.get("cost")}, poll_after=POLL_AFTER
        )

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        """How it is now; the result's address holds for ten minutes."""
        del request  # the operation says it all
        reply = await self._http.call("GET", operation["url"])
        with self._http.reading():
            match reply.get("status"):
                case "Ready":
                    return self._done(operation, reply)
                case "Request Moderated" | "Content Moderated" as status:
                    raise moderated(self.name, stage=status.split()[0].lower())
                case "Task not found":
                    raise PermanentError(
                        "bfl does not know the operation (any more)", code="operation_unknown"
                    )
                case "Error":
                    raise failed(self.name, reply.get("details"))
                case _:  # Pending, and the words that new models bring
                    return Pending(
                        operation=operation,
                        poll_after=POLL_AFTER,
                        progress=payloads.fraction(reply.get("progress")),
                    )

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        """BFL cannot stop a task; it runs on, unread."""

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close()

    def _done(self, operation: Mapping[str, Any], reply: Mapping[str, Any]) -> Done:
        url = (reply.get("result") or {}).get("sample")
        if not url:
            raise no_output(self.name)
        credits_ = operation.get("credits")
        return Done(
            outputs=(payloads.linked(url),),
            cost_usd=credits_ / 100 if isinstance(credits_, int | float) else None,
        )


def verify_webhook(headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> str:
    """The task's id, when `X-BFL-Signature` (`sha256=` + hex HMAC of the body) holds. It carries no time.

    The header is from BFL's published agent skills, not from its specification.
    """
    del now
    expected = "sha256=" + hmac.digest(secret.encode(), body, hashlib.sha256).hex()
    if not hmac.compare_digest(header(headers, "x-bfl-signature").encode(), expected.encode()):
        raise refuse("its signature does not match")
    return operation_id(body, "id")


def _body(row: ModelRow, request: Generation) -> dict[str, Any]:
    return (
        payloads.picked(request.params, row.fields) | _shape(row, request) | _pictures(row, request)
    )


def _shape(row: ModelRow, request: Generation) -> dict[str, Any]:
    if row.ratios:
        wanted = payloads.nearest_ratio(request.params, row.ratios)
        return {"aspect_ratio": wanted} if wanted else {}
    multiple, least, most = (32, 256, 1440) if row.path == "flux-pro-1.1" else (16, 64, 4096)
    pixels = row.max_pixels or 2**22
    size = payloads.size(
        request.params, multiple=multiple, least=least, most=most, max_pixels=pixels
    )
    return {"width": size[0], "height": size[1]} if size else {}


def _pictures(row: ModelRow, request: Generation) -> dict[str, Any]:
    if row.path.startswith("flux-pro-1.1"):
        return {"image_prompt": payloads.inline(request.inputs[0])} if request.inputs else {}
    names = ["input_image", *(f"input_image_{n}" for n in range(2, 9))]
    return {name: payloads.inline(item) for name, item in zip(names, request.inputs, strict=False)}
