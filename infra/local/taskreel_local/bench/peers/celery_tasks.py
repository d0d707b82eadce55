"""The worker of the FastAPI + Celery peer."""

from __future__ import annotations

import os
import time
from typing import Any

# Both are in the peer's own environment.
import redis  # type: ignore[import-not-found, unused-ignore]
from celery import Celery  # type: ignore[import-not-found, unused-ignore]

BROKER = f"redis://127.0.0.1:{os.environ['REDIS_PORT']}/0"
COMPLETED = "completed"
WORK_SECONDS = float(os.environ.get("JOB_MS", "0")) / 1000

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
    time.sleep(WORK_SECONDS)
    _counter.incr(COMPLETED)
    return {"resultUrl": f"https://storage.googleapis.com/bucket/{self.request.id}.png"}


generate = app.task(bind=True, name="image-generation", max_retries=3)(_generate)
