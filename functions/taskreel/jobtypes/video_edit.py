"""A video changed as a prompt says, with its motion and its length."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import AliasChoices, Field

from taskreel.jobtypes.fields import MediaUrl, Prompt, Resolution
from taskreel.jobtypes.job_type import JobType, Unit, build_priced_unit, parse_resolution
from taskreel.jobtypes.length_price import LengthPrice
from taskreel.jobtypes.queue_limits import FEW_AT_A_TIME
from taskreel.jobtypes.submission import Options, Submission
from taskreel.ports import Capability

VIDEO_EDIT_PRICE = LengthPrice(credits=5, block_seconds=10, usual_seconds=30, most_seconds=600)


class VideoEditOptions(Options):
    """The size of the result; without it the model's own."""

    resolution: Resolution | None = None
    #: The longest video that may be bought: credits are held for it. 30 s, if not given.
    max_seconds: int | None = Field(default=None, ge=1, le=VIDEO_EDIT_PRICE.most_seconds)


class VideoEdit(Submission):
    """`{videoUrl, prompt, model, provider, options{resolution, seed, maxSeconds}}`."""

    video_url: MediaUrl = Field(
        validation_alias=AliasChoices("videoUrl", "video_url", "url", "video", "inputFile")
    )
    prompt: Prompt
    options: VideoEditOptions = Field(default_factory=VideoEditOptions)


def _build_units(job: VideoEdit) -> tuple[Unit, ...]:
    size: dict[str, Any] = {}
    if job.options.resolution is not None:
        size = dict(zip(("width", "height"), parse_resolution(job.options.resolution), strict=True))
    unit = build_priced_unit(
        VIDEO_EDIT_PRICE,
        job.options,
        job.options.max_seconds,
        capability=Capability.VIDEO_EDIT,
        input_urls=(job.video_url,),
        name="edited",
        prompt=job.prompt,
        **size,
    )
    return (unit,)


VIDEO_EDIT = JobType(
    name="video-edit",
    summary="A video changed as a prompt says",
    submission=VideoEdit,
    capability=Capability.VIDEO_EDIT,
    units=_build_units,
    timeout=timedelta(minutes=30),
    queue=FEW_AT_A_TIME,
    price_text=VIDEO_EDIT_PRICE.describe(),
    example={"videoUrl": "https://example.com/clip.mp4", "prompt": "The same scene in deep snow"},
)
