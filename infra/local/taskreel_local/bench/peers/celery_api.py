"""The API of the FastAPI + Celery peer."""

from __future__ import annotations

import os
from typing import Annotated, Any

import jwt

# Both are in the peer's own environment, or beside this file.
import redis.asyncio  # type: ignore[import-not-found, unused-ignore]
from celery_tasks import BROKER, COMPLETED, app, generate  # type: ignore[import-not-found]
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, Field

api = FastAPI()
_redis = redis.asyncio.Redis.from_url(BROKER)


class Options(BaseModel):
    """The picture's size."""

    width: int = Field(ge=64, le=2048)
    height: int = Field(ge=64, le=2048)


class Submission(BaseModel):
    """The one job type."""

    prompt: str = Field(min_length=1, max_length=4000)
    model: str
    provider: str
    options: Options


def caller(authorization: Annotated[str, Header()] = "") -> str:
    """The user that the token names."""
    try:
        claims = jwt.decode(
            authorization.removeprefix("Bearer "), os.environ["JWT_SECRET"], algorithms=["HS256"]
        )
    except jwt.PyJWTError:
        raise HTTPException(401) from None
    return str(claims["sub"])


Caller = Annotated[str, Depends(caller)]


@api.post("/api/jobs/image-generation", status_code=202)
def submit(submission: Submission, user: Caller) -> dict[str, str]:
    """Put the job on the queue; Celery's client blocks, so this runs on FastAPI's threads."""
    task = generate.delay({**submission.model_dump(), "userId": user})
    return {"jobId": task.id, "status": "QUEUED"}


@api.get("/api/jobs/{job_id}")
def find(job_id: str, user: Caller) -> dict[str, Any]:
    """Its state."""
    del user
    result = app.AsyncResult(job_id)
    return {"jobId": job_id, "status": result.state, "result": result.info}


@api.get("/completed")
async def completed() -> dict[str, int]:
    """The number of jobs that are done."""
    return {"completed": int(await _redis.get(COMPLETED) or 0)}
