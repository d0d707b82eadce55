"""The floor of cold starts with models: settings, a stored job and its view, and SQLite."""

from __future__ import annotations

import gc
import os
import sqlite3
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
gc.disable()

import functions_framework.aio  # noqa: E402
from pydantic import BaseModel, ConfigDict, SecretStr  # noqa: E402
from pydantic.alias_generators import to_camel  # noqa: E402
from starlette.requests import Request  # noqa: E402
from starlette.responses import Response  # noqa: E402


class Model(BaseModel):
    """As Taskreel's: frozen, camelCase outside, built on first use."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, defer_build=True
    )


class Status(StrEnum):
    """Two of ten."""

    QUEUED = "QUEUED"
    COMPLETED = "COMPLETED"


class Settings(Model):
    """Six of sixty-four."""

    store_url: str
    tasks_url: str = ""
    blobs_url: str = ""
    jwt_secret: SecretStr | None = None
    internal_api_key: SecretStr = SecretStr("")
    log_level: str = "INFO"


class Job(Model):
    """Eight of sixty-three fields."""

    job_id: str
    job_type: str
    status: Status
    user_id: str
    payload: dict[str, Any]
    created_at: datetime
    progress: int = 0
    error: str | None = None


class JobView(Model):
    """Four of thirty-four."""

    job_id: str
    status: Status
    created_at: datetime
    progress: int


@functions_framework.aio.http
async def bare_pydantic(_request: Request) -> Response:
    """Read the settings, a job and its view once."""
    settings = Settings.model_validate({"store_url": ":memory:"})
    (text,) = sqlite3.connect(settings.store_url).execute("SELECT 'job_1'").fetchone()
    job = Job.model_validate(
        {
            "jobId": text,
            "jobType": "image-generation",
            "status": "QUEUED",
            "userId": "ada",
            "payload": {},
            "createdAt": datetime.now(UTC),
        }
    )
    view = JobView(
        job_id=job.job_id, status=job.status, created_at=job.created_at, progress=job.progress
    )
    return Response(view.model_dump_json(by_alias=True), media_type="application/json")
