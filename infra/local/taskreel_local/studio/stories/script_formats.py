"""A story as a script: screenplay, Fountain, prose or outline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from taskreel_local.studio.stories.sentences import as_sentence


def _format_screenplay(story: Mapping[str, Any]) -> str:
    lines = [story["title"].upper(), "", story["logline"], "", "FADE IN:"]
    for scene in story["scenes"]:
        lines += ["", scene["heading"], "", as_sentence(scene["description"].rstrip("."))]
        lines += ["", f"{'NARRATOR (V.O.)':^40}", scene["narration"]]
        for spoken in scene["dialogue"]:
            lines += ["", f"{spoken['speaker'].upper():^40}", f"          {spoken['line']}"]
    return "\n".join([*lines, "", "FADE OUT."])


def _format_fountain(story: Mapping[str, Any]) -> str:
    """fountain.io: plain text that screenwriting programs read."""
    parts = [f"Title: {story['title']}\nCredit: Written by\nAuthor: Taskreel's local studio\n"]
    for scene in story["scenes"]:
        parts += [
            f"{scene['heading']}\n",
            f"{scene['description']}.\n",
            f"NARRATOR (V.O.)\n{scene['narration']}\n",
        ]
        parts += [
            f"{spoken['speaker'].upper()}\n{spoken['line']}\n" for spoken in scene["dialogue"]
        ]
    return "\n".join([*parts, "> THE END <"])


def _format_prose(story: Mapping[str, Any]) -> str:
    chapters = [f"{scene['title']}\n\n{scene['narration']}" for scene in story["scenes"]]
    return "\n\n".join([story["title"], *chapters])


def _format_outline(story: Mapping[str, Any]) -> str:
    scenes = [
        f"{number}. {scene['title']}: {scene['narration']}"
        for number, scene in enumerate(story["scenes"], 1)
    ]
    return "\n".join([story["title"], story["logline"], *scenes])


FORMATS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "screenplay": _format_screenplay,
    "fountain": _format_fountain,
    "prose": _format_prose,
    "outline": _format_outline,
}
