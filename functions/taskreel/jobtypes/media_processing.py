"""One operation on media files: stitch clips or sounds, lay music under a voice, take a frame."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from taskreel.domain.retry_policy import RetryPolicy
from taskreel.domain.value import Value, validation_error
from taskreel.jobtypes.fields import (
    FPS,
    FilmFormat,
    FilmQuality,
    Fit,
    MediaUrl,
    Side,
    SoundFormat,
    sort_by_order,
)
from taskreel.jobtypes.given_story import OutputPath, name_output
from taskreel.jobtypes.job_type import IN_HOUSE, JobType, Unit, build_params
from taskreel.jobtypes.queue_limits import QueueLimits
from taskreel.jobtypes.submission import Options, Submission
from taskreel.ports import Capability

PROCESSING_CREDITS = 1


def _bare_url(given: Any) -> Any:
    return (
        given.get("url")
        if isinstance(given, dict) and set(given) <= {"url", "type", "role", "order"}
        else given
    )


_FORMAT = AliasChoices("outputFormat", "output_format", "format")


class VideoStitch(Value):
    """Clips one after another, by default in the first clip's size and rate.

    Clips that are alike are copied without loss, unless a size, rate or quality is asked for.
    `fit` says how clips of another shape are shown: cropped (`cover`), with bars (`contain`, the
    default) or over their own blurred picture (`blur`). `fill: true` is an older name of `cover`.
    """

    output_format: FilmFormat = Field(default="mp4", validation_alias=_FORMAT)
    width: Side | None = None
    height: Side | None = None
    fps: FPS | None = None
    quality: FilmQuality | None = None
    fill: bool | None = None
    fit: Fit | None = None


class AudioStitch(Value):
    """Sounds one after another, with a pause or a cross-fade between them."""

    output_format: SoundFormat = Field(default="mp3", validation_alias=_FORMAT)
    gap_seconds: float | None = Field(default=None, ge=0, le=60)
    crossfade_seconds: float | None = Field(default=None, ge=0, le=30)

    @field_validator("crossfade_seconds")
    @classmethod
    def _check_not_both(cls, given: float | None, info: ValidationInfo) -> float | None:
        if given and info.data.get("gap_seconds"):
            raise ValueError("must not be combined with gapSeconds")
        return given


class MusicMix(Value):
    """A voice over music.

    The music starts `leadSeconds` before the voice and is lowered by `duckDb` while it speaks.
    """

    output_format: SoundFormat = Field(default="mp3", validation_alias=_FORMAT)
    lead_seconds: float | None = Field(default=None, ge=0, le=60)
    tail_seconds: float | None = Field(default=None, ge=0, le=60)
    music_gain_db: float | None = Field(default=None, ge=-60, le=12)
    duck_db: float | None = Field(default=None, ge=-60, le=0)
    #: The music, where `inputFiles` has the voice alone.
    music_track: Annotated[MediaUrl, BeforeValidator(_bare_url)] | None = None
    target_lufs: float | None = Field(default=None, ge=-40, le=-8)


def _last_as_none(given: Any) -> Any:
    return None if given == "last" else given


class FrameExtract(Value):
    """The frame at `atSeconds`; absent or "last" takes the last one."""

    output_format: Literal["png", "jpg", "webp"] = Field(default="png", validation_alias=_FORMAT)
    at_seconds: Annotated[float | None, BeforeValidator(_last_as_none)] = Field(
        default=None,
        ge=0,
        le=86_400,
        validation_alias=AliasChoices("atSeconds", "at_seconds", "timestamp", "time", "position"),
    )


Parameters = VideoStitch | AudioStitch | MusicMix | FrameExtract
PARAMETERS: Mapping[str, type[Parameters]] = {
    "video-stitch": VideoStitch,
    "audio-stitch": AudioStitch,
    "music-mix": MusicMix,
    "frame-extract": FrameExtract,
}
_FILES = {
    "music-mix": (
        2,
        "two files: the voice, then the music, or parameters.musicTrack for the music",
    ),
    "frame-extract": (1, "one file"),
}


def _parse_parameters(given: Any, info: ValidationInfo) -> Any:
    """Validate by the operation; if that is invalid, only the operation is reported."""
    return (
        PARAMETERS[info.data["operation"]].model_validate(given)
        if "operation" in info.data
        else VideoStitch()
    )


class MediaProcessing(Submission):
    """`{operation, inputFiles[], outputPath, parameters{}}`.

    `operation` is `video-stitch`, `audio-stitch`, `music-mix` or `frame-extract`. `music-mix` takes
    two files, the voice and then the music; `frame-extract` takes one. `outputPath` names the
    result.
    """

    operation: Literal["video-stitch", "audio-stitch", "music-mix", "frame-extract"] = Field(
        validation_alias=AliasChoices(
            "operation", "type", "task", "processingType", "processing_type"
        )
    )
    input_files: Annotated[
        list[Annotated[MediaUrl, BeforeValidator(_bare_url)]], BeforeValidator(sort_by_order)
    ] = Field(min_length=1, max_length=100)
    parameters: Annotated[Parameters, BeforeValidator(_parse_parameters)] = Field(
        default={}, validate_default=True
    )
    output_path: OutputPath | None = None
    options: Options = Field(default_factory=Options)

    @property
    def files(self) -> list[str]:
        """All input files, the music of a mix last."""
        music = self.parameters.music_track if isinstance(self.parameters, MusicMix) else None
        return [*self.input_files, music] if music else self.input_files

    @model_validator(mode="after")
    def _check_file_count(self) -> MediaProcessing:
        given = len(self.files)
        count, wanted = _FILES.get(self.operation, (given, ""))
        if given != count:
            message = f"{self.operation} takes {wanted}; {given} given"
            raise validation_error("MediaProcessing", [(("inputFiles",), message)])
        return self


def _build_units(job: MediaProcessing) -> tuple[Unit, ...]:
    parameters = build_params(job.parameters, "music_track")
    params = build_params(job.options, operation=job.operation, **parameters)
    return (
        Unit(
            capability=Capability.PROCESS,
            params=params,
            credits=PROCESSING_CREDITS,
            input_urls=tuple(job.files),
            name=name_output(job.output_path, job.operation),
            provider=IN_HOUSE,
        ),
    )


MEDIA_PROCESSING = JobType(
    name="media-processing",
    summary="Stitch clips or sounds, lay music under a voice, take a frame",
    submission=MediaProcessing,
    capability=Capability.PROCESS,
    units=_build_units,
    timeout=timedelta(hours=1),
    # CPU-bound: the instances of media work take few at a time (infra/services.yaml).
    queue=QueueLimits(concurrent_dispatches=1),
    retry=RetryPolicy(min_backoff_seconds=5),
    example={
        "operation": "video-stitch",
        "inputFiles": ["https://example.com/a.mp4", "https://example.com/b.mp4"],
        "parameters": {"outputFormat": "mp4"},
    },
)
