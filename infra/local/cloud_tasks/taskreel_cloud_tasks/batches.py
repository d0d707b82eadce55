"""BatchCreateTasks and BatchDeleteTasks, and the operations they return."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from typing import Any

from taskreel_cloud_tasks.api_errors import (
    ApiError,
    Code,
    entity_not_found,
    invalid_argument,
)
from taskreel_cloud_tasks.engine import Engine
from taskreel_cloud_tasks.message_codec import from_json, to_json
from taskreel_cloud_tasks.messages import Status, Task
from taskreel_cloud_tasks.method_messages import (
    BatchCreateState,
    BatchCreateTasksMetadata,
    BatchCreateTasksRequest,
    BatchCreateTasksResponse,
    BatchDeleteState,
    BatchDeleteTasksMetadata,
    BatchDeleteTasksRequest,
    CreateTaskRequest,
    Empty,
    NameRequest,
    Operation,
)
from taskreel_cloud_tasks.resource_names import split_queue, split_task
from taskreel_cloud_tasks.stored_task import StoredTask

_MAX_CREATES, _MAX_DELETES = 100, 1000
_MAX_OPERATIONS = 100
"""Finished operations that GetOperation still returns."""
_DOCUMENT = "operation/"


def operation_to_json(operation: Operation) -> dict[str, Any]:
    """Return an operation for the journal."""
    creates = isinstance(operation.metadata, BatchCreateTasksMetadata)
    shown: dict[str, Any] = {"creates": creates, "metadata": to_json(operation.metadata)}
    if operation.error is not None:
        shown["error"] = to_json(operation.error)
    elif operation.response is not None:
        shown["response"] = to_json(operation.response)
    return shown


def operation_from_json(name: str, saved: dict[str, Any]) -> Operation:
    """Read what `operation_to_json` returned."""
    metadata: type[BatchCreateTasksMetadata | BatchDeleteTasksMetadata] = BatchDeleteTasksMetadata
    response: type[BatchCreateTasksResponse | Empty] = Empty
    if saved["creates"]:
        metadata, response = BatchCreateTasksMetadata, BatchCreateTasksResponse
    return Operation(
        name=name,
        metadata=from_json(metadata, saved["metadata"]),
        response=from_json(response, saved["response"]) if "response" in saved else None,
        error=from_json(Status, saved["error"]) if "error" in saved else None,
    )


class BatchOperations:
    """Runs each batch before it answers; a repeated `request_id` gets the first operation."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._operations: OrderedDict[str, Operation] = OrderedDict()

    async def create_tasks(self, request: BatchCreateTasksRequest) -> Operation:
        """BatchCreateTasks: creates the valid tasks and lists the others in the metadata."""
        if len(request.requests) > _MAX_CREATES:
            raise invalid_argument(
                f"A maximum of {_MAX_CREATES} tasks can be created in a single batch."
            )
        if any(item.parent != request.parent for item in request.requests):
            raise invalid_argument(
                "The parent of each request must be the same as the parent of the batch."
            )
        name = self._operation_name(request.parent, request.request_id)
        return self._operations.get(name) or self._store_operation(
            await self._run_create(name, request)
        )

    async def _run_create(self, name: str, request: BatchCreateTasksRequest) -> Operation:
        start = self._engine.clock.now()
        self._engine.get_dispatcher(request.parent)
        made: list[tuple[StoredTask, CreateTaskRequest]] = []
        failed: dict[int, Status] = {}
        for place, item in enumerate(request.requests):
            try:
                stored = self._engine.add_task(request.parent, item.task or Task())
                self._engine.maybe_fail_after_create(stored)
                made.append((stored, item))
            except ApiError as error:
                failed[place] = Status(code=error.code, message=error.message)
        # As created: an attempt may begin during the wait.
        tasks = tuple(
            stored.to_message(request.parent, item.response_view) for stored, item in made
        )
        await self._engine.journal.wait_until_written()
        metadata = BatchCreateTasksMetadata(
            start_time=start,
            end_time=self._engine.clock.now(),
            state=BatchCreateState.PARTIALLY_SUCCEEDED if failed else BatchCreateState.SUCCEEDED,
            failed_requests=failed or None,
        )
        all_failed = _all_failed_status("Create") if failed and not made else None
        response = None if all_failed else BatchCreateTasksResponse(tasks=tasks)
        return Operation(name=name, metadata=metadata, response=response, error=all_failed)

    async def delete_tasks(self, request: BatchDeleteTasksRequest) -> Operation:
        """BatchDeleteTasks: fails as ABORTED if none could be deleted (client 2.26)."""
        if len(request.names) > _MAX_DELETES:
            raise invalid_argument(
                f"A maximum of {_MAX_DELETES} tasks can be deleted in a single batch."
            )
        name = self._operation_name(request.parent, request.request_id)
        return self._operations.get(name) or self._store_operation(
            await self._run_delete(name, request)
        )

    async def _run_delete(self, name: str, request: BatchDeleteTasksRequest) -> Operation:
        start = self._engine.clock.now()
        self._engine.get_dispatcher(request.parent)
        failed: dict[int, Status] = {}
        for place, task in enumerate(request.names):
            try:
                _check_same_queue(request.parent, task)
                await self._engine.delete_task(task)
            except ApiError as error:
                failed[place] = Status(code=error.code, message=error.message)
        metadata = BatchDeleteTasksMetadata(
            start_time=start,
            end_time=self._engine.clock.now(),
            state=BatchDeleteState.PARTIALLY_SUCCEEDED if failed else BatchDeleteState.SUCCEEDED,
            failed_requests=failed or None,
        )
        all_failed = (
            _all_failed_status("Delete") if failed and len(failed) == len(request.names) else None
        )
        return Operation(
            name=name, metadata=metadata, response=None if all_failed else Empty(), error=all_failed
        )

    async def get_operation(self, request: NameRequest) -> Operation:
        """GetOperation."""
        if request.name not in self._operations:
            raise entity_not_found()
        return self._operations[request.name]

    def load(self) -> None:
        """Take over the operations of the journal."""
        for name, saved in self._engine.documents.items():
            if name.startswith(_DOCUMENT):
                operation = operation_from_json(name.removeprefix(_DOCUMENT), saved)
                self._operations[operation.name] = operation

    def clear(self) -> None:
        """Remove the finished operations."""
        self._operations.clear()

    def _operation_name(self, parent: str, request_id: str) -> str:
        location, _ = split_queue(parent)
        return f"{location}/operations/{request_id or uuid.uuid4()}"

    def _store_operation(self, operation: Operation) -> Operation:
        self._operations[operation.name] = operation
        journal = self._engine.journal
        if journal.is_persistent:
            journal.put_document(_DOCUMENT + operation.name, operation_to_json(operation))
        if len(self._operations) > _MAX_OPERATIONS:
            oldest, _ = self._operations.popitem(last=False)
            journal.put_document(_DOCUMENT + oldest, None)
        return operation


def _check_same_queue(queue: str, task: str) -> None:
    if split_task(task)[0] != queue:
        raise invalid_argument(f"The task '{task}' must be in the queue '{queue}'.")


def _all_failed_status(what: str) -> Status:
    text = "None of the requests succeeded, refer to "
    return Status(
        code=Code.ABORTED,
        message=text + f"Batch{what}TasksMetadata.failed_requests for individual error details",
    )
