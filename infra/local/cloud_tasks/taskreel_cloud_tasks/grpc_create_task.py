"""CreateTask over gRPC for HTTP tasks: the response takes over what the request has.

It is the method that callers make thousands of calls a second of. To turn the stored task into a
message of this package, and that into one of protobuf, as all other methods do, takes twice as long
as to store it. So the HTTP request is copied within protobuf, and only what the service fills in
or leaves out is set. A test compares the result with that of the general way.
"""

from __future__ import annotations

from typing import Any

from taskreel_cloud_tasks import message_codec
from taskreel_cloud_tasks.clock import SECOND
from taskreel_cloud_tasks.engine import Engine
from taskreel_cloud_tasks.messages import Task, View
from taskreel_cloud_tasks.method_messages import CreateTaskRequest
from taskreel_cloud_tasks.stored_task import StoredTask


async def create_http_task(engine: Engine, request: Any, task_class: type[Any]) -> Any:
    """Create the HTTP task of a protobuf CreateTaskRequest of v2; return it as a `task_class`.

    Raises ApiError or FieldValueError.
    """
    read = message_codec.from_pb(CreateTaskRequest, request)
    stored = engine.add_task(read.parent, read.task or Task())
    view = View.FULL if read.response_view is View.FULL else View.BASIC
    # Made before the wait, in which an attempt may begin: the response shows the task as created.
    response = task_class(
        name=f"{read.parent}/tasks/{stored.id}", http_request=request.task.http_request, view=view
    )
    _complete_http_request(response.http_request, stored, view)
    _set_times(response, stored)
    if stored.retry is not None:
        retry = message_codec.to_pb_fields(stored.retry)
        response.MergeFrom(task_class(retry_config=retry))
    await engine.wait_until_created(stored)
    return response


def _complete_http_request(request: Any, stored: StoredTask, view: View) -> None:
    """Set the method and the headers as stored; the BASIC view has no body."""
    request.DiscardUnknownFields()
    request.http_method = stored.request.http_method
    headers = request.headers
    headers.clear()
    for name, value in (stored.request.headers or {}).items():
        headers[name] = value
    if view is View.BASIC:
        request.ClearField("body")


def _set_times(response: Any, stored: StoredTask) -> None:
    """Set the times that `StoredTask.to_message` shows. A message that is read is also set."""
    seconds, micros = divmod(stored.schedule, SECOND)
    schedule_time = response.schedule_time
    schedule_time.seconds, schedule_time.nanos = seconds, micros * 1000
    response.create_time.seconds = stored.create // SECOND
    seconds, micros = divmod(stored.deadline, SECOND)
    deadline = response.dispatch_deadline
    deadline.seconds, deadline.nanos = seconds, micros * 1000
