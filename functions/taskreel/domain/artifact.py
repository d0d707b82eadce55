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


def artifact_path(job_id: str, round_: int, name: str) -> str:
    """One object a job, round and name: writing it twice is writing it once."""
    return f"artifacts/{job_id}/{round_}/{name}"
