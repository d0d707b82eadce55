"""A fictional world from a prompt: places, characters, palette, rules, and optional pictures."""

from __future__ import annotations

from datetime import timedelta

from pydantic import AliasChoices, Field

from taskreel.domain.credits import format_credits
from taskreel.domain.pipeline import Pipeline, Step
from taskreel.jobtypes.fields import Prompt, Seed
from taskreel.jobtypes.image_generation import IMAGE_CREDITS
from taskreel.jobtypes.job_type import (
    JobType,
    build_params,
    drop_none,
    escape_templates,
)
from taskreel.jobtypes.submission import Submission
from taskreel.jobtypes.text_schemas import TEXT_CREDITS, WORLD, WritingOptions
from taskreel.ports import Capability

_TASK = (
    "Invent a world from the user's prompt: a concept, places, characters, a palette and the rules "
    "it lives by."
)


class WorldBuilding(Submission):
    """`{prompt, genre, places, characters, conceptPictures, options{style, tone, language}}`."""

    prompt: Prompt = Field(validation_alias=AliasChoices("prompt", "concept", "description"))
    genre: str | None = Field(default=None, max_length=100)
    places: int = Field(default=4, ge=1, le=10)
    characters: int = Field(default=4, ge=1, le=10)
    concept_pictures: int = Field(
        default=0,
        ge=0,
        le=10,
        validation_alias=AliasChoices("conceptPictures", "concept_pictures", "conceptArt"),
    )
    seed: Seed | None = None
    budget: int | None = Field(default=None, ge=1)
    options: WritingOptions = Field(default_factory=WritingOptions)


def _build_pipeline(job: WorldBuilding) -> Pipeline:
    job = escape_templates(job)
    parameters = build_params(
        job.options,
        kind="world",
        placeCount=job.places,
        characterCount=job.characters,
        schema=WORLD,
        instructions=_TASK,
        genre=job.genre,
        seed=job.seed,
    )
    text = {"task": "text", "input": job.prompt, "parameters": parameters}
    world = {**text, **drop_none(model=job.model)}
    steps = {"world": Step(type="ai-processing", payload=world, keep=True)}
    if job.concept_pictures:
        options = {"width": 1280, "height": 720, **job.options.inherited}
        steps["pictures"] = Step(
            type="image-generation",
            for_each=f"{{{{steps.world.result.places[:{job.concept_pictures}]}}}}",
            payload={"prompt": "{{item.picture}}", "options": options},
            max_items=job.concept_pictures,
            on_failure="ignore",
        )
    return Pipeline(steps=steps)


WORLD_BUILDING = JobType(
    name="world-building",
    summary="A world: places, characters, palette, rules, and concept pictures",
    submission=WorldBuilding,
    capability=Capability.PIPELINE,
    further_capabilities=frozenset({Capability.TEXT, Capability.IMAGE}),
    price_text=f"{format_credits(TEXT_CREDITS)}, and {IMAGE_CREDITS} for each concept picture",
    usual={"conceptPictures": 1},
    pipeline=_build_pipeline,
    timeout=timedelta(minutes=10),
    example={
        "prompt": "A floating city of glass above endless storms",
        "genre": "fantasy",
        "conceptPictures": 2,
    },
)
