"""A sound effect from a prompt."""

from __future__ import annotations

from pydantic import AliasChoices, Field

from taskreel.jobtypes.fields import Prompt, SoundFormat
from taskreel.jobtypes.job_type import JobType, Unit, build_params
from taskreel.jobtypes.queue_limits import FEW_AT_A_TIME
from taskreel.jobtypes.submission import Options, Submission
from taskreel.ports import Capability

SOUND_EFFECT_CREDITS = 1


class SoundEffectOptions(Options):
    """Length in seconds, and format; without a length the model chooses it by the prompt."""

    duration: float | None = Field(default=None, ge=0.5, le=30)
    #: The end leads into the beginning.
    loop: bool | None = None
    #: 0 leaves the model free, 1 holds it to the prompt.
    prompt_influence: float | None = Field(default=None, ge=0, le=1)
    output_format: SoundFormat = "mp3"


class SoundEffect(Submission):
    """`{prompt, model, provider, options{duration, loop, promptInfluence, outputFormat}}`."""

    prompt: Prompt = Field(validation_alias=AliasChoices("prompt", "text"))
    options: SoundEffectOptions = Field(default_factory=SoundEffectOptions)


def _build_units(job: SoundEffect) -> tuple[Unit, ...]:
    return (
        Unit(
            capability=Capability.SOUND_EFFECT,
            params=build_params(job.options, prompt=job.prompt),
            credits=SOUND_EFFECT_CREDITS,
            name="effect",
        ),
    )


SOUND_EFFECT = JobType(
    name="sound-effect",
    summary="A sound effect from a prompt",
    submission=SoundEffect,
    capability=Capability.SOUND_EFFECT,
    units=_build_units,
    queue=FEW_AT_A_TIME,
    example={"prompt": "A heavy wooden door closes in a stone hall", "options": {"duration": 4}},
)
