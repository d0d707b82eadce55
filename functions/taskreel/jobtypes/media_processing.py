"""One operation on media files: stitch clips or sounds, lay music under a voice, take a frame."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field, model_validator

from taskreel.domain.value import Value
from taskreel.jobtypes.job_type import (
    FPS,
    LOCAL,
    FilmQuality,
    JobType,
    MediaUrl,
    Options,
    Side,
    Submission,
    Unit,
    params_of,
)
from taskreel.ports import Capability

CREDITS = 1
FORMATS = {
    "video-stitch": ("mp4", "webm", "mov"),
    "audio-stitch": ("mp3", "wav", "opus", "m4a", "flac"),
    "music-mix": ("mp3", "wav", "opus", "m4a", "flac"),
    "frame-extract": ("png", "jpg", "webp"),
}


def _last_is_none(given: Any) -> Any:
    return None if given == "last" else given


class Parameters(Value):
    """What the operations take; each reads its own. `atSeconds` absent or "last" takes the last frame."""

    output_format: str | None = Field(
        default=None, validation_alias=AliasChoices("outputFormat", "output_format", "format")
    )
    width: Side | None = None
    height: Side | None = None
    fps: FPS | None = None
    quality: FilmQuality | None = None
    fill: bool | None = None
    gap_seconds: float | None = Field(default=None, ge=0, le=60)
    crossfade_seconds: float | None = Field(default=None, ge=0, le=30)
    at_seconds: Annotated[float | None, BeforeValidator(_last_is_none)] = Field(
        default=None,
        ge=0,
        le=86_400,
        validation_alias=AliasChoices("atSeconds", "at_seconds", "timestamp", "time", "position"),
    )
    lead_seconds: float | None = Field(default=None, ge=0, le=60)
    tail_seconds: float | None = Field(default=None, ge=0, le=60)
    music_gain_db: float | None = Field(default=None, ge=-60, le=12)
    duck_db: float | None = Field(default=None, ge=-60, le=0)
    target_lufs: float | None = Field(default=None, ge=-40, le=-8)


def _bare_url(given: Any) -> Any:
    return given.get("url") if isinstance(given, dict) and set(given) <= {"url", "type", "role", "order"} else given


class MediaProcessing(Submission):
    """`{operation: video-stitch | audio-stitch | music-mix | frame-extract, inputFiles[], parameters{}}`.

    `music-mix` takes two files: the voice, then the music.
    """

    operation: Literal["video-stitch", "audio-stitch", "music-mix", "frame-extract"] = Field(
        validation_alias=AliasChoices("operation", "type", "task", "processingType", "processing_type")
    )
    input_files: list[Annotated[MediaUrl, BeforeValidator(_bare_url)]] = Field(min_length=1, max_length=100)
    parameters: Parameters = Field(default_factory=Parameters)
    options: Options = Field(default_factory=Options)

    @model_validator(mode="after")
    def _fits(self) -> MediaProcessing:
        wanted, known = self.parameters.output_format, FORMATS[self.operation]
        if wanted is not None and wanted not in known:
            raise ValueError(f"parameters.outputFormat: {self.operation} writes {', '.join(known)}, not {wanted}")
        if self.operation == "music-mix" and len(self.input_files) != 2:
            raise ValueError("inputFiles: music-mix takes two, the voice and then the music")
        return self


def _units(job: MediaProcessing) -> tuple[Unit, ...]:
    form = job.parameters.output_format or FORMATS[job.operation][0]
    params = params_of(job.options, operation=job.operation, **{**params_of(job.parameters), "outputFormat": form})
    return (
        Unit(
            capability=Capability.PROCESS,
            params=params,
            credits=CREDITS,
            input_urls=tuple(job.input_files),
            name=job.operation,
            provider=LOCAL,
        ),
    )


MEDIA_PROCESSING = JobType(
    name="media-processing",
    summary="Stitch clips or sounds, lay music under a voice, take a frame",
    submission=MediaProcessing,
    capability=Capability.PROCESS,
    price="1 credit",
    credits=CREDITS,
    units=_units,
    timeout=timedelta(minutes=20),
    example={
        "operation": "video-stitch",
        "inputFiles": ["https://example.com/a.mp4", "https://example.com/b.mp4"],
        "parameters": {"outputFormat": "mp4"},
    },
)
