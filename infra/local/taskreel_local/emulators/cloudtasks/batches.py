"""BatchOperations of creates and deletes, and the operations they answer with."""

from __future__ import annotations

import uuid
from collections import OrderedDict

from taskreel_local.emulators.cloudtasks.api_errors import ApiError, Code, entity_missing, invalid
from taskreel_local.emulators.cloudtasks.engine import Engine
from taskreel_local.emulators.cloudtasks.messages import Status, Task
from taskreel_local.emulators.cloudtasks.method_messages import (
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
from taskreel_local.emulators.cloudtasks.resource_names import split_queue, split_task
from taskreel_local.emulators.cloudtasks.stored_task import StoredTask

_MAX_CREATES, _MAX_DELETES = 100, 1000
_KEPT = 100
"""Finished operations that GetOperation still knows."""


class BatchOperations:
    """Each is done before it is answered; a repeated `request_id` gets the first one's operation."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kept: OrderedDict[str, Operation] = OrderedDict()

    async def create(self, request: BatchCreateTasksRequest) -> Operation:
        """BatchCreateTasks: those that can be created are, the others are named in the metadata."""
        if len(request.requests) > _MAX_CREATES:
            raise invalid(f"A maximum of {_MAX_CREATES} tasks can be created in a single batch.")
        if any(item.parent != request.parent for item in request.requests):
            raise invalid("The parent of each request must be the same as the parent of the batch.")
        name = self._name(request.parent, request.request_id)
        return self._kept.get(name) or self._keep(await self._create(name, request))

    async def _create(self, name: str, request: BatchCreateTasksRequest) -> Operation:
        start = self._engine.clock.now()
        self._engine.lane(request.parent)
        made: list[tuple[StoredTask, CreateTaskRequest]] = []
        failed: dict[int, Status] = {}
        for place, item in enumerate(request.requests):
            try:
                entry = self._engine.admit(request.parent, item.task or Task())
                self._engine.confess(entry)
                made.append((entry, item))
            except ApiError as error:
                failed[place] = Status(code=error.code, message=error.message)
        await self._engine.journal.written()
        tasks = tuple(entry.task(request.parent, item.response_view) for entry, item in made)
        metadata = BatchCreateTasksMetadata(
            start_time=start,
            end_time=self._engine.clock.now(),
            state=BatchCreateState.PARTIALLY_SUCCEEDED if failed else BatchCreateState.SUCCEEDED,
            failed_requests=failed or None,
        )
        ruin = _all_failed("Create") if failed and not made else None
        response = None if ruin else BatchCreateTasksResponse(tasks=tasks)
        return Operation(name=name, metadata=metadata, response=response, error=ruin)

    async def delete(self, request: BatchDeleteTasksRequest) -> Operation:
        """BatchDeleteTasks: when none could be deleted the operation fails as ABORTED (client 2.26)."""
        if len(request.names) > _MAX_DELETES:
            raise invalid(f"A maximum of {_MAX_DELETES} tasks can be deleted in a single batch.")
        name = self._name(request.parent, request.request_id)
        return self._kept.get(name) or self._keep(await self._delete(name, request))

    async def _delete(self, name: str, request: BatchDeleteTasksRequest) -> Operation:
        start = self._engine.clock.now()
        self._engine.lane(request.parent)
        failed: dict[int, Status] = {}
        for place, task in enumerate(request.names):
            try:
                _check_inside(request.parent, task)
                await self._engine.delete_task(task)
            except ApiError as error:
                failed[place] = Status(code=error.code, message=error.message)
        metadata = BatchDeleteTasksMetadata(
            start_time=start,
            end_time=self._engine.clock.now(),
            state=BatchDeleteState.PARTIALLY_SUCCEEDED if failed else BatchDeleteState.SUCCEEDED,
            failed_requests=failed or None,
        )
        ruin = _all_failed("Delete") if failed and len(failed) == len(request.names) else None
        return Operation(
            name=name, metadata=metadata, response=None if ruin else Empty(), error=ruin
        )

    async def get(self, request: NameRequest) -> Operation:
        """GetOperation."""
        if request.name not in self._kept:
            raise entity_missing()
        return self._kept[request.name]

    def forget(self) -> None:
        """Drop the finished operations."""
        self._kept.clear()

    def _name(self, parent: str, request_id: str) -> str:
        location, _ = split_queue(parent)
        return f"{location}/operations/{request_id or uuid.uuid4()}"

    def _keep(self, operation: Operation) -> Operation:
        self._kept[operation.name] = operation
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return operation


def _check_inside(queue: str, task: str) -> None:
    if split_task(task)[0] != queue:
        raise invalid(f"The task '{task}' must be in the queue '{queue}'.")


def _all_failed(what: str) -> Status:
    text = "None of the requests succeeded, refer to "
    return Status(
        code=Code.ABORTED,
        message=text + f"Batch{what}TasksMetadata.failed_requests for individual error details",
    )
