"""The API's responses as a client sees them.

They are more tolerant than the server's own: a field or a status of a newer server is read, and a
field that an older one does not send has a default.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """The base: camelCase on the wire; unknown fields go to `model_extra`."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="allow",
        frozen=True,
        defer_build=True,  # a command needs few of them, and starts sooner
    )


class Status(StrEnum):
    """The statuses of a job. A newer server may have others, which are plain texts."""

    SCHEDULED = "SCHEDULED"
    BLOCKED = "BLOCKED"
    THROTTLED = "THROTTLED"
    QUEUED = "QUEUED"
    PROCESSING = "PROCESSING"
    RETRYING = "RETRYING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


FINAL_STATUSES = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.EXPIRED})


class File(Model):
    """A finished file. `url` is signed and expires; lists leave it out."""

    name: str
    content_type: str
    bytes: int
    sha256: str
    url: str | None = None
    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None


class Result(Model):
    """A job's files, and the facts of its type in `model_extra`."""

    artifacts: list[File] = Field(default_factory=list)


class JobError(Model):
    """The reason why the last attempt failed. `code` is stable."""

    code: str
    category: str
    message: str
    timestamp: datetime | None = None
    details: dict[str, Any] = Field(default_factory=dict)
    step: str | None = None
    job_id: str | None = None


class JobCredits(Model):
    """The credits that the job holds, and those that its settlement captured and released."""

    held: int = 0
    captured: int = 0
    released: int = 0


class Retry(Model):
    """Attempts so far, and the time of the next one while there will be one."""

    attempts: int = 0
    max_attempts: int = 0
    next_attempt: datetime | None = None


class Step(Model):
    """A step of a pipeline."""

    name: str
    type: str
    status: str
    width: int | None = None
    ended: int = 0
    failed: int = 0
    percent: int = 0
    credits: int = 0
    served_by: str | None = None
    failed_job_id: str | None = None


class TriedProvider(Model):
    """A provider's model that could not do the work."""

    provider: str
    model: str | None = None
    code: str


class Estimate(Model):
    """Seconds: half of the jobs take at most `p50`, nine of ten at most `p90`."""

    p50: float
    p90: float


class QueuePosition(Model):
    """The jobs ahead of a waiting job, and the estimated seconds until it starts and ends."""

    ahead: int | None = None
    ahead_text: str | None = None
    starts_in: Estimate | None = None
    ends_in: Estimate | None = None


class Job(Model):
    """A job. Lists leave out its `payload` and the URLs of its files."""

    job_id: str
    job_type: str
    status: Status | str
    progress: int = 0
    priority: str = "normal"
    user_id: str = ""
    project_id: str | None = None
    payload: dict[str, Any] | None = None
    created_at: datetime
    updated_at: datetime
    status_at: dict[str, datetime] = Field(default_factory=dict)
    attempt: int = 0
    max_attempts: int = 0
    next_attempt_at: datetime | None = None
    retry: Retry = Retry()
    error: JobError | None = None
    credits: JobCredits = JobCredits()
    result: Result | None = None
    result_url: str | None = None
    served_by: str | None = None
    parent_id: str | None = None
    step: str | None = None
    index: int | None = None
    steps: list[Step] = Field(default_factory=list)
    current_step: str | None = None
    replay_of: str | None = None
    tried: list[TriedProvider] = Field(default_factory=list)
    cost_usd: float | None = None
    cost_estimated: bool = False
    queue: QueuePosition | None = None
    urls: dict[str, str] = Field(default_factory=dict)
    ignored_fields: list[str] | None = None
    cached_seconds: int | None = None

    @property
    def has_ended(self) -> bool:
        """True when nothing more happens to it, unless it is retried."""
        return self.status in FINAL_STATUSES

    @property
    def files(self) -> list[File]:
        """The files of its result."""
        return self.result.artifacts if self.result else []


class StatusChange(Model):
    """A change of a job's status; `by` is the user who caused it, `admin` or `service`."""

    status: Status | str
    at: datetime
    by: str = "service"
    attempt: int = 0
    code: str | None = None
    credits: int | None = None
    cost_usd: float | None = None


class FailedAttempt(Model):
    """A failed call of an attempt. `answer` is the provider's own, for admins alone."""

    at: datetime
    attempt: int
    unit: int | None = None
    provider: str | None = None
    model: str | None = None
    code: str
    category: str
    message: str
    cost_usd: float | None = None
    cost_estimated: bool = False
    answer: str | None = None


class History(Model):
    """The changes of a job's status, oldest first; `forgotten` is the number of older ones."""

    job_id: str
    job_type: str
    status: Status | str
    created_at: datetime
    changes: list[StatusChange]
    forgotten: int = 0
    failed_attempts: list[FailedAttempt] = Field(default_factory=list)


class JobsPage(Model):
    """A page of a list."""

    jobs: list[Job]
    next_cursor: str | None = None


class JobEvent(Model):
    """A change of a job."""

    id: str
    event: str
    job: Job


class JobEvents(Model):
    """Changes, and the position behind them."""

    events: list[JobEvent]
    position: str


class Upload(Model):
    """An uploaded file; `reference` is an input of a job until it expires."""

    upload_id: str
    reference: str
    name: str
    content_type: str
    bytes: int
    sha256: str | None = None
    upload_url: str | None = None
    received: bool
    expires_at: datetime


class Affordable(Model):
    """The caller's balance, whether it covers the cost, and the reason for which it does not."""

    available: int
    sufficient: bool
    reason: str | None = None


class Quote(Model):
    """The price of a request in credits, and its estimate in US dollars."""

    cost: int
    credits: Affordable
    served_by: str | None = None
    usd: float | None = None
    ignored_fields: list[str] | None = None


class Account(Model):
    """The caller's credits: granted = available + held + captured + expired."""

    user_id: str
    available: int
    held: int
    captured: int
    granted: int
    expired: int = 0
