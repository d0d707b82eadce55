"""An image from a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal

from pydantic import AliasChoices, Field, model_validator

from taskreel.domain.credits import format_credits
from taskreel.domain.retry_policy import RetryPolicy
from taskreel.domain.value import validation_error
from taskreel.jobtypes.fields import Prompt
from taskreel.jobtypes.given_story import Pictures, Story, collect_scenes
from taskreel.jobtypes.job_type import SCENES_AT_A_TIME, JobType, Unit
from taskreel.jobtypes.submission import Options, Submission
from taskreel.ports import Capability

IMAGE_CREDITS = 1
#: The most pictures that any model takes to start from.
MOST_REFERENCES = 16


class ImageOptions(Options):
    """Size in pixels, and common options of image models."""

    width: int = Field(default=1024, ge=64, le=4096)
    height: int = Field(default=1024, ge=64, le=4096)
    output_format: Literal["png", "jpeg", "webp"] = "png"
    quality: Literal["low", "medium", "high"] | None = None
    aspect_ratio: str | None = Field(
        default=None, pattern=r"^\d{1,2}:\d{1,2}$", examples=["16:9", "1:1"]
    )
    negative_prompt: str | None = Field(default=None, max_length=10_000)
    style: str | None = Field(default=None, max_length=100)
    steps: int | None = Field(default=None, ge=1, le=150)
    guidance: float | None = Field(
        default=None,
        ge=0,
        le=30,
        validation_alias=AliasChoices("guidance", "cfgScale", "cfg_scale"),
    )
    sampler: str | None = Field(default=None, max_length=100)
    prompt_upsampling: bool | None = None
    safety_tolerance: int | None = Field(default=None, ge=0, le=6)


class ImageGeneration(Submission):
    """`{prompt, model, provider, imageUrls[], numImages, options{width, height, …}}`.

    With `imageUrls` the image is made from these pictures, as the prompt says. With a `story`, one
    image is made for each of its scenes, and a prompt is not needed.
    """

    prompt: Prompt | None = None
    image_urls: Pictures = Field(
        default_factory=list,
        max_length=MOST_REFERENCES,
        validation_alias=AliasChoices("imageUrls", "image_urls", "imageUrl", "image_url"),
        description="Pictures to start from, or to take people, things and style from. A model "
        "that takes none, or fewer, is not chosen; where it is named, the job is refused.",
    )
    num_images: int = Field(
        default=1,
        ge=1,
        le=10,
        validation_alias=AliasChoices("numImages", "num_images"),
        description="The number of images of the prompt, or of each scene. Each one has a price "
        "and a seed of its own (the given seed, and those that follow it), and one that fails "
        "costs nothing.",
    )
    story: Story | None = None
    options: ImageOptions = Field(default_factory=ImageOptions)

    @model_validator(mode="after")
    def _check_source(self) -> ImageGeneration:
        if self.prompt is None and (self.story is None or not collect_scenes(self.story)):
            message = "is required; or give a story with scenes"
            raise validation_error("ImageGeneration", [(("prompt",), message)])
        return self


def image_unit(
    prompt: str,
    options: ImageOptions,
    name: str,
    *,
    credits: int = IMAGE_CREDITS,  # noqa: A002 - as Unit calls it
    input_urls: Sequence[str] = (),
) -> Unit:
    """The provider call that makes one image; `name` is the artifact's name without suffix."""
    params = {"prompt": prompt, **options.model_dump(by_alias=True, exclude_none=True, mode="json")}
    return Unit(
        capability=Capability.IMAGE,
        params=params,
        credits=credits,
        input_urls=tuple(input_urls),
        name=name,
    )


def advance_seed(options: ImageOptions, steps: int) -> ImageOptions:
    """The options with a given seed moved on; without one, each unit gets its own anyway."""
    if options.seed is None or not steps:
        return options
    return options.model_copy(update={"seed": (options.seed + steps) % 2**32})


def _build_units(job: ImageGeneration) -> tuple[Unit, ...]:
    """One unit an image: each is bought once, under its own idempotency key, and paid by itself."""
    scenes = collect_scenes(job.story) if job.story else []
    wanted = [(scene.prompt, f"image-{number:03d}") for number, scene in enumerate(scenes, 1)]
    return tuple(
        image_unit(
            prompt,
            advance_seed(job.options, index),
            name if job.num_images == 1 else f"{name}-{index + 1:03d}",
            input_urls=job.image_urls,
        )
        for prompt, name in wanted or [(job.prompt or "", "image")]
        for index in range(job.num_images)
    )


IMAGE_GENERATION = JobType(
    name="image-generation",
    summary="An image from a prompt",
    submission=ImageGeneration,
    capability=Capability.IMAGE,
    units=_build_units,
    price_text=f"{format_credits(IMAGE_CREDITS)} an image, times numImages",
    concurrency=lambda _job: SCENES_AT_A_TIME,
    timeout=timedelta(minutes=30),
    retry=RetryPolicy(min_backoff_seconds=3),
    example={
        "prompt": "A lighthouse in a storm",
        "model": "flux-1.1-pro",
        "provider": "bfl",
        "options": {"width": 1024, "height": 768},
    },
)
