"""A video from a prompt, from pictures, or from both."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field, model_validator

from taskreel.jobtypes.fields import MediaUrl, Prompt
from taskreel.jobtypes.job_type import JobType, Unit
from taskreel.jobtypes.queue_limits import QueueLimits
from taskreel.jobtypes.submission import Options, Submission
from taskreel.ports import Capability

VIDEO_CREDITS = 5


class VideoOptions(Options):
    """Duration in seconds, size in pixels."""

    duration: float = Field(default=5, ge=1, le=60)
    width: int = Field(default=1280, ge=64, le=3840, multiple_of=2)
    height: int = Field(default=720, ge=64, le=2160, multiple_of=2)
    fps: int = Field(default=30, ge=8, le=60)
    aspect_ratio: str | None = Field(
        default=None, pattern=r"^\d{1,4}:\d{1,4}$", examples=["16:9", "9:16"]
    )
    negative_prompt: str | None = Field(default=None, max_length=10_000)
    audio: bool | None = None


class VideoGeneration(Submission):
    """`{prompt, model, provider, imageUrls[], options{duration}}`."""

    prompt: Prompt | None = None
    image_urls: list[MediaUrl] = Field(default_factory=list, max_length=10)
    options: VideoOptions = Field(default_factory=VideoOptions)

    @model_validator(mode="after")
    def _check_source(self) -> VideoGeneration:
        if self.prompt is None and not self.image_urls:
            raise ValueError("give a prompt, imageUrls, or both")
        return self


def _build_units(job: VideoGeneration) -> tuple[Unit, ...]:
    params = {
        "prompt": job.prompt or "",
        **job.options.model_dump(by_alias=True, exclude_none=True, mode="json"),
    }
    return (
        Unit(
            capability=Capability.VIDEO,
            params=params,
            credits=VIDEO_CREDITS,
            input_urls=tuple(job.image_urls),
            name="video",
        ),
    )


VIDEO_GENERATION = JobType(
    name="video-generation",
    summary="A video from a prompt and images",
    submission=VideoGeneration,
    capability=Capability.VIDEO,
    units=_build_units,
    timeout=timedelta(minutes=28),
    # Providers take minutes, and their accounts allow few operations at a time.
    queue=QueueLimits(dispatches_per_second=4, concurrent_dispatches=24),
    example={
        "prompt": "Slow push in, waves breaking",
        "model": "runway-gen4",
        "provider": "runway",
        "imageUrls": ["https://example.com/lighthouse.png"],
        "options": {"duration": 5},
    },
)
