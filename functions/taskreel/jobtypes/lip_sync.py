"""A video whose mouths follow a voice."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import AliasChoices, Field

from taskreel.jobtypes.fields import MediaUrl
from taskreel.jobtypes.job_type import JobType, Unit, build_params
from taskreel.jobtypes.queue_limits import FEW_AT_A_TIME
from taskreel.jobtypes.submission import Options, Submission
from taskreel.ports import Capability

LIP_SYNC_CREDITS = 5


class LipSyncOptions(Options):
    """The fit of a video and a voice of different lengths; absent: the model's own."""

    #: The longer one is cut; the video is repeated, or played back and forth; silence is added; or
    #: the video is made faster or slower.
    sync_mode: Literal["cut_off", "loop", "bounce", "silence", "remap"] | None = None


class LipSync(Submission):
    """`{videoUrl, audioUrl, model, provider, options{syncMode}}`."""

    video_url: MediaUrl = Field(validation_alias=AliasChoices("videoUrl", "video_url", "video"))
    audio_url: MediaUrl = Field(validation_alias=AliasChoices("audioUrl", "audio_url", "audio"))
    options: LipSyncOptions = Field(default_factory=LipSyncOptions)


def _build_units(job: LipSync) -> tuple[Unit, ...]:
    return (
        Unit(
            capability=Capability.LIP_SYNC,
            params=build_params(job.options),
            credits=LIP_SYNC_CREDITS,
            input_urls=(job.video_url, job.audio_url),
            name="synced",
        ),
    )


LIP_SYNC = JobType(
    name="lip-sync",
    summary="A video whose mouths follow a voice",
    submission=LipSync,
    capability=Capability.LIP_SYNC,
    units=_build_units,
    timeout=timedelta(minutes=30),
    queue=FEW_AT_A_TIME,
    example={
        "videoUrl": "https://example.com/clip.mp4",
        "audioUrl": "https://example.com/voice.mp3",
    },
)
