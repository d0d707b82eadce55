"""What the types that ask for text have in common: the task in words, and the shape of the answer as a JSON Schema.

The schemas keep to what OpenAI's strict mode and Gemini both take: every property required, none besides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import AliasChoices, Field

from taskreel.jobtypes.fields import Language
from taskreel.jobtypes.job_type import Options, Unit, params_of
from taskreel.ports import Capability

TEXT_CREDITS = 1
#: What a service is told in words, and the local grammar reads as fields.
_WISHES = {
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
    """What a text may be told besides its prompt."""

    style: str | None = Field(default=None, max_length=200)
    tone: str | None = Field(default=None, max_length=100)
    audience: str | None = Field(default=None, max_length=200)
    language: Language | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=None, ge=16, le=200_000)


def scenes_field(default: int | None) -> Any:
    """How many scenes: `numSequences` as the older guides have it, or `sceneCount`."""
    names = AliasChoices(
        "numSequences", "num_sequences", "sceneCount", "numScenes", "num_scenes", "scenes"
    )
    return Field(
        default=default, ge=1, le=30, validation_alias=names, serialization_alias="numSequences"
    )


def text_unit(
    kind: str, prompt: str, task: str, schema: Mapping[str, Any] | None, **more: Any
) -> Unit:
    """The call that writes: services get `instructions` and `schema`, the local grammar `kind` and the fields."""
    options: WritingOptions = more.pop("options", WritingOptions())
    params = params_of(options, kind=kind, prompt=prompt, instructions=task, schema=schema, **more)
    return Unit(capability=Capability.TEXT, params=told(params), credits=TEXT_CREDITS, name=kind)


def told(params: Mapping[str, Any]) -> dict[str, Any]:
    """`params` with all that is wished for in the instructions too."""
    kind = params.get("kind", "text")
    written = {} if kind == "text" else {"language": "that of the prompt"}
    task = params.get("instructions") or (
        "" if kind == "text" else f"Write a {kind} from the user's prompt."
    )
    wishes = [
        f"{word}: {value}"
        for name, word in _WISHES.items()
        if (value := {**written, **params}.get(name))
    ]
    lines = [task, *wishes, "Answer with the JSON object alone." if params.get("schema") else ""]
    instructions = "\n".join(filter(None, lines))
    return {**params, **({"instructions": instructions} if instructions else {})}


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list(of: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": dict(of)}


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


LINE = _object(speaker=_text("Who says it"), line=_text("What is said"))
SCENE = _object(
    title=_text("A few words"),
    description=_text(
        "What is seen, in one sentence that an image model can paint: subject, place, light, style"
    ),
    narration=_text("What a narrator says: at most two short sentences"),
    dialogue=_list(LINE),
    durationSeconds={
        "type": "number",
        "description": "About how long the narration takes to say, 4 to 20",
    },
)
CHARACTER = _object(
    name=_text("The name"), role=_text("The part"), description=_text("One sentence")
)
_STORY = {
    "title": _text("The title"),
    "logline": _text("The story in one sentence"),
    "genre": _text("The genre"),
    "language": _text("ISO 639-1 code of the language it is written in"),
    "music": _text("A few words on the mood of the music"),
    "characters": _list(CHARACTER),
    "scenes": _list(SCENE),
}
STORY = _object(**_STORY)
SCRIPT = _object(
    **_STORY, format=_text("The format"), text=_text("The whole script, laid out in the format")
)
WORLD = _object(
    name=_text("The world's name"),
    concept=_text("The idea in one or two sentences"),
    genre=_text("The genre"),
    language=_text("ISO 639-1 code"),
    places=_list(
        _object(
            name=_text("The name"),
            description=_text("Two sentences"),
            picture=_text("What an image model should paint of it, in one sentence"),
        )
    ),
    characters=_list(CHARACTER),
    palette=_list(_object(name=_text("The colour's name"), hex=_text("#rrggbb"))),
    rules=_list(_text("A rule of the world")),
)
TRANSLATION = _object(text=_text("The whole text in the other language"))
INSIGHTS = _object(
    insights=_object(
        summary=_text("What it is about, in two sentences"),
        themes=_list(_text("A theme")),
        mood=_text("The mood"),
        strengths=_list(_text("What works")),
        suggestions=_list(_text("What could be better")),
    )
)
