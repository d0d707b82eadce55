"""Up to a hundred images, one for each prompt; images that fail cost nothing."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from taskreel.domain.credits import format_credits
from taskreel.jobtypes.fields import Prompt
from taskreel.jobtypes.image_generation import (
    IMAGE_CREDITS,
    ImageOptions,
    advance_seed,
    image_unit,
)
from taskreel.jobtypes.job_type import JobType, Unit
from taskreel.jobtypes.submission import Submission
from taskreel.ports import Capability


class BatchGeneration(Submission):
    """`{prompts[1–100], model, provider, batchSize, options}`; `batchSize` images at a time."""

    prompts: list[Prompt] = Field(min_length=1, max_length=100)
    batch_size: int = Field(default=4, ge=1, le=20)
    options: ImageOptions = Field(default_factory=ImageOptions)


def _build_units(job: BatchGeneration) -> tuple[Unit, ...]:
    return tuple(
        image_unit(prompt, advance_seed(job.options, index), f"image-{index + 1:03d}")
        for index, prompt in enumerate(job.prompts)
    )


BATCH_GENERATION = JobType(
    name="batch-generation",
    summary="Up to 100 images from as many prompts",
    submission=BatchGeneration,
    capability=Capability.IMAGE,
    price_text=f"{format_credits(IMAGE_CREDITS)} an image; only images that succeed are charged",
    usual={"prompts": ["A kite"] * 10},
    units=_build_units,
    concurrency=lambda job: job.batch_size,
    timeout=timedelta(minutes=28),
    example={
        "prompts": ["A red kite", "A blue kite", "A paper boat"],
        "batchSize": 3,
        "options": {"width": 512, "height": 512},
    },
)
