"""A whole movie from a prompt: a story, a picture for each scene, narration and music, and one film of it all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from pydantic import AliasChoices, Field

from taskreel.domain.pipeline import Pipeline, Step
from taskreel.domain.value import Value
from taskreel.jobtypes.ai_processing import MUSIC_CREDITS
from taskreel.jobtypes.audio_synthesis import SPEECH_CREDITS
from taskreel.jobtypes.fields import Prompt, Seed
from taskreel.jobtypes.image_generation import IMAGE_CREDITS
from taskreel.jobtypes.job_type import JobType, Submission, format_credits, given, literal
from taskreel.jobtypes.queue_limits import QueueLimits
from taskreel.jobtypes.text_schemas import TEXT_CREDITS, scenes_field
from taskreel.jobtypes.video_composition import FILM_CREDITS, CompositionOptions
from taskreel.jobtypes.video_generation import VIDEO_CREDITS
from taskreel.ports import Capability

_SCENES = "{{steps.story.result.scenes}}"
_CLOSING_TITLES = ("Made with Taskreel", "{{steps.story.result.logline}}")


class Makers(Value):
    """Who makes which part, where it is not the job's `provider`, or whoever can."""

    story: str | None = Field(default=None, max_length=100)
    pictures: str | None = Field(default=None, max_length=100)
    clips: str | None = Field(default=None, max_length=100)
    voice: str | None = Field(default=None, max_length=100)
    music: str | None = Field(default=None, max_length=100)


class MovieCreation(Submission):
    """`{prompt, genre, num_sequences, seed, sampler, steps, cfg_scale, style, narration, music, clips, options}`.

    `narration` speech falls back to captions where no speech can be had, and the result says so. `clips` has each
    picture animated by a video provider; without it the composition moves the camera over the pictures.
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
    providers: Makers = Field(default_factory=Makers)
    budget: int | None = Field(default=None, ge=1)
    options: CompositionOptions = Field(default_factory=CompositionOptions)


def _pipeline(job: MovieCreation) -> Pipeline:
    job = literal(job)
    steps = {"story": _story(job), "pictures": _pictures(job)}
    if job.narration == "speech":
        steps["voices"] = _voices(job)
    if job.music:
        steps["music"] = _music(job)
    if job.clips:
        steps["clips"] = _clips(job)
    steps["film"] = _film(job)
    return Pipeline(steps=steps)


def _story(job: MovieCreation) -> Step:
    payload = {
        "prompt": job.prompt,
        "numSequences": job.num_sequences,
        **given(genre=job.genre, seed=job.seed, provider=job.providers.story),
        "options": {**given(style=job.style), **job.options.inherited},
    }
    return Step(type="story-generation", payload=payload, keep=True)


def _pictures(job: MovieCreation) -> Step:
    width, height = job.options.size or (1280, 720)
    drawing = given(steps=job.steps, guidance=job.cfg_scale, sampler=job.sampler, seed=job.seed)
    payload = {
        "prompt": "{{item.description}}",
        "options": {"width": width, "height": height, **drawing, **job.options.inherited},
        **given(provider=job.providers.pictures, model=None if job.clips else job.model),
    }
    return _each(job, "image-generation", payload, _SCENES)


def _voices(job: MovieCreation) -> Step:
    """Without speech there are captions: a scene that cannot be spoken does not end the movie."""
    language = "{{steps.story.result.language}}"
    payload = {
        "text": "{{item.narration}}",
        "language": language,
        **given(voice=job.voice, provider=job.providers.voice),
        "options": job.options.inherited,
    }
    return _each(job, "audio-synthesis", payload, _SCENES, on_failure="ignore")


def _music(job: MovieCreation) -> Step:
    seconds = "{{sum(steps.story.result.scenes[*].durationSeconds)}}"
    parameters = {"duration": seconds, **given(seed=job.seed), **job.options.inherited}
    payload = {
        "task": "music",
        "input": f"{job.genre or ''} {{{{steps.story.result.music}}}}".strip(),
        "parameters": parameters,
        **given(provider=job.providers.music),
    }
    return Step(type="ai-processing", payload=payload, on_failure="ignore")


def _clips(job: MovieCreation) -> Step:
    width, height = job.options.size or (1280, 720)
    payload = {
        "prompt": "{{item.scene.description}}",
        "imageUrls": ["{{item.picture.ref}}"],
        "options": {
            "width": width,
            "height": height,
            "duration": 5,
            **given(seed=job.seed),
            **job.options.inherited,
        },
        **given(provider=job.providers.clips, model=job.model),
    }
    both = {"scene": _SCENES, "picture": "{{steps.pictures.artifacts}}"}
    return _each(job, "video-generation", payload, both)


def _film(job: MovieCreation) -> Step:
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
        "options": options if job.narration != "none" else {**options, "captions": False},
    }
    if job.narration == "speech":
        payload["audio"] = "{{steps.voices.results[*].{scene: index, url: artifacts[0].ref} }}"
    if job.music:
        payload["music"] = "{{steps.music.artifacts[*].ref}}"
    return Step(type="video-composition", payload=payload)


def _each(
    job: MovieCreation, type_: str, payload: dict[str, Any], for_each: Any, **more: Any
) -> Step:
    return Step(type=type_, payload=payload, for_each=for_each, max_items=job.num_sequences, **more)


def _maker(job: MovieCreation, step: str) -> str:
    part = {"voices": "voice"}.get(step, step)
    return f"providers.{part}" if getattr(job.providers, part, None) else "provider"


MOVIE_CREATION = JobType(
    name="movie-creation",
    summary="A whole movie from a prompt",
    submission=MovieCreation,
    capability=Capability.PIPELINE,
    price_text=(
        f"{format_credits(TEXT_CREDITS)} for the story, {IMAGE_CREDITS} a picture, "
        f"{SPEECH_CREDITS} a narration, {MUSIC_CREDITS} for music, {FILM_CREDITS} for the film, "
        f"{VIDEO_CREDITS} a clip"
    ),
    usual={"num_sequences": 5},
    pipeline=_pipeline,
    maker=_maker,
    timeout=timedelta(minutes=10),
    deadline=timedelta(days=2),
    # One job is many pictures or many jobs: started slowly, it leaves room for others.
    queue=QueueLimits(dispatches_per_second=4, concurrent_dispatches=40),
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
