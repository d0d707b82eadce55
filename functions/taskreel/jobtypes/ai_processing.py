"""A provider call named by its task, with parameters that are passed on unchanged."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field, ValidationError, model_validator

from taskreel.domain.credits import format_credits
from taskreel.domain.validation_messages import describe_errors
from taskreel.domain.value import Value, validation_error
from taskreel.jobtypes.audio_synthesis import SPEECH_CREDITS, VoiceSettings
from taskreel.jobtypes.fields import Language, MediaUrl, SoundFormat
from taskreel.jobtypes.image_generation import IMAGE_CREDITS, ImageOptions
from taskreel.jobtypes.image_upscale import UPSCALE_CREDITS, UpscaleOptions
from taskreel.jobtypes.job_type import JobType, Unit, build_params
from taskreel.jobtypes.registered_options import registered_names
from taskreel.jobtypes.submission import Options, Submission
from taskreel.jobtypes.text_schemas import TEXT_CREDITS, WritingOptions, add_instructions
from taskreel.jobtypes.video_generation import VIDEO_CREDITS, VideoOptions
from taskreel.ports import Capability

MUSIC_CREDITS = 1
_TASKS: dict[str, Capability] = {
    "text": Capability.TEXT,
    "text-generation": Capability.TEXT,
    "chat": Capability.TEXT,
    "completion": Capability.TEXT,
    "image": Capability.IMAGE,
    "image-generation": Capability.IMAGE,
    "text-to-image": Capability.IMAGE,
    "image-to-image": Capability.IMAGE,
    "video": Capability.VIDEO,
    "video-generation": Capability.VIDEO,
    "text-to-video": Capability.VIDEO,
    "image-to-video": Capability.VIDEO,
    "upscale": Capability.UPSCALE,
    "image-upscale": Capability.UPSCALE,
    "speech": Capability.SPEECH,
    "text-to-speech": Capability.SPEECH,
    "tts": Capability.SPEECH,
    "music": Capability.MUSIC,
    "music-generation": Capability.MUSIC,
    "text-to-music": Capability.MUSIC,
}


class TextParameters(WritingOptions):
    """`schema` (JSON Schema) asks a model for an object.

    `kind` and the counts become part of the model's instructions.
    """

    instructions: str | None = Field(default=None, max_length=50_000)
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    kind: Literal["text", "story", "script", "scene", "world"] = "text"
    genre: str | None = Field(default=None, max_length=100)
    scene_count: int | None = Field(default=None, ge=1, le=30)
    place_count: int | None = Field(default=None, ge=1, le=20)
    character_count: int | None = Field(default=None, ge=1, le=20)


class UpscaleParameters(UpscaleOptions):
    """Options of an upscaler, with the factor."""

    scale: float = Field(default=2, gt=1, le=8)


class SpeechParameters(VoiceSettings, Options):
    """Voice, language and format of speech."""

    voice: str | None = Field(default=None, max_length=100)
    language: Language | None = None
    output_format: SoundFormat = "mp3"
    instructions: str | None = Field(default=None, max_length=2000)


class MusicParameters(Options):
    """Length in seconds, and format."""

    duration: float = Field(default=30, ge=2, le=3600)
    output_format: SoundFormat = "mp3"


_PARAMETERS: dict[Capability, tuple[type[Options], int]] = {
    Capability.TEXT: (TextParameters, TEXT_CREDITS),
    Capability.IMAGE: (ImageOptions, IMAGE_CREDITS),
    Capability.VIDEO: (VideoOptions, VIDEO_CREDITS),
    Capability.UPSCALE: (UpscaleParameters, UPSCALE_CREDITS),
    Capability.SPEECH: (SpeechParameters, SPEECH_CREDITS),
    Capability.MUSIC: (MusicParameters, MUSIC_CREDITS),
}


def _as_list(given: Any) -> Any:
    return [given] if isinstance(given, str) else given


class Material(Value):
    """The input: a prompt, files, or both."""

    prompt: str | None = Field(
        default=None, max_length=500_000, validation_alias=AliasChoices("prompt", "text")
    )
    files: Annotated[list[MediaUrl], BeforeValidator(_as_list)] = Field(
        default_factory=list,
        max_length=20,
        validation_alias=AliasChoices(
            "files", "urls", "imageUrls", "imageUrl", "image_url", "url", "image"
        ),
    )


def _as_material(given: Any) -> Any:
    return {"prompt": given} if isinstance(given, str) else given


class AiProcessing(Submission):
    """`{task, input, parameters, provider, model}`.

    Unknown parameters are passed to the provider unchanged.
    """

    task: str = Field(max_length=50, json_schema_extra={"enum": list(_TASKS)})
    input: Annotated[Material, BeforeValidator(_as_material, json_schema_input_type=Material | str)]
    parameters: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_task(self) -> AiProcessing:
        if self.task.lower() not in _TASKS:
            raise ValueError(f"task: {self.task!r} is not a task; use one of: {', '.join(_TASKS)}")
        capability = _TASKS[self.task.lower()]
        if capability is Capability.UPSCALE and not self.input.files:
            raise ValueError("input: give the picture to enlarge in files or imageUrl")
        if capability is not Capability.UPSCALE and not (self.input.prompt or self.input.files):
            raise ValueError("input: give a prompt, files, or both")
        try:
            _build_options(self)
        except ValidationError as error:
            model, _ = _PARAMETERS[capability]
            found = describe_errors(error.errors(), model)
            raise validation_error(
                "AiProcessing", [(("parameters", *at), message) for at, message in found]
            ) from None
        return self


def _build_options(job: AiProcessing) -> Options:
    model, _ = _PARAMETERS[_TASKS[job.task.lower()]]
    aliases = {field.alias for field in model.model_fields.values()}
    names = {*model.model_fields, *aliases, *registered_names()}
    known = {name: value for name, value in job.parameters.items() if name in names}
    others = {name: value for name, value in job.parameters.items() if name not in names}
    options = model.model_validate(known)
    return options.model_copy(update={"provider_options": {**options.provider_options, **others}})


def _build_units(job: AiProcessing) -> tuple[Unit, ...]:
    capability = _TASKS[job.task.lower()]
    word = "text" if capability is Capability.SPEECH else "prompt"
    params = build_params(_build_options(job), **{word: job.input.prompt or ""})
    return (
        Unit(
            capability=capability,
            params=add_instructions(params) if capability is Capability.TEXT else params,
            credits=_PARAMETERS[capability][1],
            input_urls=tuple(job.input.files),
            name=str(capability),
        ),
    )


AI_PROCESSING = JobType(
    name="ai-processing",
    summary="A provider call by its task, with the parameters as they stand",
    submission=AiProcessing,
    capability=Capability.TEXT,
    further_capabilities=frozenset(_PARAMETERS),
    price_text="; ".join(
        f"{capability} {format_credits(amount)}" for capability, (_, amount) in _PARAMETERS.items()
    ),
    units=_build_units,
    timeout=timedelta(minutes=30),
    example={
        "task": "text-to-music",
        "input": "A calm morning at the harbour",
        "parameters": {"duration": 20},
    },
)
