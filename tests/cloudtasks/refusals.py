"""Queues and tasks of the conformance tests, and the refusals that Google's client raises.

The expected texts are Google's (facts §1, §2, §2.1).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.cloud.tasks_v2 import HttpRequest, Queue, Task

from cloudtasks.remote import Remote
from cloudtasks.worker import LOCATION, QUEUE
from taskreel_cloud_tasks.api_errors import HTTP_STATUS, Code

MISSING_QUEUE = (
    "Queue does not exist. "
    "If you just created the queue, wait at least a minute for the queue to initialize."
)
MISSING = "Requested entity was not found."
GONE = (
    "The task no longer exists, though a task with this name existed recently. "
    "The task either successfully completed or was deleted."
)
BAD_QUEUE = (
    "Queue name must be formatted: "
    '"projects/<PROJECT_ID>/locations/<LOCATION_ID>/queues/<QUEUE_ID>".'
)
URL = "http://worker.test/run"


def queue(**fields: Any) -> Queue:
    return Queue(name=f"{LOCATION}/queues/new", **fields)


def task(name: str = "", **fields: Any) -> Task:
    fields.setdefault("http_request", HttpRequest(url=URL, body=b"{}"))
    return Task(name=f"{QUEUE}/tasks/{name}" if name else "", **fields)


def later(remote: Remote, **delta: float) -> datetime:
    return datetime.fromisoformat(remote.ask("GET", "time")["now"]) + timedelta(**delta)


def refused(call: Any, code: Code, message: str, **arguments: Any) -> GoogleAPICallError:
    with pytest.raises(GoogleAPICallError) as error:
        call(**arguments)
    assert error.value.code == HTTP_STATUS[code]
    assert str(error.value.message).endswith(message)
    if error.value.grpc_status_code is not None:
        assert error.value.grpc_status_code.name == code.name
    return error.value


def detail_kinds(error: GoogleAPICallError) -> list[str]:
    """The REST transport leaves details as JSON."""
    names = [
        item["@type"] if isinstance(item, dict) else type(item).__name__ for item in error.details
    ]
    return [name.rpartition(".")[2] for name in names]
