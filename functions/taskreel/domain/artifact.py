"""A finished file of a job, and where in the bucket it lies."""

from __future__ import annotations

from taskreel.domain.value import Value


class Artifact(Value):
    """`path` is the object's name in the bucket; `name` is unique within the job."""

    name: str
    path: str
    content_type: str
    bytes: int
    sha256: str
    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None


def artifact_path(job_id: str, fence: int, name: str) -> str:
    """One object a run: a run that has lost its lease cannot touch what its successor stored."""
    return f"artifacts/{job_id}/{fence}/{name}"
