"""A film from scenes, assets and sound."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field, model_validator

from taskreel.domain.value import Value
from taskreel.jobtypes.fields import SHORTEST_SCENE_SECONDS, FilmFormat, MediaUrl
from taskreel.jobtypes.job_type import IN_HOUSE, FilmOptions, Inputs, JobType, Unit
from taskreel.jobtypes.queue_limits import QueueLimits
from taskreel.jobtypes.submission import Submission
from taskreel.ports import Capability

FILM_CREDITS = 2
Captions = Literal["burned", "soft", "none"]
_VISUAL = (
    "visual",
    "url",
    "imageUrl",
    "image_url",
    "videoUrl",
    "video_url",
    "image",
    "video",
    "clip",
    "asset",
)


def _as_list(given: Any) -> Any:
    """Read a single value as a list of one."""
    return given if isinstance(given, list) else [] if given is None else [given]


def _first_of_list(given: Any) -> Any:
    return (given[0] if given else None) if isinstance(given, list) else given


def _as_captions(given: Any) -> Any:
    """Read yes and no as they were before captions could be soft."""
    return {True: "burned", False: "none"}[given] if isinstance(given, bool) else given


class CompositionOptions(FilmOptions):
    """`sceneTitles` shows each scene's title at its start; a title card shows the film's."""

    output_format: FilmFormat = Field(
        default="mp4", validation_alias=AliasChoices("outputFormat", "output_format", "format")
    )
    transition: Literal["fade", "dip", "slide", "wipe", "cut"] = "fade"
    transition_seconds: float | None = Field(default=None, gt=0, le=5)
    captions: Annotated[
        Captions, BeforeValidator(_as_captions, json_schema_input_type=Captions | bool)
    ] = Field(
        default="burned",
        description="`burned` into the pictures, `soft`: a track that the viewer turns on, or "
        "`none`; true is burned, false none",
    )
    subtitle_file: bool = Field(
        default=False, description="Add the narration as a .srt file to the job's artifacts"
    )
    poster: bool = Field(
        default=False, description="Add a picture of the film as a .jpg file to the artifacts"
    )
    scene_titles: bool = True
    music_gain_db: float | None = Field(default=None, ge=-40, le=6)


class SceneInput(Value):
    """One scene. A story's `description`, `dialogue` and `heading` are accepted, not shown."""

    visual: Annotated[
        list[MediaUrl],
        BeforeValidator(_as_list, json_schema_input_type=list[MediaUrl] | MediaUrl),
    ] = Field(
        default_factory=list,
        max_length=10,
        validation_alias=AliasChoices(*_VISUAL, "visuals", "images", "imageUrls"),
    )
    audio: MediaUrl | None = Field(
        default=None,
        validation_alias=AliasChoices(
            "audio", "audioUrl", "audio_url", "narrationUrl", "narrationAudio"
        ),
    )
    narration: str | None = Field(
        default=None,
        max_length=5000,
        validation_alias=AliasChoices("narration", "caption", "text", "subtitles"),
    )
    title: str | None = Field(default=None, max_length=200)
    subtitle: str | None = Field(default=None, max_length=300)
    duration_seconds: float | None = Field(
        default=None,
        ge=SHORTEST_SCENE_SECONDS,
        le=3600,
        validation_alias=AliasChoices("durationSeconds", "duration_seconds", "duration"),
    )
    move: str | None = Field(default=None, max_length=100)
    id: str | int | None = Field(
        default=None, validation_alias=AliasChoices("id", "sceneId", "scene_id")
    )
    description: str | None = Field(default=None, max_length=10_000)
    dialogue: list[Any] = Field(default_factory=list, max_length=200)
    heading: str | None = Field(default=None, max_length=300)


class AudioTrack(Value):
    """A sound: the narration of scene number `scene` (from 0), or of the whole film without it."""

    url: MediaUrl
    scene: int | None = Field(default=None, ge=0)


class Asset(Value):
    """A picture or clip; each scene without one takes the next."""

    url: MediaUrl
    id: str | int | None = None
    type: str | None = Field(default=None, max_length=50)


def _as_scene(given: Any) -> Any:
    return {"visual": given} if isinstance(given, str) else given


def _as_url(given: Any) -> Any:
    return {"url": given} if isinstance(given, str) else given


class VideoComposition(Submission):
    """`{scenes[], assets[], audio, music, title, subtitle, credits[], options{resolution, …}}`.

    A scene is an object or just a URL. `audio` is one sound for all, or `[{url, scene}]`.
    """

    scenes: list[
        Annotated[
            SceneInput, BeforeValidator(_as_scene, json_schema_input_type=SceneInput | MediaUrl)
        ]
    ] = Field(min_length=1, max_length=200)
    assets: list[
        Annotated[Asset, BeforeValidator(_as_url, json_schema_input_type=Asset | MediaUrl)]
    ] = Field(default_factory=list, max_length=200)
    audio: Annotated[
        list[Annotated[AudioTrack, BeforeValidator(_as_url)]], BeforeValidator(_as_list)
    ] = Field(
        default_factory=list,
        max_length=200,
        validation_alias=AliasChoices("audio", "audioTracks", "audioUrl"),
    )
    music: Annotated[MediaUrl | None, BeforeValidator(_first_of_list)] = Field(
        default=None, validation_alias=AliasChoices("music", "musicUrl", "backgroundMusic")
    )
    title: str | None = Field(default=None, max_length=200)
    subtitle: str | None = Field(default=None, max_length=300)
    credits: list[Annotated[str, Field(max_length=200)]] = Field(
        default_factory=list, max_length=20
    )
    spoken: bool = Field(
        default=False, description="Speech was wanted: the result says so when captions stand in"
    )
    options: CompositionOptions = Field(default_factory=CompositionOptions)

    @model_validator(mode="before")
    @classmethod
    def _nest_options(cls, given: Any) -> Any:
        """Accept options that are given beside the scenes."""
        if not isinstance(given, dict):
            return given
        names = (
            "outputFormat",
            "output_format",
            "format",
            "quality",
            "resolution",
            "fps",
            "transition",
            "captions",
            "subtitleFile",
            "poster",
        )
        moved = {name: given[name] for name in names if name in given}
        if not moved or not isinstance(given.get("options", {}), dict):
            return given
        others = {name: value for name, value in given.items() if name not in moved}
        return {**others, "options": {**moved, **given.get("options", {})}}

    @model_validator(mode="after")
    def _check_scene_numbers(self) -> VideoComposition:
        wrong = [
            track.scene
            for track in self.audio
            if track.scene is not None and track.scene >= len(self.scenes)
        ]
        if wrong:
            raise ValueError(
                f"audio: there is no scene {wrong[0]}; use 0 to {len(self.scenes) - 1}"
            )
        return self


def _build_units(job: VideoComposition) -> tuple[Unit, ...]:
    inputs = Inputs()
    spoken = {track.scene: track.url for track in job.audio}
    assets = iter(asset.url for asset in job.assets)
    scenes = [
        _build_scene(job, scene, inputs, assets, spoken.get(index))
        for index, scene in enumerate(job.scenes)
    ]
    master = spoken.get(None)
    params = {
        **job.options.to_params(),
        "scenes": scenes,
        "title": job.title,
        "subtitle": job.subtitle,
        "credits": list(job.credits),
        "spoken": job.spoken,
        "music": None if job.music is None else inputs.add_file(job.music),
        "master": None if master is None else inputs.add_file(master),
    }
    return (
        Unit(
            capability=Capability.COMPOSE,
            params=params,
            credits=FILM_CREDITS,
            input_urls=inputs.urls,
            name="film",
            provider=IN_HOUSE,
        ),
    )


def _build_scene(
    job: VideoComposition, scene: SceneInput, inputs: Inputs, assets: Any, spoken: str | None
) -> dict[str, Any]:
    asset = None if scene.visual else next(assets, None)
    sound = scene.audio or spoken
    return {
        "visuals": inputs.add_files(scene.visual or ([asset] if asset else [])),
        "narration": None if sound is None else inputs.add_file(sound),
        "text": scene.narration,
        "name": scene.title,
        "title": scene.title if job.options.scene_titles else None,
        "subtitle": scene.subtitle if job.options.scene_titles else None,
        "seconds": scene.duration_seconds,
        "move": scene.move,
    }


VIDEO_COMPOSITION = JobType(
    name="video-composition",
    summary="A film from scenes, assets and sound, with transitions, titles and captions",
    submission=VideoComposition,
    capability=Capability.COMPOSE,
    units=_build_units,
    timeout=timedelta(minutes=28),
    # CPU-bound: the instances of media work take few at a time (infra/services.yaml).
    queue=QueueLimits(concurrent_dispatches=1),
    example={
        "title": "The Message",
        "scenes": [
            {
                "imageUrl": "https://example.com/1.png",
                "narration": "It began with a bottle.",
                "duration": 4,
            },
            {"videoUrl": "https://example.com/2.mp4", "title": "The Storm"},
        ],
        "music": "https://example.com/music.mp3",
        "options": {"outputFormat": "mp4", "resolution": "720p", "transition": "fade"},
    },
)
