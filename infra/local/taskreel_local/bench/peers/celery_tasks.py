"""The worker of the FastAPI + Celery peer."""

from __future__ import annotations

import os
from typing import Any

import redis  # type: ignore[import-not-found, unused-ignore]  # the peer's own environment has it
from celery import Celery  # type: ignore[import-not-found, unused-ignore]  # the peer's own environment has it

BROKER = f"redis://127.0.0.1:{os.environ['REDIS_PORT']}/0"
COMPLETED = "completed"

app = Celery("peer", broker=BROKER, backend=BROKER)
app.conf.update(
    task_acks_late=True,  # as the others: a job is done when it has been done
    worker_prefetch_multiplier=8,
    result_expires=3600,
    task_serializer="json",
)
_counter = redis.Redis.from_url(BROKER)


def _generate(self: Any, payload: dict[str, Any]) -> dict[str, str]:
    del payload
    self.update_state(state="PROGRESS", meta={"progress": 50})
    _counter.incr(COMPLETED)
    return {"resultUrl": f"https://storage.googleapis.com/bucket/{self.request.id}.png"}


generate = app.task(bind=True, name="image-generation", max_retries=3)(_generate)
