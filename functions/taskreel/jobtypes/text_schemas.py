"""Provider calls that write text: instructions in words, and JSON Schemas of the results.

The schemas use only what OpenAI's strict mode and Gemini both support: every property is required
and no other is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import AliasChoices, Field

from taskreel.jobtypes.fields import Language
from taskreel.jobtypes.job_type import Unit, build_params
from taskreel.jobtypes.submission import Options
from taskreel.ports import Capability

TEXT_CREDITS = 1
#: Parameters that the local provider reads as fields and others get in their instructions.
_LABELS = {
    "title": "Title",
    "genre": "Genre",
    "format": "Format",
    "sceneCount": "Number of scenes",
    "placeCount": "Number of places",
    "characterCount": "Number of characters",
    "style": "Style",
    "tone": "Tone",
    "audience": "Audience",
    "language": "Language",
}


class WritingOptions(Options):
    """Options of a text besides its prompt."""

    style: str | None = Field(default=None, max_length=200)
    tone: str | None = Field(default=None, max_length=100)
    audience: str | None = Field(default=None, max_length=200)
    language: Language | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=None, ge=16, le=200_000)


def scenes_field(default: int | None) -> Any:
    """The field for the number of scenes: `numSequences`, or `sceneCount` and other names."""
    names = AliasChoices(
        "numSequences", "num_sequences", "sceneCount", "numScenes", "num_scenes", "scenes"
    )
    return Field(
        default=default, ge=1, le=30, validation_alias=names, serialization_alias="numSequences"
    )


def build_text_unit(
    kind: str, prompt: str, task: str, schema: Mapping[str, Any] | None, **more: Any
) -> Unit:
    """The provider call that writes a text of a kind, with `schema` for its result."""
    options: WritingOptions = more.pop("options", WritingOptions())
    params = build_params(
        options, kind=kind, prompt=prompt, instructions=task, schema=schema, **more
    )
    return Unit(
        capability=Capability.TEXT, params=add_instructions(params), credits=TEXT_CREDITS, name=kind
    )


def add_instructions(params: Mapping[str, Any]) -> dict[str, Any]:
    """`params` with instructions that name the other parameters."""
    kind = params.get("kind", "text")
    written = {} if kind == "text" else {"language": "that of the prompt"}
    task = params.get("instructions") or (
        "" if kind == "text" else f"Write a {kind} from the user's prompt."
    )
    labelled = [
        f"{word}: {value}"
        for name, word in _LABELS.items()
        if (value := {**written, **params}.get(name))
    ]
    lines = [task, *labelled, "Answer with the JSON object alone." if params.get("schema") else ""]
    instructions = "\n".join(filter(None, lines))
    return {**params, **({"instructions": instructions} if instructions else {})}


def _object_schema(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list_schema(of: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": dict(of)}


def _text_schema(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


LINE = _object_schema(speaker=_text_schema("Who says it"), line=_text_schema("What is said"))
SCENE = _object_schema(
    title=_text_schema("A few words"),
    description=_text_schema(
        "What is seen, in one sentence that an image model can paint: subject, place, light, style"
    ),
    narration=_text_schema("What a narrator says: at most two short sentences"),
    dialogue=_list_schema(LINE),
    durationSeconds={
        "type": "number",
        "description": "About how long the narration takes to say, 4 to 20",
    },
)
CHARACTER = _object_schema(
    name=_text_schema("The name"),
    role=_text_schema("The part"),
    description=_text_schema("One sentence"),
)
_STORY = {
    "title": _text_schema("The title"),
    "logline": _text_schema("The story in one sentence"),
    "genre": _text_schema("The genre"),
    "language": _text_schema("ISO 639-1 code of the language it is written in"),
    "music": _text_schema("A few words on the mood of the music"),
    "characters": _list_schema(CHARACTER),
    "scenes": _list_schema(SCENE),
}
STORY = _object_schema(**_STORY)
SCRIPT = _object_schema(
    **_STORY,
    format=_text_schema("The format"),
    text=_text_schema("The whole script, laid out in the format"),
)
WORLD = _object_schema(
    name=_text_schema("The world's name"),
    concept=_text_schema("The idea in one or two sentences"),
    genre=_text_schema("The genre"),
    language=_text_schema("ISO 639-1 code"),
    places=_list_schema(
        _object_schema(
            name=_text_schema("The name"),
            description=_text_schema("Two sentences"),
            picture=_text_schema("What an image model should paint of it, in one sentence"),
        )
    ),
    characters=_list_schema(CHARACTER),
    palette=_list_schema(
        _object_schema(name=_text_schema("The colour's name"), hex=_text_schema("#rrggbb"))
    ),
    rules=_list_schema(_text_schema("A rule of the world")),
)
TRANSLATION = _object_schema(text=_text_schema("The whole text in the other language"))
INSIGHTS = _object_schema(
    insights=_object_schema(
        summary=_text_schema("What it is about, in two sentences"),
        themes=_list_schema(_text_schema("A theme")),
        mood=_text_schema("The mood"),
        strengths=_list_schema(_text_schema("What works")),
        suggestions=_list_schema(_text_schema("What could be better")),
    )
)
