"""A clip of one scene: given or generated pictures, with given or generated narration."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import AliasChoices, Field, model_validator

from taskreel.domain.credits import format_credits
from taskreel.domain.pipeline import Pipeline, Step
from taskreel.jobtypes.audio_synthesis import SPEECH_CREDITS
from taskreel.jobtypes.fields import SHORTEST_SCENE_SECONDS, Language, MediaUrl
from taskreel.jobtypes.image_generation import IMAGE_CREDITS
from taskreel.jobtypes.job_type import JobType, drop_none, escape_templates
from taskreel.jobtypes.submission import Submission
from taskreel.jobtypes.video_composition import FILM_CREDITS, CompositionOptions
from taskreel.ports import Capability


class SceneCreation(Submission):
    """`{prompt | imageUrls[], narration | audioUrl, title, voice, options{captions, …}}`."""

    prompt: str | None = Field(
        default=None,
        min_length=1,
        max_length=10_000,
        validation_alias=AliasChoices("prompt", "description"),
    )
    image_urls: list[MediaUrl] = Field(
        default_factory=list,
        max_length=10,
        validation_alias=AliasChoices("imageUrls", "image_urls", "images"),
    )
    narration: str | None = Field(
        default=None,
        max_length=5000,
        validation_alias=AliasChoices("narration", "narrationText", "text"),
    )
    audio_url: MediaUrl | None = Field(
        default=None,
        validation_alias=AliasChoices("audioUrl", "audio_url", "audio", "narrationAudio"),
    )
    title: str | None = Field(default=None, max_length=200)
    voice: str | None = Field(default=None, max_length=100)
    language: Language = "en"
    duration_seconds: float | None = Field(
        default=None,
        ge=SHORTEST_SCENE_SECONDS,
        le=600,
        validation_alias=AliasChoices("durationSeconds", "duration_seconds", "duration"),
    )
    move: str | None = Field(default=None, max_length=100)
    music: MediaUrl | None = None
    budget: int | None = Field(default=None, ge=1)
    options: CompositionOptions = Field(default_factory=CompositionOptions)

    @model_validator(mode="after")
    def _check_source(self) -> SceneCreation:
        if self.prompt is None and not self.image_urls:
            raise ValueError("give a prompt for the picture, or imageUrls")
        return self


def _build_pipeline(job: SceneCreation) -> Pipeline:
    job = escape_templates(job)
    steps: dict[str, Step] = {}
    behave = job.options.inherited
    scene: dict[str, Any] = {
        "visual": list(job.image_urls),
        "narration": job.narration,
        "title": job.title,
    }
    if not job.image_urls:
        width, height = job.options.size or (1280, 720)
        options = {"width": width, "height": height, **drop_none(seed=job.options.seed), **behave}
        picture = {"prompt": job.prompt, "options": options, **drop_none(model=job.model)}
        steps["picture"] = Step(type="image-generation", payload=picture)
        scene["visual"] = "{{steps.picture.artifacts[0].ref}}"
    audio: Any = [job.audio_url] if job.audio_url else []
    if job.narration and not job.audio_url:
        spoken = {
            "text": job.narration,
            "language": job.language,
            "options": behave,
            **drop_none(voice=job.voice),
        }
        steps["voice"] = Step(type="audio-synthesis", payload=spoken, on_failure="ignore")
        audio = "{{steps.voice.results[*].{scene: index, url: artifacts[0].ref} }}"
    elif job.audio_url:
        scene["audio"], audio = job.audio_url, []
    scene |= drop_none(durationSeconds=job.duration_seconds, move=job.move)
    film = {
        "scenes": [scene],
        "audio": audio,
        "spoken": bool(job.narration),
        "options": _film_options(job),
    }
    steps["clip"] = Step(type="video-composition", payload={**film, **drop_none(music=job.music)})
    return Pipeline(steps=steps)


def _film_options(job: SceneCreation) -> dict[str, Any]:
    return job.options.model_dump(by_alias=True, exclude_defaults=True, mode="json")


SCENE_CREATION = JobType(
    name="scene-creation",
    summary="One scene: pictures and narration to a clip",
    submission=SceneCreation,
    capability=Capability.PIPELINE,
    further_capabilities=frozenset({Capability.IMAGE, Capability.SPEECH}),
    price_text=(
        f"{format_credits(FILM_CREDITS)} for the clip, {IMAGE_CREDITS} for a picture that is made, "
        f"{SPEECH_CREDITS} for narration that is spoken"
    ),
    pipeline=_build_pipeline,
    timeout=timedelta(minutes=10),
    deadline=timedelta(hours=24),
    example={
        "prompt": "A lighthouse keeper on a cliff at dusk",
        "narration": "Every evening, at the same hour, the lamp was lit.",
        "options": {"resolution": "720p", "transition": "fade"},
    },
)
