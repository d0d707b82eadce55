"""Black Forest Labs: FLUX pictures, one a request. Source: BFL's OpenAPI and docs.bfl.ai.

`flux-pro-1.1` and FLUX.2 take a size, snapped to their multiple of 32 or 16; ultra and kontext take
the nearest ratio. There is no cancel, and no idempotency key.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx

from taskreel.adapters.providers import payloads
from taskreel.adapters.providers.model_limits import find_row_for
from taskreel.adapters.providers.model_row import ModelRow
from taskreel.adapters.providers.provider_client import ProviderClient
from taskreel.adapters.providers.provider_errors import (
    moderation_error,
    no_output_error,
    operation_failed_error,
)
from taskreel.adapters.providers.provider_webhooks import WebhookTarget, choose_poll_after
from taskreel.adapters.providers.ratios import choose_ratio
from taskreel.domain.errors import PermanentError
from taskreel.ports import Done, Generation, Pending

POLL_AFTER = timedelta(seconds=2)
CREDITS_A_DOLLAR = 100


class BlackForestLabs:
    """The FLUX API."""

    name = "bfl"

    def __init__(
        self,
        key: str,
        *,
        base_url: str = "https://api.bfl.ai",
        transport: httpx.AsyncBaseTransport | None = None,
        webhook: WebhookTarget | None = None,
    ) -> None:
        self._client = ProviderClient(
            self.name,
            base_url=base_url,
            hosts=("bfl.ai",),
            headers={"x-key": key},
            transport=transport,
        )
        self._webhook = webhook
        self._poll_after = choose_poll_after(webhook, POLL_AFTER)

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Pending:
        row = find_row_for(self.name, request)
        body = {**_build_body(row, request), **payloads.get_provider_options(row, request.params)}
        if self._webhook:  # BFL takes no idempotency key; here it names the unit in the address
            body["webhook_url"] = self._webhook.build_url(idempotency_key)
            body["webhook_secret"] = self._webhook.secret

        reply = await self._client.request_json(
            "POST", f"/v1/{row.path}", creates=row.path, json=body
        )
        id_ = self._client.require_text(reply, "id", row.path)
        # A reply to a request without a webhook names the regional host that must be polled.
        url = reply.get("polling_url") or f"/v1/get_result?id={id_}"
        return Pending(
            operation={"id": id_, "url": url, "credits": reply.get("cost")},
            poll_after=self._poll_after,
        )

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        """Read the operation's state; the address of a result is valid for ten minutes."""
        del request  # the operation has all that is needed
        reply = await self._client.request_json("GET", operation["url"])
        with self._client.parsing_reply():
            match reply.get("status"):
                case "Ready":
                    return self._build_result(operation, reply)
                case "Request Moderated" | "Content Moderated" as status:
                    raise moderation_error(self.name, stage=status.split()[0].lower())
                case "Task not found":
                    raise PermanentError(
                        "bfl does not know the operation, or no longer knows it",
                        code="operation_unknown",
                    )
                case "Error":
                    raise operation_failed_error(self.name, reply.get("details"))
                case _:  # Pending, and statuses that new models introduce
                    return Pending(
                        operation=operation,
                        poll_after=self._poll_after,
                        progress=payloads.parse_progress(reply.get("progress")),
                    )

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        """Do nothing: BFL cannot stop a task, which runs on without being read."""

    async def close(self) -> None:
        await self._client.close()

    def _build_result(self, operation: Mapping[str, Any], reply: Mapping[str, Any]) -> Done:
        url = (reply.get("result") or {}).get("sample")
        if not url:
            raise no_output_error(self.name)
        return Done(
            outputs=(payloads.link_output(url),),
            cost_usd=payloads.parse_cost(operation.get("credits"), CREDITS_A_DOLLAR),
        )


def _build_body(row: ModelRow, request: Generation) -> dict[str, Any]:
    fields = payloads.rename_fields(request.params, row.fields, row.ranges)
    return fields | _build_shape(row, request) | _build_pictures(row, request)


def _build_shape(row: ModelRow, request: Generation) -> dict[str, Any]:
    if row.ratios:
        ratio = choose_ratio(request.params, row.ratios)
        return {"aspect_ratio": ratio} if ratio else {}
    multiple, least, most = (32, 256, 1440) if row.path == "flux-pro-1.1" else (16, 64, 4096)
    size = payloads.fit_size(
        request.params,
        multiple=multiple,
        least=least,
        most=most,
        max_pixels=row.max_pixels or 2**22,
    )
    return {"width": size[0], "height": size[1]} if size else {}


def _build_pictures(row: ModelRow, request: Generation) -> dict[str, Any]:
    contents = map(payloads.encode_base64, request.inputs)
    names = ["input_image", *(f"input_image_{number}" for number in range(2, 9))]
    if row.path.startswith("flux-pro-1.1"):
        names = ["image_prompt"]
    return dict(zip(names, contents, strict=False))
