"""Existing text, pictures and videos made personal: names, captions, colours, voice, language."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, model_validator

from taskreel.domain.personal_text import personalize_text
from taskreel.domain.value import Value
from taskreel.jobtypes.fields import Language, MediaUrl
from taskreel.jobtypes.job_type import IN_HOUSE, JobType, Unit, build_params
from taskreel.jobtypes.queue_limits import QueueLimits
from taskreel.jobtypes.submission import Options, Submission
from taskreel.jobtypes.text_schemas import TRANSLATION
from taskreel.ports import Capability

PERSONALIZATION_CREDITS = 1
_URLS = ("contentUrl", "content_url", "url", "imageUrl", "videoUrl", "mediaUrl", "baseContentUrl")


PALETTES: Mapping[str, str] = {
    "warm": "#d9862b",
    "cool": "#2b6cd9",
    "sepia": "#a07040",
    "noir": "#808080",
    "forest": "#3f7a4a",
    "rose": "#d96a8c",
    "night": "#27348b",
    "gold": "#c9a227",
}


def _as_colour(palette: str) -> str:
    """Parse a palette's name or a colour into `#rrggbb`."""
    colour = PALETTES.get(palette.lower(), palette).lower()
    if not re.fullmatch("#?[0-9a-f]{6}", colour):
        raise ValueError(f"must be #rrggbb or one of {', '.join(PALETTES)}")
    return f"#{colour.lstrip('#')}"


def _as_names(given: Any) -> Any:
    """Read a single name as the replacement of the placeholder {name}."""
    return {"{name}": given} if isinstance(given, str) else given


class Aspects(Value):
    """`names` maps names in the text to their replacements.

    `palette` is #rrggbb or a word (warm, cool, sepia, …).
    """

    names: Annotated[
        dict[str, Annotated[str, Field(min_length=1, max_length=100)]], BeforeValidator(_as_names)
    ] = Field(default_factory=dict, max_length=50, validation_alias=AliasChoices("names", "name"))
    caption: str | None = Field(
        default=None,
        max_length=500,
        validation_alias=AliasChoices("caption", "captions", "greeting", "message"),
    )
    palette: Annotated[str, AfterValidator(_as_colour)] | None = Field(
        default=None, max_length=20, validation_alias=AliasChoices("palette", "color", "colour")
    )
    voice: str | None = Field(default=None, max_length=100)
    language: Language | None = None


class Personalization(Submission):
    """`{content | contentUrl, aspects{names, caption, palette, voice, language}, intensity 0…1}`.

    A text provider translates a text into `language`; a film's speech is only spoken in it.
    """

    content: str | None = Field(
        default=None,
        min_length=1,
        max_length=200_000,
        validation_alias=AliasChoices("content", "text"),
    )
    content_url: MediaUrl | None = Field(default=None, validation_alias=AliasChoices(*_URLS))
    aspects: Aspects = Field(
        validation_alias=AliasChoices("aspects", "userAspects", "personalization", "userData")
    )
    intensity: float = Field(default=1.0, ge=0, le=1)
    options: Options = Field(default_factory=Options)

    @model_validator(mode="after")
    def _check_source(self) -> Personalization:
        if (self.content is None) == (self.content_url is None):
            raise ValueError("give either content (a text) or contentUrl (a picture or a video)")
        if self.aspects == Aspects():
            raise ValueError(
                "aspects: give at least one of names, caption, palette, voice, language"
            )
        return self


def _build_units(job: Personalization) -> tuple[Unit, ...]:
    params = build_params(
        job.options, text=job.content, intensity=job.intensity, **build_params(job.aspects)
    )
    if job.content is not None and job.aspects.language:
        return (_translation_unit(job, job.aspects.language, params),)
    return (
        Unit(
            capability=Capability.PERSONALIZE,
            params=params,
            credits=PERSONALIZATION_CREDITS,
            input_urls=(job.content_url,) if job.content_url else (),
            name="personalized",
            provider=IN_HOUSE,
        ),
    )


def _translation_unit(job: Personalization, language: str, params: Mapping[str, Any]) -> Unit:
    """The unit that translates the text, after all other aspects were applied to it."""
    text, applied, skipped = personalize_text(params)
    task = (
        f"Translate the user's text into {language}, whatever it says. "
        "Keep its names, lines and mark-up."
    )
    return Unit(
        capability=Capability.TEXT,
        params=build_params(
            job.options, kind="translation", prompt=text, instructions=task, schema=TRANSLATION
        ),
        credits=PERSONALIZATION_CREDITS,
        name="personalized",
        when_unserved="refuse",
        facts={
            "applied": [*applied, f"language: {language}"],
            "skipped": skipped,
            "intensity": job.intensity,
        },
    )


PERSONALIZATION = JobType(
    name="personalization",
    summary="Existing text, pictures or videos made personal",
    submission=Personalization,
    capability=Capability.PERSONALIZE,
    further_capabilities=frozenset({Capability.TEXT}),
    units=_build_units,
    timeout=timedelta(minutes=28),
    # CPU-bound: the instances of media work take few at a time (infra/services.yaml).
    queue=QueueLimits(concurrent_dispatches=5),
    example={
        "contentUrl": "https://example.com/card.png",
        "aspects": {"caption": "For Ada, with love", "palette": "warm"},
        "intensity": 0.8,
    },
)
