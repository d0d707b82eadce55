"""Text without a model: the kinds that the grammar writes, and a refusal of the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from taskreel.domain.errors import PermanentError
from taskreel.ports import Done, Generation, MediaWorkers
from taskreel_local.studio.stories.story_writer import (
    describe_scene,
    dream_world,
    tell_story,
    write_script,
)


async def write_text(workers: MediaWorkers, request: Generation) -> Done:
    """Write text of the kind asked for, from the prompt and the seed."""
    del workers  # a few milliseconds' work
    params = request.params
    kind = str(params.get("kind") or "text")
    writer = _WRITERS.get(kind)
    if writer is None:
        raise PermanentError(
            f"The studio has no model that could give {kind}: name a text provider "
            "(openai, google).",
            code="not_offered",
        )
    return Done(data=writer({"subject": params.get("prompt") or "", **params}))


def _write_free_text(params: Mapping[str, Any]) -> dict[str, Any]:
    """Write free text: a short story about the prompt."""
    story = write_script({"sceneCount": 3, **params, "format": "prose"})
    return {
        "text": story["text"],
        "note": "A seeded grammar wrote this; it follows no instructions.",
    }


_WRITERS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "story": tell_story,
    "script": write_script,
    "scene": describe_scene,
    "world": dream_world,
    "text": _write_free_text,
}
