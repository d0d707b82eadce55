"""The answer of a chat completion, for the fakes of services that took it over from OpenAI."""

from __future__ import annotations

from typing import Any

from providers.fake_provider import Check, Fault, between

ANSWER = '{"title": "The lamp"}'


def _are_messages(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(set(item) == {"role", "content"} for item in value)
        and value[-1]["role"] == "user"
        and all(item["role"] in {"system", "user"} and item["content"] for item in value)
    )


def _is_form(value: Any) -> bool:
    return (
        set(value) == {"type", "json_schema"}
        and value["type"] == "json_schema"
        and set(value["json_schema"]) == {"name", "strict", "schema"}
    )


FIELDS: dict[str, Check] = {
    "model": str,
    "messages": _are_messages,
    "temperature": between(0, 2),
    "max_tokens": between(1, 1_000_000, multiple=1),
    "response_format": _is_form,
}


def build_answer(
    fault: Fault | None, model: str, answer: str, usage: dict[str, Any]
) -> dict[str, Any]:
    reason, content = "stop", answer
    if fault is Fault.MODERATION:
        reason, content = "content_filter", ""
    elif fault is Fault.NO_RESULT:
        content = ""
    return {
        "id": "chat-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, "refusal": None},
                "finish_reason": reason,
            }
        ],
        "usage": {"prompt_tokens": 40, "completion_tokens": 200, "total_tokens": 240, **usage},
    }
