"""Every job type by name. Its module is imported when the type is first used.

A new type is a file here and a row of the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from taskreel.domain.errors import UnknownJobTypeError
from taskreel.domain.validation_messages import suggest_name

if TYPE_CHECKING:
    from taskreel.jobtypes.job_type import JobType  # with the first type: cold start

#: name → "module:CONSTANT"
_TABLE: Mapping[str, str] = {
    "image-generation": "image_generation:IMAGE_GENERATION",
    "video-generation": "video_generation:VIDEO_GENERATION",
    "video-edit": "video_edit:VIDEO_EDIT",
    "lip-sync": "lip_sync:LIP_SYNC",
    "image-upscale": "image_upscale:IMAGE_UPSCALE",
    "background-removal": "background_removal:BACKGROUND_REMOVAL",
    "batch-generation": "batch_generation:BATCH_GENERATION",
    "script-generation": "script_generation:SCRIPT_GENERATION",
    "story-generation": "story_generation:STORY_GENERATION",
    "scene-creation": "scene_creation:SCENE_CREATION",
    "audio-synthesis": "audio_synthesis:AUDIO_SYNTHESIS",
    "sound-effect": "sound_effect:SOUND_EFFECT",
    "transcription": "transcription:TRANSCRIPTION",
    "world-building": "world_building:WORLD_BUILDING",
    "content-analysis": "content_analysis:CONTENT_ANALYSIS",
    "video-composition": "video_composition:VIDEO_COMPOSITION",
    "video-assembly": "video_assembly:VIDEO_ASSEMBLY",
    "media-processing": "media_processing:MEDIA_PROCESSING",
    "personalization": "personalization:PERSONALIZATION",
    "ai-processing": "ai_processing:AI_PROCESSING",
    "movie-creation": "movie_creation:MOVIE_CREATION",
    "pipeline": "pipeline:PIPELINE",
    "webhook": "webhook:WEBHOOK",
}
#: Names of older services' queues, where the type has another.
_OTHER_NAMES: Mapping[str, str] = {"webhook-processing": "webhook"}


def canonical_name(name: str) -> str:
    """The name of a job type as it is stored; clients of older services write `IMAGE_UPSCALE`."""
    name = name.lower().replace("_", "-")
    return _OTHER_NAMES.get(name, name)


@cache  # a type that is known costs no call of Python
def find_job_type(name: str) -> JobType[Any]:
    """The type of a stored job. Raises UnknownJobTypeError for one that is not deployed."""
    if name not in _TABLE:
        raise UnknownJobTypeError(
            f"This deployment has no job type {name!r}; it may have been removed. "
            "The job can be read and cancelled, but not run."
        )
    module, _, constant = _TABLE[name].partition(":")
    job_type: JobType[Any] = getattr(import_module(f"{__name__}.{module}"), constant)
    return job_type


def explain_unknown_type(name: str) -> str:
    """The sentence about a job type that does not exist: the nearest name, and all names."""
    names = ", ".join(_TABLE)
    return f"there is no job type {name!r}{suggest_name(name, list(_TABLE))}; use one of: {names}"


class _JobTypes(Mapping[str, "JobType[Any]"]):
    """The table as a mapping of job types."""

    def __getitem__(self, name: str) -> JobType[Any]:
        if name not in _TABLE:
            raise KeyError(name)
        return find_job_type(name)

    def __iter__(self) -> Iterator[str]:
        return iter(_TABLE)

    def __len__(self) -> int:
        return len(_TABLE)

    def __contains__(self, name: object) -> bool:
        return name in _TABLE


JOB_TYPES: Mapping[str, JobType[Any]] = _JobTypes()
