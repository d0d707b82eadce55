"""Speech from text."""

from __future__ import annotations

from datetime import timedelta

from pydantic import AliasChoices, Field

from taskreel.domain.value import Value
from taskreel.jobtypes.fields import Language, SoundFormat
from taskreel.jobtypes.job_type import JobType, Unit, build_params
from taskreel.jobtypes.submission import Options, Submission
from taskreel.ports import Capability

SPEECH_CREDITS = 1


class VoiceSettings(Value):
    """Settings of a voice. `speed` 1 is its normal pace; `pitch` ranges from 0 to 99."""

    speed: float | None = Field(default=None, ge=0.5, le=2.5)
    pitch: int | None = Field(default=None, ge=0, le=99)
    stability: float | None = Field(default=None, ge=0, le=1)
    similarity_boost: float | None = Field(default=None, ge=0, le=1)
    style: float | None = Field(default=None, ge=0, le=1)


class AudioSynthesis(Submission):
    """`{text, voice, language, outputFormat, settings{speed, pitch, …}, instructions}`."""

    text: str = Field(
        min_length=1,
        max_length=50_000,
        pattern=r"\w",
        validation_alias=AliasChoices("text", "input", "script"),
    )
    voice: str | None = Field(
        default=None, max_length=100, validation_alias=AliasChoices("voice", "voiceId", "voice_id")
    )
    #: Without it the provider detects the language of the text.
    language: Language | None = None
    output_format: SoundFormat = Field(
        default="mp3", validation_alias=AliasChoices("outputFormat", "output_format", "format")
    )
    settings: VoiceSettings = Field(
        default=VoiceSettings(),
        validation_alias=AliasChoices("settings", "voiceSettings", "voice_settings"),
    )
    instructions: str | None = Field(default=None, max_length=2000)
    options: Options = Field(default_factory=Options)


def _build_units(job: AudioSynthesis) -> tuple[Unit, ...]:
    params = build_params(
        job.options,
        text=job.text,
        voice=job.voice,
        language=job.language,
        outputFormat=job.output_format,
        instructions=job.instructions,
        **build_params(job.settings),
    )
    return (
        Unit(capability=Capability.SPEECH, params=params, credits=SPEECH_CREDITS, name="speech"),
    )


AUDIO_SYNTHESIS = JobType(
    name="audio-synthesis",
    summary="Speech from text",
    submission=AudioSynthesis,
    capability=Capability.SPEECH,
    units=_build_units,
    timeout=timedelta(minutes=10),
    example={
        "text": "The lamp has not gone out in forty years.",
        "voice": "narrator",
        "outputFormat": "mp3",
    },
)
