"""OpenRouter: texts of many makers' models, which come in the answer.

Source: OpenRouter's API reference (chat completions, structured outputs, errors). An error may come
with status 200, after the model has begun. OpenRouter takes no idempotency key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from taskreel.adapters.providers import chat_completions, payloads
from taskreel.adapters.providers.model_limits import find_row_for
from taskreel.adapters.providers.provider_client import ProviderClient
from taskreel.adapters.providers.provider_errors import moderation_error, operation_failed_error
from taskreel.domain.errors import PermanentError
from taskreel.ports import Done, Generation, Pending


class OpenRouter:
    """The OpenRouter API."""

    name = "openrouter"

    def __init__(
        self,
        key: str,
        *,
        base_url: str = "https://openrouter.ai/api/v1",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._client = ProviderClient(
            self.name,
            base_url=base_url,
            hosts=("openrouter.ai",),
            headers={"authorization": f"Bearer {key}"},
            transport=transport,
            # A long text comes in the answer only.
            read_seconds=300.0,
        )

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Done:
        """Write a text."""
        del idempotency_key  # the API has none
        row = find_row_for(self.name, request)
        body = chat_completions.build_body(row, request)
        if request.params.get("schema"):
            # Else a host that ignores the schema may serve.
            body["provider"] = {"require_parameters": True}
        body |= payloads.get_provider_options(row, request.params)
        reply = await self._client.request_json(
            "POST", "/chat/completions", creates=row.path, json=body
        )
        with self._client.parsing_reply(row.path):
            choice = (reply.get("choices") or [{}])[0]
            if error := reply.get("error") or choice.get("error"):
                if error.get("code") == 403:  # flagged by moderation
                    raise moderation_error(self.name)
                raise operation_failed_error(self.name, error.get("message"))
            cost = payloads.parse_cost((reply.get("usage") or {}).get("cost"))
            return chat_completions.read_answer(row, reply, request, cost)

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        """Raise PermanentError: OpenRouter answers at once and has no operations."""
        del operation, request
        raise PermanentError("openrouter has no operations", code="operation_unknown")

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        """Do nothing: there are no operations."""

    async def close(self) -> None:
        await self._client.close()
