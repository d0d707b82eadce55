"""Texts by chat completions: the request and answer that several services took over from OpenAI.

The text comes in the answer, structured where the request has a schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskreel.adapters.providers import payloads
from taskreel.adapters.providers.model_prices import count_token_cost
from taskreel.adapters.providers.model_row import ModelRow
from taskreel.adapters.providers.provider_errors import moderation_error, truncated_error
from taskreel.ports import Done, Generation

#: Our options under the names that these services have in common.
FIELDS = {"temperature": "temperature", "maxTokens": "max_tokens"}
#: The options that go into the messages.
MESSAGES = frozenset({"prompt", "instructions"})


def build_body(row: ModelRow, request: Generation) -> dict[str, Any]:
    """The body of a request to `/chat/completions`, without `providerOptions`."""
    params = request.params
    roles = (("system", params.get("instructions")), ("user", params.get("prompt")))
    messages = [{"role": role, "content": text} for role, text in roles if text]
    body: dict[str, Any] = {"model": row.path, "messages": messages}
    body |= payloads.rename_fields(params, row.fields, row.ranges)
    if schema := params.get("schema"):
        form = {"name": "result", "strict": True, "schema": schema}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    return body


def read_answer(
    row: ModelRow, reply: Mapping[str, Any], request: Generation, cost: float | None
) -> Done:
    """The text of an answer; `cost` where the service reports it, else by its count of tokens."""
    provider = row.provider
    choice = (reply.get("choices") or [{}])[0]
    message = choice.get("message") or {}
    if choice.get("finish_reason") == "content_filter" or message.get("refusal"):
        raise moderation_error(provider)
    if choice.get("finish_reason") == "length":
        raise truncated_error(provider)
    if cost is None:
        usage = reply.get("usage") or {}
        cost = count_token_cost(row, usage.get("prompt_tokens"), usage.get("completion_tokens"))
    text = str(message.get("content") or "")
    return Done(data=payloads.parse_text_result(provider, text, request), cost_usd=cost)
