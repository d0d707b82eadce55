"""The shapes of answers, for OpenAPI and for the test that holds the real answers against them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import ConfigDict

from taskreel.domain.job import JobCredits, Priority
from taskreel.domain.job_error import JobError
from taskreel.domain.job_status import Status
from taskreel.domain.pipeline import StepState
from taskreel.domain.unit import TriedProvider
from taskreel.domain.value import Value


class ArtifactView(Value):
    """A finished file. `url` is signed and expires; lists leave it out."""

    name: str
    content_type: str
    bytes: int
    sha256: str
    url: str | None = None
    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None


class ResultView(Value):
    """The job's files, and what its type adds (`items`: how each unit of a batch went)."""

    model_config = ConfigDict(extra="allow")

    artifacts: list[ArtifactView]


class JobUrls(Value):
    """Where to follow the job; `cancel` takes DELETE, `retry` and `replay` POST."""

    self: str
    progress: str
    result: str
    events: str
    cancel: str
    retry: str
    replay: str


class StepView(Value):
    """A step of a pipeline; `GET /api/jobs?parentId=` lists its jobs.

    `width` is how many they are, once that is known; `credits` what they came to, when the step has ended.
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


class JobView(Value):
    """A job. `progress` is whole percent; `statusAt` keeps when each status was entered.

    A job made of others has `steps`; one of these has its `parentId`, its `step` and its place in it, from 0.
    """

    job_id: str
    job_type: str
    status: Status
    progress: int
    priority: Priority
    user_id: str
    project_id: str | None
    payload: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    status_at: dict[Status, datetime]
    attempt: int
    max_attempts: int
    next_attempt_at: datetime | None
    error: JobError | None
    credits: JobCredits
    result: ResultView | None
    result_url: str | None
    served_by: str | None
    parent_id: str | None
    step: str | None
    index: int | None
    steps: list[StepView]
    current_step: str | None
    replay_of: str | None
    #: Who failed it before.
    tried: list[TriedProvider]
    #: What its providers took in US dollars; estimated where they did not say.
    cost_usd: float | None
    cost_estimated: bool
    urls: JobUrls


class ProgressView(Value):
    """The few facts that a progress bar needs."""

    job_id: str
    status: Status
    progress: int
    attempt: int
    next_attempt_at: datetime | None
    error: JobError | None
    updated_at: datetime


class JobsPage(Value):
    """Newest first; pass `nextCursor` back as `cursor` for the page after it."""

    jobs: list[JobView]
    next_cursor: str | None


class Problem(Value):
    """RFC 9457; `code` is stable, further members give details (`errors` lists each field's path)."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
