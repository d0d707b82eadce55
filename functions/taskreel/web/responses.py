"""The API's responses: one model for each shape, used to build it and to document it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import ConfigDict, Field, ValidationError

from taskreel.app.flow.queue_position import find_position
from taskreel.app.jobs.results import collect_data
from taskreel.app.services import Services
from taskreel.domain.artifact import Artifact
from taskreel.domain.errors import Category, UnknownJobTypeError, UnknownRequestError
from taskreel.domain.job import Job
from taskreel.domain.job_error import JobError
from taskreel.domain.job_fields import Priority
from taskreel.domain.job_status import Status
from taskreel.domain.step_run import StepRun, StepState
from taskreel.domain.unit import TriedProvider, UnitRun, UnitState
from taskreel.jobtypes import find_job_type
from taskreel.web.http import RecordView
from taskreel.web.http import View as View  # noqa: PLC0414 - routes import it from here
from taskreel.web.http import is_absent as is_absent  # noqa: PLC0414 - routes import it from here
from taskreel.web.queue_views import QueueView, build_queue_view


class ArtifactView(View):
    """A finished file. `url` is signed and expires; lists leave it out."""

    name: str
    content_type: str
    bytes: int
    sha256: str
    url: str | None = Field(default=None, exclude_if=is_absent)
    width: int | None = Field(default=None, exclude_if=is_absent)
    height: int | None = Field(default=None, exclude_if=is_absent)
    duration_seconds: float | None = Field(default=None, exclude_if=is_absent)


class ErrorDetailsView(View):
    """The attempt that failed, and the provider that served it."""

    attempt: int
    provider: str | None


class RetryView(RecordView, kw_only=True):
    """Attempts so far, and the time of the next one while there will be one."""

    attempts: int
    max_attempts: int
    next_attempt: datetime | None


class JobErrorView(View):
    """The reason why the last attempt failed; of a pipeline, with the step and job that failed."""

    code: str
    category: Category
    message: str
    #: The time of the failure.
    timestamp: datetime
    details: ErrorDetailsView
    step: str | None = Field(default=None, exclude_if=is_absent)
    job_id: str | None = Field(default=None, exclude_if=is_absent)


class ItemView(View):
    """One unit of a job with several: its state, its files by name, and its own facts."""

    model_config = ConfigDict(extra="allow")

    index: int
    status: UnitState
    served_by: str
    artifacts: list[str]
    error: JobError | None


class ResultView(View):
    """The job's files and its type's own facts (`items`: the state of each unit of a batch)."""

    model_config = ConfigDict(extra="allow")

    artifacts: list[ArtifactView]


class JobUrls(RecordView, kw_only=True):
    """The job's URLs. `cancel` takes DELETE; `retry` and `replay` take POST."""

    self: str
    progress: str
    result: str
    events: str
    cancel: str
    retry: str
    replay: str


class StepView(View):
    """A step of a pipeline; `GET /api/jobs?parentId=` lists its jobs.

    `width` is the number of its jobs, null until it starts; `credits` is their cost once it has
    ended.
    """

    name: str
    type: str
    status: StepState
    width: int | None
    ended: int
    failed: int
    percent: int
    credits: int
    served_by: str | None
    failed_job_id: str | None


class CreditsView(RecordView, kw_only=True):
    """The credits that the job holds now, and those that its settlement captured and released."""

    held: int
    captured: int
    released: int


class SummaryView(View):
    """The form of a job in a list or a stream with `summary=true`.

    `title` is the words by which a person knows it: its prompt, its steps or its file, at most 300
    characters. `preview` is a file of the result with its URL, a film before a picture; `text` the
    beginning of a result without files.
    """

    title: str
    text: str | None
    preview: ArtifactView | None


class JobView(RecordView, kw_only=True):
    """A job. Lists leave out `payload`, and of `result` all but the first ten files, without URLs.

    `resultUrl` is the signed URL of the result's first file, to show or download; null without a
    file, and in lists. `urls.result` is the whole result as JSON.

    `progress` is a whole percentage; `statusAt` has the time of entry into each status.

    A pipeline has `steps`. A job that a pipeline created has `parentId`, `step` and `index`, its
    place in the step, from 0.
    """

    job_id: str
    job_type: str
    status: Status
    progress: int
    priority: Priority
    user_id: str
    project_id: str | None
    payload: dict[str, Any] | None = None
    created_at: datetime
    updated_at: datetime
    status_at: dict[Status, datetime]
    attempt: int
    max_attempts: int
    next_attempt_at: datetime | None
    retry: RetryView
    error: JobErrorView | None
    credits: CreditsView
    result: ResultView | None
    result_url: str | None
    served_by: str | None
    parent_id: str | None
    step: str | None
    index: int | None
    steps: list[StepView]
    current_step: str | None
    #: The position of a job that waits for room; lists and updates leave it out.
    queue: QueueView | None = None
    replay_of: str | None
    #: The providers that failed it, in order.
    tried: tuple[TriedProvider, ...]
    #: The providers' charges in US dollars; estimated if a provider does not report its own.
    cost_usd: float | None
    cost_estimated: bool
    urls: JobUrls
    #: Lists and updates have it where it was asked for.
    summary: SummaryView | None = None
    #: In the answer to a submission: the given fields that have no effect.
    ignored_fields: list[str] | None = None
    #: In the answer to a submission with `cacheSeconds` that an earlier job answers: the age of its
    #: result, 0 while that is being made.
    cached_seconds: int | None = None


class ProgressView(View):
    """The few fields that a progress bar needs."""

    job_id: str
    status: Status
    progress: int
    attempt: int
    next_attempt_at: datetime | None
    error: JobErrorView | None
    updated_at: datetime


class JobsPage(RecordView, kw_only=True):
    """Jobs, newest first; pass `nextCursor` as `cursor` to get the next page."""

    jobs: list[JobView]
    next_cursor: str | None


class Problem(View):
    """RFC 9457. `code` is stable; other members give details (`errors` lists fields by path)."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str


# ── Building them ────────────────────────────────────────────────────────────────────────────────


async def build_job_view(services: Services, job: Job, base_url: str) -> JobView:
    """The whole job, its artifacts with fresh URLs."""
    result = await build_result_view(services, job) if job.has_result else None
    view = compose_job_view(job, base_url, result)
    if job.status is not Status.THROTTLED:
        return view
    position = build_queue_view(await find_position(services, job))
    return view.model_copy(update={"queue": position})


def compose_job_view(
    job: Job, base_url: str, result: ResultView | None, *, whole: bool = True
) -> JobView:
    """The job with its result, whose URLs are signed already."""
    steps = build_step_views(job)
    return JobView(
        job_id=job.job_id,
        job_type=job.job_type,
        status=job.status,
        progress=job.progress,
        priority=job.priority,
        user_id=job.user_id,
        project_id=job.project_id,
        payload=job.payload if whole else None,
        created_at=job.created_at,
        updated_at=job.updated_at,
        status_at=job.status_at,
        attempt=job.attempt,
        max_attempts=job.retry.max_attempts,
        next_attempt_at=job.next_attempt_at,
        retry=RetryView(
            attempts=job.attempt,
            max_attempts=job.retry.max_attempts,
            next_attempt=job.next_attempt_at,
        ),
        error=build_error_view(job),
        credits=CreditsView(
            held=job.credits.held, captured=job.credits.captured, released=job.credits.released
        ),
        result=result,
        result_url=result.artifacts[0].url if result and result.artifacts else None,
        served_by=job.served_by,
        parent_id=job.parent_id,
        step=job.step,
        index=job.index if job.parent_id else None,
        steps=steps,
        current_step=find_current_step(job, steps) if steps else None,
        replay_of=job.lineage[0] if job.lineage and job.parent_id is None else None,
        tried=job.tried,
        cost_usd=job.cost_usd,
        cost_estimated=job.cost_estimated,
        urls=build_job_urls(job, base_url),
    )


def build_error_view(job: Job) -> JobErrorView | None:
    """The job's error, if it has one."""
    if job.error is None:
        return None
    failed_at = job.status_at.get(Status.RETRYING) if not job.status.final else None
    return JobErrorView(
        **dict(job.error),
        timestamp=failed_at or job.status_at.get(job.status) or job.updated_at,
        details=ErrorDetailsView(attempt=job.attempt, provider=job.served_by),
    )


def build_progress_view(job: Job) -> ProgressView:
    """The job's progress."""
    return ProgressView(
        job_id=job.job_id,
        status=job.status,
        progress=job.progress,
        attempt=job.attempt,
        next_attempt_at=job.next_attempt_at,
        error=build_error_view(job),
        updated_at=job.updated_at,
    )


async def build_result_view(services: Services, job: Job) -> ResultView:
    """The job's artifacts, its units' facts, and for several units the state of each."""
    views = (build_artifact_view(services, one, sign=True) for one in job.artifacts)
    artifacts = await asyncio.gather(*views)
    facts: dict[str, Any] = {**collect_data(job), "artifacts": artifacts}
    if len(job.units) != 1:
        facts["items"] = [_build_item_view(index, unit) for index, unit in enumerate(job.units)]
    return ResultView(**facts)


async def build_artifact_view(
    services: Services, artifact: Artifact, *, sign: bool
) -> ArtifactView:
    """The file; with a fresh URL where one is to be signed."""
    url = None
    if sign:
        expires_in = services.rules.signed_url_lifetime
        url = await services.blobs.signed_url(artifact.path, expires_in=expires_in)
    return ArtifactView(
        name=artifact.name,
        content_type=artifact.content_type,
        bytes=artifact.bytes,
        sha256=artifact.sha256,
        url=url,
        width=artifact.width,
        height=artifact.height,
        duration_seconds=artifact.duration_seconds,
    )


def _build_item_view(index: int, unit: UnitRun) -> ItemView:
    own: dict[str, Any] = {
        "index": index,
        "status": unit.state,
        "served_by": unit.provider,
        "artifacts": [artifact.name for artifact in unit.artifacts],
        "error": unit.error,
    }
    return ItemView(**{**(unit.data or {}), **own})


def build_job_urls(job: Job, base_url: str) -> JobUrls:
    """The job's URLs below `base_url`."""
    self_url = f"{base_url}/api/jobs/{job.job_type}/{job.job_id}"
    return JobUrls(
        self=self_url,
        progress=f"{self_url}/progress",
        result=f"{self_url}/result",
        events=f"{self_url}/events",
        cancel=self_url,
        retry=f"{self_url}/retry",
        replay=f"{self_url}/replay",
    )


def build_step_views(job: Job) -> list[StepView]:
    """A pipeline's steps in order; empty while its payload refers to jobs that have not ended."""
    steps = job.steps or _planned_steps(job)
    if not steps:  # of nearly every job
        return []
    ordered = sorted(steps.items(), key=lambda step: step[1].place)
    return [_build_step_view(name, run) for name, run in ordered]


def _planned_steps(job: Job) -> Mapping[str, StepRun]:
    """The steps of a pipeline that has not started."""
    try:
        job_type = find_job_type(job.job_type)
        if job_type.pipeline is None:
            return {}
        submission = job_type.submission.load_stored(job.payload)
        return job_type.pipeline(submission).waiting_runs()
    except (UnknownJobTypeError, UnknownRequestError, ValidationError):
        return {}


def _build_step_view(name: str, run: StepRun) -> StepView:
    return StepView(
        name=name,
        type=run.type,
        status=run.state,
        width=run.width,
        ended=run.ended,
        failed=run.failed,
        percent=int(100 * run.fraction),
        credits=run.spent,
        served_by=run.served_by,
        failed_job_id=run.failed_job,
    )


def find_current_step(job: Job, steps: Sequence[StepView]) -> str | None:
    """The first running step, else the first waiting one; None once the job has ended."""
    if job.status.final:
        return None
    for state in (StepState.RUNNING, StepState.WAITING):
        for step in steps:
            if step.status is state:
                return step.name
    return None
