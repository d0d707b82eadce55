"""A typed client of the API, blocking and asynchronous. It needs httpx and pydantic alone.

    from taskreel.client import Taskreel

    with Taskreel("https://api.example.com", token) as taskreel:
        job = taskreel.run("image-generation", prompt="A red kite")
        files = taskreel.download(job, "kites")

It is a distribution of its own, `taskreel-client`; nothing of the server is imported here.
"""

from taskreel.client.asynchronous import AsyncTaskreel
from taskreel.client.blocking import Taskreel
from taskreel.client.client_errors import (
    ApiError,
    DownloadError,
    JobFailedError,
    JobNotEndedError,
    TaskreelError,
    UnreadableAnswerError,
)
from taskreel.client.job_models import (
    Account,
    File,
    History,
    Job,
    JobError,
    JobsPage,
    Quote,
    Result,
    Status,
    Upload,
)

__all__ = [
    "Account",
    "ApiError",
    "AsyncTaskreel",
    "DownloadError",
    "File",
    "History",
    "Job",
    "JobError",
    "JobFailedError",
    "JobNotEndedError",
    "JobsPage",
    "Quote",
    "Result",
    "Status",
    "Taskreel",
    "TaskreelError",
    "UnreadableAnswerError",
    "Upload",
]
