"""fal's objects: the status of a request and its result, as its released clients read them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from taskreel.app.jobs.results import collect_data
from taskreel.app.services import Services
from taskreel.domain.artifact import Artifact
from taskreel.domain.errors import Category
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.web.other_apis.input_names import explain_failure

RUNNING = frozenset({Status.PROCESSING, Status.RETRYING})
#: The name of the file, or of the list of files, in the result of a job of the type.
_FILE_FIELDS: Mapping[str, str] = {
    "image-generation": "images",
    "batch-generation": "images",
    "image-upscale": "image",
    "background-removal": "image",
    "video-generation": "video",
    "video-edit": "video",
    "lip-sync": "video",
    "audio-synthesis": "audio",
    "sound-effect": "audio",
}


def build_status(job: Job, urls: Mapping[str, str], position: int) -> dict[str, Any]:
    """The job's status, with all fields without which fal's Python client fails.

    A job that did not complete is COMPLETED with an error: the clients know no other end.
    """
    shown: dict[str, Any] = {"request_id": job.job_id, **urls}
    if job.status in RUNNING:
        return {**shown, "status": "IN_PROGRESS", "logs": _build_logs(job)}
    if not job.status.final:
        return {**shown, "status": "IN_QUEUE", "queue_position": position}
    shown |= {"status": "COMPLETED", "logs": _build_logs(job), "metrics": _build_metrics(job)}
    failure = describe_failure(job)
    if failure is not None:
        _, shown["error_type"], shown["error"] = failure
    return shown


def describe_failure(job: Job) -> tuple[HTTPStatus, str, str] | None:
    """The HTTP status of the result, a code, and a sentence; None for a job that completed."""
    if job.status is Status.COMPLETED:
        return None
    if job.status is Status.CANCELLED:
        return HTTPStatus.BAD_REQUEST, "cancelled", "The request was cancelled."
    if job.status is Status.EXPIRED:
        text = "The request had not started by its deadline, and cost nothing."
        return HTTPStatus.GATEWAY_TIMEOUT, "startup_timeout", text
    if job.error is None:
        return HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", f"The job is {job.status}."
    permanent = job.error.category == Category.PERMANENT
    status = HTTPStatus.UNPROCESSABLE_ENTITY if permanent else HTTPStatus.INTERNAL_SERVER_ERROR
    message, _ = explain_failure(job)
    return status, job.error.code, message


def _build_logs(job: Job) -> list[dict[str, str]]:
    if not job.progress:
        return []
    line = {
        "message": job.progress_message or f"{job.progress} %",
        "level": "INFO",
        "source": "taskreel",
        "timestamp": job.updated_at.isoformat(),
    }
    return [line]


def _build_metrics(job: Job) -> dict[str, float]:
    started, ended = job.status_at.get(Status.PROCESSING), job.status_at.get(job.status)
    if started is None or ended is None:
        return {}
    return {"inference_time": (ended - started).total_seconds()}


async def build_result(services: Services, job: Job) -> dict[str, Any]:
    """The job's files where the clients of such a model find them, and its other facts."""
    files = await asyncio.gather(*(_build_file(services, one) for one in job.artifacts))
    facts = collect_data(job)
    field = _name_file_field(job)
    result = {**facts, field: _choose_files(field, files)}
    if field == "images":
        result.setdefault("prompt", job.payload.get("prompt"))
    return result


def _name_file_field(job: Job) -> str:
    if job.job_type == "ai-processing" and len(job.artifacts) == 1:
        kind = job.artifacts[0].content_type.partition("/")[0]
        return "audio" if kind == "audio" else "artifacts"
    return _FILE_FIELDS.get(job.job_type, "artifacts")


def _choose_files(field: str, files: Sequence[dict[str, Any]]) -> Any:
    if field in {"images", "artifacts"}:
        return files
    return files[0] if files else None


async def _build_file(services: Services, file: Artifact) -> dict[str, Any]:
    expires_in = services.rules.signed_url_lifetime
    shown: dict[str, Any] = {
        "url": await services.blobs.signed_url(file.path, expires_in=expires_in),
        "content_type": file.content_type,
        "file_name": file.name,
        "file_size": file.bytes,
    }
    if file.width is not None:
        shown |= {"width": file.width, "height": file.height}
    if file.duration_seconds is not None:
        shown["duration"] = file.duration_seconds
    return shown
