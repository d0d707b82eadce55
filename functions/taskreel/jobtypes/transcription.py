"""The words of a sound or a video, with their times, as text and subtitles."""

from __future__ import annotations

from datetime import timedelta

from pydantic import AliasChoices, Field

from taskreel.jobtypes.fields import Language, MediaUrl
from taskreel.jobtypes.job_type import JobType, Unit, build_priced_unit
from taskreel.jobtypes.length_price import LengthPrice
from taskreel.jobtypes.queue_limits import FEW_AT_A_TIME
from taskreel.jobtypes.submission import Options, Submission
from taskreel.ports import Capability

TRANSCRIPTION_PRICE = LengthPrice(
    credits=1, block_seconds=600, usual_seconds=3600, most_seconds=6 * 3600
)


class TranscriptionOptions(Options):
    """Facts known of the speech; a language that is not given is detected."""

    language: Language | None = None
    #: Tell the speakers apart: each segment names its own.
    diarize: bool | None = None
    #: The most speakers there are.
    speakers: int | None = Field(default=None, ge=1, le=32)
    #: The longest file that may be bought: credits are held for it. An hour, if not given.
    max_seconds: int | None = Field(default=None, ge=1, le=TRANSCRIPTION_PRICE.most_seconds)


class Transcription(Submission):
    """`{url, model, provider, options{language, diarize, speakers, maxSeconds}}`.

    The result has `text`, `language` and `segments` (`start`, `end`, `text`), and subtitles as
    `.srt` and `.vtt` files. `{{steps.….result.text}}` is a film's narration, and its captions.
    """

    url: MediaUrl = Field(
        validation_alias=AliasChoices(
            "url", "audioUrl", "audio_url", "videoUrl", "video_url", "inputFile"
        )
    )
    options: TranscriptionOptions = Field(default_factory=TranscriptionOptions)


def _build_units(job: Transcription) -> tuple[Unit, ...]:
    unit = build_priced_unit(
        TRANSCRIPTION_PRICE,
        job.options,
        job.options.max_seconds,
        capability=Capability.TRANSCRIPTION,
        input_urls=(job.url,),
        name="transcript",
    )
    return (unit,)


TRANSCRIPTION = JobType(
    name="transcription",
    summary="The words of a sound or a video, with times and subtitles",
    submission=Transcription,
    capability=Capability.TRANSCRIPTION,
    units=_build_units,
    timeout=timedelta(minutes=25),
    queue=FEW_AT_A_TIME,
    price_text=TRANSCRIPTION_PRICE.describe(),
    example={"url": "https://example.com/interview.mp3", "options": {"language": "en"}},
)
