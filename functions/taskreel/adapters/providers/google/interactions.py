"""Google's Interactions API: Omni's clips, by a key or at Vertex, and Lyria's songs, by a key.

Source: google-genai 3.6's types and its paths at Vertex (`projects/…/locations/…/interactions`),
which the AI SDK's `vertex.interactions` has too; ai.google.dev's guides to Omni and Lyria
(2026-11). An interaction runs in the background and is polled; its result comes inline, as base64.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskreel.adapters.providers import payloads
from taskreel.adapters.providers.model_body import build_model_body
from taskreel.adapters.providers.model_row import ModelRow
from taskreel.ports import Capability, Generation, Input

#: The final states beside `completed` and `cancelled`.
FAILED = frozenset({"failed", "incomplete", "budget_exceeded", "requires_action"})


def is_interactive(row: ModelRow) -> bool:
    """True for a model that is called by an interaction."""
    return row.path.startswith(("gemini-omni-", "lyria-"))


def build_interaction(
    row: ModelRow, request: Generation, uploaded: Mapping[str, str]
) -> dict[str, Any]:
    """The body that creates an interaction; `uploaded`: addresses of files by their paths."""
    text = _write_prompt(request)
    pictures = [_build_picture(item, uploaded.get(str(item.path))) for item in request.inputs]
    body: dict[str, Any] = {
        "model": row.path,
        "input": [{"type": "user_input", "content": [*pictures, {"type": "text", "text": text}]}],
        "background": True,
        "store": True,  # a background interaction is read from the store
    }
    if request.capability is Capability.VIDEO:
        body["response_format"] = {"type": "video", **build_model_body(row, request, ())}
        task = "image_to_video" if pictures else "text_to_video"
        body["generation_config"] = {"video_config": {"task": task}}
    return body | payloads.get_provider_options(row, request.params)


def collect_media(reply: Mapping[str, Any], kind: str) -> list[str]:
    """The contents of one kind (`video`, `audio`) in an interaction's output, as base64."""
    return [
        content["data"]
        for step in reply.get("steps") or ()
        if step.get("type") == "model_output"
        for content in step.get("content") or ()
        if content.get("type") == kind and content.get("data")
    ]


def _build_picture(item: Input, uri: str | None) -> dict[str, str]:
    content = {"data": payloads.encode_base64(item)} if uri is None else {"uri": uri}
    return {"type": "image", "mime_type": item.content_type, **content}


def _write_prompt(request: Generation) -> str:
    """The prompt; Lyria takes a length in words alone."""
    prompt = str(request.params.get("prompt") or "")
    seconds = request.params.get("duration")
    if request.capability is Capability.MUSIC and seconds:
        return f"{prompt}\nInstrumental. The length is {round(seconds)} seconds."
    return prompt
