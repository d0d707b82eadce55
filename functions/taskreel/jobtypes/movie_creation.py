"""A movie from a prompt: story, a picture for each scene, narration, music and the film."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from pydantic import AliasChoices, Field

from taskreel.domain.credits import format_credits
from taskreel.domain.pipeline import Pipeline, Step
from taskreel.domain.retry_policy import RetryPolicy
from taskreel.domain.value import Value
from taskreel.jobtypes.ai_processing import MUSIC_CREDITS
from taskreel.jobtypes.audio_synthesis import SPEECH_CREDITS
from taskreel.jobtypes.fields import Prompt, Seed
from taskreel.jobtypes.image_generation import IMAGE_CREDITS
from taskreel.jobtypes.job_type import JobType, drop_none, escape_templates
from taskreel.jobtypes.submission import Submission
from taskreel.jobtypes.text_schemas import TEXT_CREDITS, scenes_field
from taskreel.jobtypes.video_composition import FILM_CREDITS, CompositionOptions
from taskreel.jobtypes.video_generation import VIDEO_CREDITS
from taskreel.ports import Capability

_SCENES = "{{steps.story.result.scenes}}"
_CLOSING_TITLES = ("Made with Taskreel", "{{steps.story.result.logline}}")


class PartProviders(Value):
    """The providers of parts of the movie, instead of the job's `provider`."""

    story: str | None = Field(default=None, max_length=100)
    pictures: str | None = Field(default=None, max_length=100)
    clips: str | None = Field(default=None, max_length=100)
    voice: str | None = Field(default=None, max_length=100)
    music: str | None = Field(default=None, max_length=100)


#: Of a film without narration.
_UNTOLD = {"captions": "none", "subtitleFile": False}


class MovieCreation(Submission):
    """`{prompt, genre, num_sequences, seed, sampler, steps, cfg_scale, style, narration, …}`.

    `narration` "speech" falls back to captions where speech is not available, and the result says
    so. With `clips` a video provider animates each picture; without it the camera moves over them.
    """

    prompt: Prompt
    genre: str | None = Field(default=None, max_length=100)
    num_sequences: int = scenes_field(5)
    seed: Seed | None = None
    sampler: str | None = Field(default=None, max_length=100)
    steps: int | None = Field(default=None, ge=1, le=150)
    cfg_scale: float | None = Field(
        default=None,
        ge=0,
        le=30,
        validation_alias=AliasChoices("cfgScale", "cfg_scale", "guidance"),
    )
    title: str | None = Field(default=None, max_length=200)
    style: str | None = Field(default=None, max_length=200)
    narration: Literal["speech", "captions", "none"] = "speech"
    voice: str | None = Field(default=None, max_length=100)
    music: bool = True
    clips: bool = False
    providers: PartProviders = Field(default_factory=PartProviders)
    budget: int | None = Field(default=None, ge=1)
    options: CompositionOptions = Field(default_factory=CompositionOptions)


def _build_pipeline(job: MovieCreation) -> Pipeline:
    job = escape_templates(job)
    steps = {"story": _story_step(job), "pictures": _pictures_step(job)}
    if job.narration == "speech":
        steps["voices"] = _voices_step(job)
    if job.music:
        steps["music"] = _music_step(job)
    if job.clips:
        steps["clips"] = _clips_step(job)
    steps["film"] = _film_step(job)
    return Pipeline(steps=steps)


def _story_step(job: MovieCreation) -> Step:
    payload = {
        "prompt": job.prompt,
        "numSequences": job.num_sequences,
        **drop_none(genre=job.genre, seed=job.seed, provider=job.providers.story),
        "options": {**drop_none(style=job.style), **job.options.inherited},
    }
    return Step(type="story-generation", payload=payload, keep=True)


def _pictures_step(job: MovieCreation) -> Step:
    width, height = job.options.size or (1280, 720)
    drawing = drop_none(steps=job.steps, guidance=job.cfg_scale, sampler=job.sampler, seed=job.seed)
    payload = {
        "prompt": "{{item.description}}",
        "options": {"width": width, "height": height, **drawing, **job.options.inherited},
        **drop_none(provider=job.providers.pictures, model=None if job.clips else job.model),
    }
    return _for_each(job, "image-generation", payload, _SCENES)


def _voices_step(job: MovieCreation) -> Step:
    """Narration of each scene. A scene that cannot be spoken gets captions instead."""
    language = "{{steps.story.result.language}}"
    payload = {
        "text": "{{item.narration}}",
        "language": language,
        **drop_none(voice=job.voice, provider=job.providers.voice),
        "options": job.options.inherited,
    }
    return _for_each(job, "audio-synthesis", payload, _SCENES, on_failure="ignore")


def _music_step(job: MovieCreation) -> Step:
    seconds = "{{sum(steps.story.result.scenes[*].durationSeconds)}}"
    parameters = {"duration": seconds, **drop_none(seed=job.seed), **job.options.inherited}
    payload = {
        "task": "music",
        "input": f"{job.genre or ''} {{{{steps.story.result.music}}}}".strip(),
        "parameters": parameters,
        **drop_none(provider=job.providers.music),
    }
    return Step(type="ai-processing", payload=payload, on_failure="ignore")


def _clips_step(job: MovieCreation) -> Step:
    width, height = job.options.size or (1280, 720)
    payload = {
        "prompt": "{{item.scene.description}}",
        "imageUrls": ["{{item.picture.ref}}"],
        "options": {
            "width": width,
            "height": height,
            "duration": 5,
            **drop_none(seed=job.seed),
            **job.options.inherited,
        },
        **drop_none(provider=job.providers.clips, model=job.model),
    }
    both = {"scene": _SCENES, "picture": "{{steps.pictures.artifacts}}"}
    return _for_each(job, "video-generation", payload, both)


def _film_step(job: MovieCreation) -> Step:
    options = {
        **job.options.model_dump(by_alias=True, exclude_defaults=True, mode="json"),
        "sceneTitles": False,
    }
    payload: dict[str, Any] = {
        "title": job.title or "{{steps.story.result.title}}",
        "scenes": _SCENES,
        "assets": f"{{{{steps.{'clips' if job.clips else 'pictures'}.artifacts[*].ref}}}}",
        "credits": list(_CLOSING_TITLES),
        "spoken": job.narration == "speech",
        "options": options if job.narration != "none" else {**options, **_UNTOLD},
    }
    if job.narration == "speech":
        payload["audio"] = "{{steps.voices.results[*].{scene: index, url: artifacts[0].ref} }}"
    if job.music:
        payload["music"] = "{{steps.music.artifacts[*].ref}}"
    return Step(type="video-composition", payload=payload)


def _for_each(
    job: MovieCreation, type_: str, payload: dict[str, Any], for_each: Any, **more: Any
) -> Step:
    return Step(type=type_, payload=payload, for_each=for_each, max_items=job.num_sequences, **more)


def _provider_field(job: MovieCreation, step: str) -> str:
    part = {"voices": "voice"}.get(step, step)
    return f"providers.{part}" if getattr(job.providers, part, None) else "provider"


MOVIE_CREATION = JobType(
    name="movie-creation",
    summary="A whole movie from a prompt",
    submission=MovieCreation,
    capability=Capability.PIPELINE,
    further_capabilities=frozenset(
        {
            Capability.TEXT,
            Capability.IMAGE,
            Capability.VIDEO,
            Capability.SPEECH,
            Capability.MUSIC,
        }
    ),
    price_text=(
        f"{format_credits(TEXT_CREDITS)} for the story, {IMAGE_CREDITS} a picture, "
        f"{SPEECH_CREDITS} a narration, {MUSIC_CREDITS} for music, {FILM_CREDITS} for the film, "
        f"{VIDEO_CREDITS} a clip"
    ),
    usual={"num_sequences": 5},
    pipeline=_build_pipeline,
    provider_field=_provider_field,
    timeout=timedelta(minutes=10),
    deadline=timedelta(days=2),
    retry=RetryPolicy(min_backoff_seconds=1),
    example={
        "prompt": "A lighthouse keeper finds a message",
        "genre": "adventure",
        "num_sequences": 4,
        "seed": 7,
        "sampler": "euler",
        "steps": 30,
        "cfg_scale": 7.5,
    },
)
