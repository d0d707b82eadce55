"""A video from a prompt, from pictures, or from both."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from pydantic import AliasChoices, Field, model_validator

from taskreel.domain.credits import format_credits
from taskreel.domain.retry_policy import RetryPolicy
from taskreel.domain.value import validation_error
from taskreel.jobtypes.fields import FilmQuality, Prompt, Resolution
from taskreel.jobtypes.given_story import (
    GivenStory,
    Pictures,
    Story,
    StoryScene,
    StoryScenes,
    collect_scenes,
)
from taskreel.jobtypes.job_type import (
    SCENES_AT_A_TIME,
    JobType,
    Unit,
    parse_resolution,
)
from taskreel.jobtypes.submission import Options, Submission
from taskreel.ports import Capability

VIDEO_CREDITS = 5
#: 4K, in either direction.
MOST_PIXELS = 3840 * 2160


class VideoOptions(Options):
    """Duration in seconds, size in pixels."""

    duration: float = Field(default=5, ge=1, le=60)
    width: int = Field(default=1280, ge=64, le=3840, multiple_of=2)
    height: int = Field(default=720, ge=64, le=3840, multiple_of=2)
    fps: int = Field(default=30, ge=8, le=60)
    aspect_ratio: str | None = Field(
        default=None, pattern=r"^\d{1,4}:\d{1,4}$", examples=["16:9", "9:16"]
    )
    negative_prompt: str | None = Field(default=None, max_length=10_000)
    audio: bool | None = None
    #: A name ("1080p") or `1280x720`; width and height override it.
    resolution: Resolution | None = None
    quality: FilmQuality | None = None
    style: str | None = Field(default=None, max_length=200)

    @model_validator(mode="after")
    def _check_pixels(self) -> VideoOptions:
        if self.width * self.height > MOST_PIXELS:
            message = (
                f"{self.width} x {self.height} are too many pixels: 4K is the most, "
                "3840 x 2160 or 2160 x 3840"
            )
            raise validation_error("VideoOptions", [(("height",), message)])
        return self

    def to_params(self) -> dict[str, Any]:
        """The parameters of the provider call, with the size that `resolution` names."""
        params = self.model_dump(
            by_alias=True, exclude_none=True, mode="json", exclude={"resolution"}
        )
        if self.resolution is not None and not {"width", "height"} & self.model_fields_set:
            params["width"], params["height"] = parse_resolution(self.resolution)
        return params


class VideoGeneration(Submission):
    """`{prompt, model, provider, imageUrls[], options{duration, resolution}}`.

    With `scenes`, or a `script` or `story` that has scenes, one clip is made for each of them, from
    the scene's own picture where `images` has one for it.
    """

    prompt: Prompt | None = None
    image_urls: Pictures = Field(
        default_factory=list,
        max_length=10,
        validation_alias=AliasChoices("imageUrls", "image_urls", "imageUrl", "image_url"),
    )
    script: Story | None = None
    story: Story | None = None
    scenes: StoryScenes = Field(default_factory=list, max_length=100)
    images: Pictures = Field(default_factory=list, max_length=100)
    options: VideoOptions = Field(default_factory=VideoOptions)

    @property
    def listed_scenes(self) -> list[StoryScene]:
        """The scenes to make a clip of each; empty for one clip of the prompt."""
        return collect_scenes(GivenStory(scenes=self.scenes), self.story, self.script)

    @model_validator(mode="after")
    def _check_source(self) -> VideoGeneration:
        scenes = self.listed_scenes
        if self.prompt is None and not self.image_urls and not scenes:
            raise ValueError("give a prompt, imageUrls, or a story with scenes")
        if self.images and len(self.images) != len(scenes):
            message = (
                f"must have one picture for each of the {len(scenes)} scenes, in their order; "
                f"it has {len(self.images)}. Pictures that are no scenes' belong in imageUrls"
            )
            raise validation_error("VideoGeneration", [(("images",), message)])
        return self


def _build_units(job: VideoGeneration) -> tuple[Unit, ...]:
    scenes = job.listed_scenes
    if not scenes:
        return (_clip_unit(job, job.prompt or "", job.image_urls, "video"),)
    pictures: list[list[str]] = [[url] for url in job.images] or [job.image_urls] * len(scenes)
    return tuple(
        _clip_unit(job, scene.prompt, urls, f"video-{number:03d}")
        for number, (scene, urls) in enumerate(zip(scenes, pictures, strict=True), 1)
    )


def _clip_unit(job: VideoGeneration, prompt: str, urls: Sequence[str], name: str) -> Unit:
    return Unit(
        capability=Capability.VIDEO,
        params={"prompt": prompt, **job.options.to_params()},
        credits=VIDEO_CREDITS,
        input_urls=tuple(urls),
        name=name,
    )


VIDEO_GENERATION = JobType(
    name="video-generation",
    summary="A video from a prompt and images",
    submission=VideoGeneration,
    capability=Capability.VIDEO,
    units=_build_units,
    price_text=f"{format_credits(VIDEO_CREDITS)} a clip",
    concurrency=lambda _job: SCENES_AT_A_TIME,
    timeout=timedelta(minutes=30),
    retry=RetryPolicy(min_backoff_seconds=4),
    example={
        "prompt": "Slow push in, waves breaking",
        "model": "runway-gen4",
        "provider": "runway",
        "imageUrls": ["https://example.com/lighthouse.png"],
        "options": {"duration": 5},
    },
)
