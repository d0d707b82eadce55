"""The errors that the client raises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskreel.client.job_models import Job


class TaskreelError(Exception):
    """The base of the client's errors. A server that cannot be reached is httpx's own error."""


class ApiError(TaskreelError):
    """The API refused a request. `code` is stable; `errors` lists wrong fields by path."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.problem = problem
        self.code: str = str(problem.get("code", f"http_{status}"))
        self.errors: Sequence[Mapping[str, Any]] = problem.get("errors", ())
        detail = problem.get("detail") or problem.get("title") or "The server gave no reason."
        super().__init__(f"{detail} ({status} {self.code})")


class UnreadableAnswerError(TaskreelError):
    """An answer is not the API's: something else serves the URL, such as a sign-in page."""

    def __init__(self, url: object, content_type: str) -> None:
        super().__init__(
            f"The answer of {url} is not the API's, but {content_type or 'something else'}: "
            "check the URL of the API"
        )


class JobFailedError(TaskreelError):
    """A job ended otherwise than COMPLETED. `job` may have files of finished parts."""

    def __init__(self, job: Job) -> None:
        self.job = job
        reason = f": {job.error.message} ({job.error.code})" if job.error else ""
        super().__init__(f"{job.job_id} is {job.status}{reason}")


class JobNotEndedError(TaskreelError):
    """A job that has not ended cannot be deleted: it must be cancelled first."""

    def __init__(self, job: Job) -> None:
        self.job = job
        super().__init__(f"{job.job_id} is {job.status}: cancel it before you delete it")


class DownloadError(TaskreelError):
    """A downloaded file is not the one that the job has made."""
