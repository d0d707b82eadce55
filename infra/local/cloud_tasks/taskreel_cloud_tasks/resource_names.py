"""Parsing of resource names, with Google's error texts."""

from __future__ import annotations

import re

from taskreel_cloud_tasks.api_errors import ApiError, help_link, invalid_argument

_PROJECT, _LOCATION, _QUEUE = (
    r"[A-Za-z0-9:.\-]{1,100}",
    r"[A-Za-z0-9\-]{1,100}",
    r"[A-Za-z0-9\-]{1,100}",
)
_LOCATION_NAME = re.compile(rf"projects/({_PROJECT})/locations/({_LOCATION})", re.ASCII)
_QUEUE_NAME = re.compile(
    rf"(projects/{_PROJECT}/locations/{_LOCATION})/queues/({_QUEUE})", re.ASCII
)
_TASK_NAME = re.compile(
    rf"(projects/{_PROJECT}/locations/{_LOCATION}/queues/{_QUEUE})/tasks/(.*)", re.ASCII | re.DOTALL
)
_TASK_ID = re.compile(r"[A-Za-z0-9_\-]{1,500}", re.ASCII)

_QUEUE_FORM = '"projects/<PROJECT_ID>/locations/<LOCATION_ID>/queues/<QUEUE_ID>"'
_DOCS = "https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues"


def split_location(name: str) -> tuple[str, str]:
    """Return project and location id of a location's name. Raises ApiError."""
    match = _LOCATION_NAME.fullmatch(name)
    if match is None:
        raise invalid_argument(
            'Location name must be formatted: "projects/<PROJECT_ID>/locations/<LOCATION_ID>".'
        )
    return match[1], match[2]


def split_queue(name: str) -> tuple[str, str]:
    """Return location name and queue id of a queue's name. Raises ApiError."""
    match = _QUEUE_NAME.fullmatch(name)
    if match is None:
        raise _bad_queue()
    return match[1], match[2]


def split_task(name: str) -> tuple[str, str]:
    """Return queue name and task id of a task's name. Raises ApiError."""
    match = _TASK_NAME.fullmatch(name)
    if match is None:
        form = _QUEUE_FORM[:-1] + '/tasks/<TASK_ID>"'
        raise invalid_argument(
            f"Task name must be formatted: {form}.", help_link("Task names", f"{_DOCS}.tasks#Task")
        )
    if not _TASK_ID.fullmatch(match[2]):
        raise _bad_task_id(match[2])
    return match[1], match[2]


def _bad_queue() -> ApiError:
    return invalid_argument(
        f"Queue name must be formatted: {_QUEUE_FORM}.", help_link("Queue names", f"{_DOCS}#Queue")
    )


def _bad_task_id(task_id: str) -> ApiError:
    text = (
        f'Task ID "{task_id}" can contain only letters ([A-Za-z]), numbers ([0-9]), hyphens (-), '
        "or underscores (_). "
        "Task ID must between 1 and 500 characters."
    )
    return invalid_argument(text, help_link("Task names", f"{_DOCS}.tasks#Task"))
