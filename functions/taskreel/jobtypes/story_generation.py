"""A story as scenes, from a prompt: the first step of a movie."""

from __future__ import annotations

from pydantic import Field, model_validator

from taskreel.domain.value import validation_error
from taskreel.jobtypes.fields import Prompt, Seed
from taskreel.jobtypes.given_story import Story
from taskreel.jobtypes.job_type import JobType, Unit
from taskreel.jobtypes.submission import Submission
from taskreel.jobtypes.text_schemas import STORY, WritingOptions, build_text_unit, scenes_field
from taskreel.ports import Capability

_TASK = (
    "Write a story in scenes that can be painted, spoken and cut into a short film, from the "
    "user's prompt."
)


class StoryGeneration(Submission):
    """`{prompt, genre, numSequences, seed, options{style, tone, audience, language}}`.

    A given `story` is retold in scenes, as the prompt says where there is one.
    """

    prompt: Prompt | None = None
    story: Story | None = None
    genre: str | None = Field(default=None, max_length=100)
    num_sequences: int = scenes_field(5)
    seed: Seed | None = None
    options: WritingOptions = Field(default_factory=WritingOptions)

    @model_validator(mode="after")
    def _check_source(self) -> StoryGeneration:
        if self.prompt is None and self.story is None:
            message = "is required; or give a story"
            raise validation_error("StoryGeneration", [(("prompt",), message)])
        return self

    @property
    def full_prompt(self) -> str:
        """The prompt, and the given story after it."""
        if self.story is None:
            return self.prompt or ""
        told = self.story.text or self.story.model_dump_json(by_alias=True, exclude_unset=True)
        return "\n\n".join(filter(None, [self.prompt, told]))


def _build_units(job: StoryGeneration) -> tuple[Unit, ...]:
    fields = {
        "genre": job.genre,
        "sceneCount": job.num_sequences,
        "seed": job.seed,
        "options": job.options,
    }
    return (build_text_unit("story", job.full_prompt, _TASK, STORY, **fields),)


STORY_GENERATION = JobType(
    name="story-generation",
    summary="A story as scenes, each with a description, narration, dialogue and length",
    submission=StoryGeneration,
    capability=Capability.TEXT,
    units=_build_units,
    example={
        "prompt": "A lighthouse keeper finds a message",
        "genre": "adventure",
        "num_sequences": 4,
        "seed": 7,
    },
)
