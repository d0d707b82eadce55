"""Measurements of a script, text, picture, sound or video, and a model's insights."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field, model_validator

from taskreel.domain.credits import format_credits
from taskreel.jobtypes.fields import MediaUrl
from taskreel.jobtypes.job_type import IN_HOUSE, JobType, Unit, build_params
from taskreel.jobtypes.queue_limits import QueueLimits
from taskreel.jobtypes.submission import Options, Submission
from taskreel.jobtypes.text_schemas import INSIGHTS, TEXT_CREDITS
from taskreel.ports import Capability

ANALYSIS_CREDITS = 1
_URLS = (
    "url",
    "contentUrl",
    "content_url",
    "mediaUrl",
    "imageUrl",
    "videoUrl",
    "audioUrl",
    "fileUrl",
)
_TASK = (
    "Analyse what the user gives: what it is about, its themes and mood, what works, and what "
    "could be better."
)


def _as_text(given: Any) -> Any:
    """Serialise a script that is given as an object."""
    return json.dumps(given, ensure_ascii=False) if isinstance(given, dict | list) else given


class ContentAnalysis(Submission):
    """`{content | url, contentType, insights, aspects[]}`.

    `insights` come from the provider that the job names, or else from the cheapest configured one
    that takes such content. Without a configured provider there are measurements only.
    """

    content: Annotated[str | None, BeforeValidator(_as_text)] = Field(
        default=None,
        min_length=1,
        max_length=500_000,
        validation_alias=AliasChoices("content", "text", "script"),
    )
    url: MediaUrl | None = Field(default=None, validation_alias=AliasChoices(*_URLS))
    content_type: Literal["script", "image", "video", "audio", "text"] | None = Field(
        default=None, validation_alias=AliasChoices("contentType", "content_type", "type")
    )
    insights: bool = True
    aspects: list[Annotated[str, Field(max_length=100)]] = Field(
        default_factory=list,
        max_length=20,
        validation_alias=AliasChoices("aspects", "analysisTypes", "analysisType"),
    )
    options: Options = Field(default_factory=Options)

    @model_validator(mode="after")
    def _check_source(self) -> ContentAnalysis:
        if (self.content is None) == (self.url is None):
            raise ValueError("give either content (a text or script) or url (a file)")
        if self.content is not None and self.content_type not in (None, "script", "text"):
            raise ValueError(f"content is a text: give the {self.content_type} as url")
        return self


def _build_units(job: ContentAnalysis) -> tuple[Unit, ...]:
    urls = (job.url,) if job.url else ()
    measure = Unit(
        capability=Capability.ANALYSE,
        params=build_params(job.options, text=job.content, contentType=job.content_type),
        credits=ANALYSIS_CREDITS,
        input_urls=urls,
        name="measurements",
        provider=IN_HOUSE,
    )
    if not job.insights or job.provider == IN_HOUSE:
        return (measure,)
    task = f"{_TASK} Look at: {', '.join(job.aspects)}." if job.aspects else _TASK
    params = build_params(
        job.options, kind="insights", prompt=job.content or task, instructions=task, schema=INSIGHTS
    )
    insights = Unit(
        capability=Capability.TEXT,
        params=params,
        credits=TEXT_CREDITS,
        input_urls=urls,
        name="insights",
        when_unserved="leave out" if job.provider in (None, "auto") else "imitate",
    )
    return measure, insights


CONTENT_ANALYSIS = JobType(
    name="content-analysis",
    summary="Measurements of a script, text, picture, sound or video, and a model's insights",
    submission=ContentAnalysis,
    capability=Capability.ANALYSE,
    further_capabilities=frozenset({Capability.TEXT}),
    price_text=(
        f"{format_credits(ANALYSIS_CREDITS)}; "
        f"{TEXT_CREDITS} more for insights, where a text provider gives them"
    ),
    units=_build_units,
    timeout=timedelta(minutes=15),
    # CPU-bound: the instances of media work take few at a time (infra/services.yaml).
    queue=QueueLimits(concurrent_dispatches=10),
    example={"url": "https://example.com/film.mp4", "contentType": "video"},
)
