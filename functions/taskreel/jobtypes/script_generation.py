"""A script from a prompt: scenes with description, dialogue and length, in a layout."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import AliasChoices, Field

from taskreel.jobtypes.fields import Prompt, Seed
from taskreel.jobtypes.job_type import JobType, Unit
from taskreel.jobtypes.submission import Submission
from taskreel.jobtypes.text_schemas import SCRIPT, WritingOptions, build_text_unit, scenes_field
from taskreel.ports import Capability

_TASK = (
    "Write a script from the user's prompt: scenes with what is seen, what is said, and how long "
    "each takes."
)
_LENGTHS = {"short": 3, "medium": 5, "long": 10}


class ScriptGeneration(Submission):
    """`{prompt, genre, format, style, length, numSequences, title, durationSeconds, options}`."""

    prompt: Prompt = Field(validation_alias=AliasChoices("prompt", "topic", "idea"))
    title: str | None = Field(default=None, max_length=300)
    genre: str | None = Field(default=None, max_length=100)
    format: Literal["screenplay", "fountain", "prose", "outline"] = "screenplay"
    style: str | None = Field(default=None, max_length=200)
    tone: str | None = Field(default=None, max_length=100)
    language: str | None = Field(default=None, max_length=20)
    length: Literal["short", "medium", "long"] | None = None
    duration_seconds: float | None = Field(
        default=None,
        gt=0,
        le=7200,
        validation_alias=AliasChoices("durationSeconds", "duration_seconds", "duration"),
    )
    num_sequences: int | None = scenes_field(None)
    seed: Seed | None = None
    options: WritingOptions = Field(default_factory=WritingOptions)

    @property
    def scene_count(self) -> int:
        """The number of scenes: given, or derived from the length or the running time."""
        if self.num_sequences:
            return self.num_sequences
        if self.duration_seconds:
            return max(1, min(30, round(self.duration_seconds / 12)))
        return _LENGTHS[self.length or "medium"]


def _build_units(job: ScriptGeneration) -> tuple[Unit, ...]:
    own = {"style": job.style, "tone": job.tone, "language": job.language}
    options = job.options.model_copy(
        update={name: value for name, value in own.items() if value is not None}
    )
    fields = {
        "genre": job.genre,
        "format": job.format,
        "title": job.title,
        "seed": job.seed,
        "options": options,
    }
    return (
        build_text_unit("script", job.prompt, _TASK, SCRIPT, sceneCount=job.scene_count, **fields),
    )


SCRIPT_GENERATION = JobType(
    name="script-generation",
    summary="A script from a prompt, as scenes and as text",
    submission=ScriptGeneration,
    capability=Capability.TEXT,
    units=_build_units,
    timeout=timedelta(minutes=30),
    example={
        "prompt": "Two rival bakers share one oven",
        "genre": "comedy",
        "format": "screenplay",
        "length": "short",
    },
)
