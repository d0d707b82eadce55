"""A finished file of a job and its place in the bucket."""

from __future__ import annotations

from taskreel.domain.value import StoredValue


class Artifact(StoredValue):
    """A stored file: `path` in the bucket; `name` is unique within the job."""

    name: str
    path: str
    content_type: str
    bytes: int
    sha256: str
    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None


def artifacts_folder(job_id: str) -> str:
    """The prefix of the paths of all files of a job."""
    return f"artifacts/{job_id}/"


def artifact_path(job_id: str, fence: int, name: str) -> str:
    """The path of a run's file in the bucket.

    It contains the run's fencing token: a run that has lost its lease cannot overwrite the files of
    its successor.
    """
    return f"{artifacts_folder(job_id)}{fence}/{name}"
