"""Replicate's objects: a prediction, a model and its version, as its released clients read them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from taskreel.app.jobs.results import collect_data
from taskreel.app.services import Services
from taskreel.domain.artifact import Artifact
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.webhook_events import MessageForm
from taskreel.jobtypes import JOB_TYPES
from taskreel.web.file_links import FileLinks
from taskreel.web.openapi import simplify_schema
from taskreel.web.other_apis.input_names import explain_failure
from taskreel.web.other_apis.model_names import NamedModel, name_model

_STATUSES: Mapping[Status, str] = {
    Status.PROCESSING: "processing",
    Status.RETRYING: "processing",
    Status.COMPLETED: "succeeded",
    Status.FAILED: "failed",
    Status.CANCELLED: "canceled",
    # Replicate's own word is `aborted`, which its Python client does not know.
    Status.EXPIRED: "canceled",
}
#: The words of the bar are those that the clients read the progress from.
_BAR_WIDTH = 20


def build_prediction(
    job: Job, base_url: str, links: PredictionLinks, *, has_waited: bool = False
) -> dict[str, Any]:
    """The job as a prediction.

    After `Prefer: wait` an unfinished one is always `starting`: the clients take every other status
    for the end, and would return nothing.
    """
    name = name_model("replicate", job.job_type, job.payload.get("model"))
    status = _STATUSES.get(job.status, "starting")
    url = f"{base_url}/replicate/v1/predictions/{job.job_id}"
    started = job.status_at.get(Status.PROCESSING)
    ended = job.status_at.get(job.status) if job.status.final else None
    webhook = next((one.url for one in job.webhooks if one.form is MessageForm.REPLICATE), None)
    return {
        "id": job.job_id,
        "model": name,
        "version": version_id(name),
        "status": "starting" if has_waited and not job.status.final else status,
        "input": _build_input(job),
        "output": _build_output(job, links.link_file),
        "error": describe_error(job),
        "logs": build_logs(job),
        "metrics": _build_metrics(job, started, ended),
        "created_at": _format_time(job.created_at),
        "started_at": _format_time(started),
        "completed_at": _format_time(ended),
        "data_removed": False,
        "source": "api",
        **({"webhook": webhook} if webhook else {}),
        "urls": {
            "get": url,
            "cancel": f"{url}/cancel",
            "stream": links.link_stream(),
            "web": f"{base_url}/api/jobs/{job.job_id}",
        },
    }


def build_removed_prediction(job_id: str, status: Status) -> dict[str, Any]:
    """A prediction of which only the id and the status are known any more."""
    known = {"id": job_id, "status": _STATUSES.get(status, "starting"), "data_removed": True}
    return {**known, "output": None, "error": None, "logs": ""}


class PredictionLinks:
    """Makes the links of one job: to its files and to its stream, on the API's own host."""

    def __init__(self, links: FileLinks, services: Services, job: Job) -> None:
        self._links = links
        self._services = services
        self._job_id = job.job_id

    def link_file(self, file: Artifact) -> str:
        """The URL of a file, for everybody who has it."""
        return self._make("/outputs", f"{self._job_id}/{file.name}")

    def link_stream(self) -> str:
        """The URL of the stream: JavaScript's client opens it without a token."""
        return self._make("", name_stream(self._job_id))

    def _make(self, folder: str, path: str) -> str:
        rules = self._services.rules
        url = f"{rules.api_base_url}/replicate/v1{folder}"
        now = self._services.clock.now()
        return self._links.make(url, path, now, rules.signed_url_lifetime)


def name_stream(job_id: str) -> str:
    """The path of a stream in its link; no file's path has that form."""
    return f"streams/{job_id}"


def _build_input(job: Job) -> dict[str, Any]:
    options = job.payload.get("options")
    own = {name: value for name, value in job.payload.items() if name not in {"model", "options"}}
    return {**own, **(options if isinstance(options, dict) else {})}


def _build_output(job: Job, link: Callable[[Artifact], str]) -> Any:
    """One file as its URL, several as a list; without any, the facts of the result."""
    if not job.has_result:
        return None
    urls = [link(artifact) for artifact in job.artifacts]
    if not urls:
        return collect_data(job) or None
    return urls[0] if len(urls) == 1 else urls


def describe_error(job: Job) -> str | None:
    """A sentence why there is no result; None while there is no reason."""
    if job.error is not None:
        return explain_failure(job)[0]
    if job.status is Status.EXPIRED:
        return "It had not started by its deadline, and cost nothing."
    return None


def build_logs(job: Job) -> str:
    """One line of progress, in the form from which both clients read a percentage."""
    if not job.progress:
        return ""
    filled = "█" * (job.progress * _BAR_WIDTH // 100)
    return f"{job.progress:3d}%|{filled.ljust(_BAR_WIDTH)}| {job.progress}/100\n"


def _build_metrics(
    job: Job, started: datetime | None, ended: datetime | None
) -> dict[str, float] | None:
    if ended is None:
        return None
    seconds = {"total_time": (ended - job.created_at).total_seconds()}
    if started is not None:
        seconds["predict_time"] = (ended - started).total_seconds()
    return seconds


def _format_time(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat().replace("+00:00", "Z")


# ── Models ───────────────────────────────────────────────────────────────────────────────────────

#: Models have no versions of their own here: each has one, by its name, from the beginning.
_VERSION_CREATED = "2026-01-01T00:00:00Z"


def version_id(name: str) -> str:
    """The id of a model's only version, in the form that clients know from Replicate."""
    return hashlib.sha256(f"taskreel model {name}".encode()).hexdigest()


def build_model(named: NamedModel, base_url: str) -> dict[str, Any]:
    """A model that can be run."""
    owner, _, name = named.name.partition("/")
    return {
        "url": f"{base_url}/api/docs",
        "owner": owner,
        "name": name,
        "description": JOB_TYPES[named.job_type].summary,
        "visibility": "public",
        "github_url": None,
        "paper_url": None,
        "license_url": None,
        "run_count": 0,
        "cover_image_url": None,
        "default_example": None,
        "latest_version": build_version(named),
    }


def build_version(named: NamedModel) -> dict[str, Any]:
    """A model's version, with the schema of its input."""
    schema = JOB_TYPES[named.job_type].submission.model_json_schema(
        by_alias=True, ref_template="#/components/schemas/{model}"
    )
    parts = schema.pop("$defs", {})
    schemas = {**parts, "Input": schema, "Output": {"title": "Output"}}
    return {
        "id": version_id(named.name),
        "created_at": _VERSION_CREATED,
        "cog_version": "0.16.0",
        "openapi_schema": {
            "openapi": "3.1.0",
            "info": {"title": named.name, "version": "1"},
            "paths": {},
            "components": {"schemas": simplify_schema(schemas)},
        },
    }
