"""Rows of lists and of streams: a job without its payload, and the summary that a row can have."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from taskreel.app.jobs.results import collect_data
from taskreel.app.services import Services
from taskreel.domain.artifact import Artifact
from taskreel.domain.job import Job
from taskreel.web.responses import (
    JobView,
    ResultView,
    SummaryView,
    build_artifact_view,
    compose_job_view,
)

#: A row has so many files at most: a page stays small, whatever the jobs are.
_FILES_OF_A_ROW = 10
_MOST_TITLE = 300
_MOST_TEXT = 200
#: The fields by which a person knows a job, the most telling first.
_TITLES = ("prompt", "text", "input", "title")
_LESS_TELLING = ("content", "operation")
_SOURCES = ("imageUrl", "contentUrl")


async def build_job_rows(
    services: Services, jobs: Sequence[Job], base_url: str, *, summary: bool = False
) -> list[JobView]:
    """The jobs as a list shows them. Their previews are signed side by side."""
    rows = (build_job_row(services, job, base_url, summary=summary) for job in jobs)
    return await asyncio.gather(*rows) if summary else [await row for row in rows]


async def build_job_row(
    services: Services, job: Job, base_url: str, *, summary: bool = False
) -> JobView:
    """The job without its payload, and of its result only the first files, without URLs."""
    result = None
    if job.has_result:
        first = job.artifacts[:_FILES_OF_A_ROW]
        files = [await build_artifact_view(services, one, sign=False) for one in first]
        result = ResultView(artifacts=files)
    row = compose_job_view(job, base_url, result, whole=False)
    if not summary:
        return row
    return row.model_copy(update={"summary": await _build_summary(services, job)})


async def _build_summary(services: Services, job: Job) -> SummaryView:
    shown = _pick_preview(job.artifacts) if job.has_result else None
    return SummaryView(
        title=find_title(job.payload)[:_MOST_TITLE],
        text=_find_text(job) if job.has_result and shown is None else None,
        preview=None if shown is None else await build_artifact_view(services, shown, sign=True),
    )


def _pick_preview(artifacts: Sequence[Artifact]) -> Artifact | None:
    """The first film, else the first picture, else the first file."""
    for kind in ("video/", "image/", ""):
        for artifact in artifacts:
            if artifact.content_type.startswith(kind):
                return artifact
    return None


def _find_text(job: Job) -> str | None:
    data = collect_data(job)
    for name in ("title", "text", "output"):
        if isinstance(data.get(name), str):
            return str(data[name])[:_MOST_TEXT]
    return None


def find_title(payload: Mapping[str, Any]) -> str:
    """The words by which a person knows a job: its prompt, its steps or its file; empty if none.

    A stored payload may be of an older or a newer revision: nothing of its form is certain.
    """
    words = _find_words(payload, _TITLES)
    if words:
        return words
    prompts, steps, scenes = (payload.get(name) for name in ("prompts", "steps", "scenes"))
    if isinstance(prompts, list):
        return " · ".join(one for one in prompts if isinstance(one, str))
    if isinstance(steps, Mapping):
        return " → ".join(map(str, steps))
    if isinstance(scenes, list):
        return "1 scene" if len(scenes) == 1 else f"{len(scenes)} scenes"
    return _find_words(payload, _LESS_TELLING) or _name_source(_find_words(payload, _SOURCES))


def _find_words(payload: Mapping[str, Any], names: Sequence[str]) -> str:
    for name in names:
        value = payload.get(name)
        if isinstance(value, str) and value.strip():
            return value
    return ""


def _name_source(url: str) -> str:
    """The file's name in an address without its query, which may be a signature."""
    if url.startswith("upload:"):
        return url
    path = url.partition("?")[0].partition("#")[0].rstrip("/")
    return unquote(path.rpartition("/")[2])
