"""Scene videos under one master sound, in one or several formats."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from taskreel.domain.retry_policy import RetryPolicy
from taskreel.jobtypes.fields import FilmFormat, MediaUrl, sort_by_order
from taskreel.jobtypes.job_type import IN_HOUSE, FilmOptions, JobType, Unit
from taskreel.jobtypes.queue_limits import QueueLimits
from taskreel.jobtypes.submission import Submission
from taskreel.ports import Capability

ASSEMBLY_CREDITS = 2


def _bare_url(given: Any) -> Any:
    """Read a scene that is given as an object with its URL and its order."""
    known = (
        isinstance(given, dict)
        and "url" in given
        and set(given) <= {"url", "sceneId", "order", "duration"}
    )
    return given["url"] if known else given


Video = Annotated[MediaUrl, BeforeValidator(_bare_url)]


class VideoAssembly(Submission):
    """`{sceneVideos[], masterAudio, outputFormats[], options{resolution, fps, quality}}`."""

    scene_videos: Annotated[list[Video], BeforeValidator(sort_by_order)] = Field(
        min_length=1, max_length=100
    )
    master_audio: Annotated[MediaUrl, BeforeValidator(_bare_url)] | None = None
    output_formats: list[FilmFormat] = Field(default=["mp4"], min_length=1, max_length=3)
    options: FilmOptions = Field(default_factory=FilmOptions)


def _build_units(job: VideoAssembly) -> tuple[Unit, ...]:
    urls = (*job.scene_videos, *([job.master_audio] if job.master_audio else []))
    formats = list(dict.fromkeys(job.output_formats))
    params = {**job.options.to_params(), "videos": len(job.scene_videos), "outputFormats": formats}
    return (
        Unit(
            capability=Capability.ASSEMBLE,
            params=params,
            credits=ASSEMBLY_CREDITS,
            input_urls=urls,
            name="film",
            provider=IN_HOUSE,
        ),
    )


VIDEO_ASSEMBLY = JobType(
    name="video-assembly",
    summary="Scene videos and a master sound to one film, in several formats",
    submission=VideoAssembly,
    capability=Capability.ASSEMBLE,
    units=_build_units,
    timeout=timedelta(hours=2),
    # CPU-bound: the instances of media work take few at a time (infra/services.yaml).
    queue=QueueLimits(concurrent_dispatches=1),
    retry=RetryPolicy(max_attempts=2),
    example={
        "sceneVideos": ["https://example.com/scene1.mp4", "https://example.com/scene2.mp4"],
        "masterAudio": "https://example.com/narration.mp3",
        "outputFormats": ["mp4", "webm"],
    },
)
