"""A larger image of the same picture."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from taskreel.jobtypes.fields import MediaUrl
from taskreel.jobtypes.job_type import JobType, Unit
from taskreel.jobtypes.submission import Options, Submission
from taskreel.ports import Capability

UPSCALE_CREDITS = 2


class UpscaleOptions(Options):
    """Format of the result, and common options of upscalers."""

    output_format: Literal["png", "jpeg", "webp"] = "png"
    face_enhance: bool | None = None
    creativity: float | None = Field(default=None, ge=0, le=1)
    prompt: str | None = Field(default=None, max_length=10_000)


class ImageUpscale(Submission):
    """`{imageUrl, model, provider, scale, options}`."""

    image_url: MediaUrl
    scale: float = Field(default=2, gt=1, le=8)
    options: UpscaleOptions = Field(default_factory=UpscaleOptions)


def _build_units(job: ImageUpscale) -> tuple[Unit, ...]:
    params = {
        "scale": job.scale,
        **job.options.model_dump(by_alias=True, exclude_none=True, mode="json"),
    }
    return (
        Unit(
            capability=Capability.UPSCALE,
            params=params,
            credits=UPSCALE_CREDITS,
            input_urls=(job.image_url,),
            name="upscaled",
        ),
    )


IMAGE_UPSCALE = JobType(
    name="image-upscale",
    summary="A larger image of the same picture",
    submission=ImageUpscale,
    capability=Capability.UPSCALE,
    units=_build_units,
    example={
        "imageUrl": "https://example.com/small.png",
        "model": "real-esrgan",
        "provider": "upscale",
        "scale": 4,
    },
)
