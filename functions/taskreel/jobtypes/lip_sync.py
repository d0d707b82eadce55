"""A video whose mouths follow a voice."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Literal

from pydantic import AliasChoices, Field

from taskreel.jobtypes.fields import MediaUrl
from taskreel.jobtypes.job_type import JobType, Unit, build_priced_unit
from taskreel.jobtypes.length_price import LengthPrice
from taskreel.jobtypes.queue_limits import FEW_AT_A_TIME
from taskreel.jobtypes.submission import Options, Submission
from taskreel.ports import Capability

LIP_SYNC_PRICE = LengthPrice(credits=5, block_seconds=30, usual_seconds=60, most_seconds=3600)
#: Where the longer of video and voice is cut.
CUT_PRICE = replace(LIP_SYNC_PRICE, billed_file="shortest")


class LipSyncOptions(Options):
    """The fit of a video and a voice of different lengths; absent: the model's own."""

    #: The longer one is cut; the video is repeated, or played back and forth; silence is added; or
    #: the video is made faster or slower.
    sync_mode: Literal["cut_off", "loop", "bounce", "silence", "remap"] | None = None
    #: The longest result that may be bought: credits are held for it. A minute, if not given.
    max_seconds: int | None = Field(default=None, ge=1, le=LIP_SYNC_PRICE.most_seconds)


class LipSync(Submission):
    """`{videoUrl, audioUrl, model, provider, options{syncMode, maxSeconds}}`."""

    video_url: MediaUrl = Field(validation_alias=AliasChoices("videoUrl", "video_url", "video"))
    audio_url: MediaUrl = Field(validation_alias=AliasChoices("audioUrl", "audio_url", "audio"))
    options: LipSyncOptions = Field(default_factory=LipSyncOptions)


def _build_units(job: LipSync) -> tuple[Unit, ...]:
    price = CUT_PRICE if job.options.sync_mode == "cut_off" else LIP_SYNC_PRICE
    unit = build_priced_unit(
        price,
        job.options,
        job.options.max_seconds,
        capability=Capability.LIP_SYNC,
        input_urls=(job.video_url, job.audio_url),
        name="synced",
    )
    return (unit,)


LIP_SYNC = JobType(
    name="lip-sync",
    summary="A video whose mouths follow a voice",
    submission=LipSync,
    capability=Capability.LIP_SYNC,
    units=_build_units,
    timeout=timedelta(minutes=30),
    queue=FEW_AT_A_TIME,
    price_text=LIP_SYNC_PRICE.describe(),
    example={
        "videoUrl": "https://example.com/clip.mp4",
        "audioUrl": "https://example.com/voice.mp3",
    },
)
