"""The control door, for tests and rehearsals: reset, virtual time, deliveries, events, faults, waiting for empty."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from taskreel_local.emulators.cloudtasks import message_codec
from taskreel_local.emulators.cloudtasks.api_errors import ApiError, Code, invalid
from taskreel_local.emulators.cloudtasks.api_methods import Api
from taskreel_local.emulators.cloudtasks.clock import VirtualClock
from taskreel_local.emulators.cloudtasks.codec_field import FieldValueError
from taskreel_local.emulators.cloudtasks.codec_scalars import Duration, Timestamp
from taskreel_local.emulators.cloudtasks.faults import Faults
from taskreel_local.emulators.cloudtasks.history import Delivery, Event, HandlerResponse

_FAULTS = frozenset(field.name for field in dataclasses.fields(Faults))

Query = dict[str, str]
Handler = Callable[[Query, dict[str, Any]], Awaitable[dict[str, Any]]]


class ControlApi:
    """Each call takes and gives a JSON object."""

    def __init__(self, api: Api) -> None:
        self._engine = api.engine
        self._api = api
        self._handlers: dict[tuple[str, str], Handler] = {
            ("POST", "reset"): self._reset,
            ("GET", "time"): self._time,
            ("POST", "advance"): self._advance,
            ("GET", "deliveries"): self._deliveries,
            ("GET", "events"): self._events,
            ("GET", "queues"): self._queues,
            ("POST", "wait-empty"): self._wait_empty,
            ("GET", "faults"): self._faults,
            ("PUT", "faults"): self._set_faults,
        }

    async def answer(self, verb: str, path: str, query: Query, body: Any) -> dict[str, Any]:
        """Do what is asked. Raises ApiError."""
        handler = self._handlers.get((verb, path))
        if handler is None:
            known = ", ".join(f"{verb} /control/{path}" for verb, path in self._handlers)
            raise ApiError(Code.NOT_FOUND, f"No such control; there are {known}.")
        if not isinstance(body, dict):
            raise invalid("The body must be a JSON object.")
        return await handler(query, body)

    async def _reset(self, _query: Query, body: dict[str, Any]) -> dict[str, Any]:
        await self._engine.reset(keep_queues=body.get("keepQueues") is True)
        self._api.forget()
        return {}

    async def _time(self, _query: Query, _body: dict[str, Any]) -> dict[str, Any]:
        clock = self._engine.clock
        return {"now": _moment(clock.now()), "virtual": isinstance(clock, VirtualClock)}

    async def _advance(self, query: Query, body: dict[str, Any]) -> dict[str, Any]:
        micros = _duration("by", body.get("by"))
        if micros < 0:
            raise invalid("Time goes forward only.")
        await self._engine.advance(timedelta(microseconds=micros))
        return await self._time(query, body)

    async def _deliveries(self, query: Query, _body: dict[str, Any]) -> dict[str, Any]:
        kept = self._engine.history.deliveries
        return {"deliveries": [_delivery(item) for item in kept if _asked_for(item, query)]}

    async def _events(self, query: Query, _body: dict[str, Any]) -> dict[str, Any]:
        kept = self._engine.history.events
        return {"events": [_event(item) for item in kept if _asked_for(item, query)]}

    async def _queues(self, _query: Query, _body: dict[str, Any]) -> dict[str, Any]:
        lanes = self._engine.lanes()
        return {
            "queues": [
                {**message_codec.to_json(lane.queue), "stats": message_codec.to_json(lane.stats())}
                for lane in lanes
            ]
        }

    async def _wait_empty(self, _query: Query, body: dict[str, Any]) -> dict[str, Any]:
        timeout_s = _duration("timeout", body.get("timeout", "60s")) / 1_000_000
        queue = body.get("queue")
        if queue is not None:
            self._engine.get_queue(str(queue))
        try:
            async with asyncio.timeout(timeout_s):
                await self._engine.wait_idle(queue)
        except TimeoutError:
            raise ApiError(
                Code.DEADLINE_EXCEEDED, f"Tasks are still there after {timeout_s:g} s."
            ) from None
        return {}

    async def _faults(self, _query: Query, _body: dict[str, Any]) -> dict[str, Any]:
        return dataclasses.asdict(self._engine.faults)

    async def _set_faults(self, query: Query, body: dict[str, Any]) -> dict[str, Any]:
        unknown = body.keys() - _FAULTS
        if unknown:
            raise invalid(
                f"Unknown faults: {', '.join(sorted(unknown))}; there are {', '.join(sorted(_FAULTS))}."
            )
        try:
            self._engine.faults = Faults(**body)
        except (TypeError, ValueError) as error:
            raise invalid(f"A fault is wrong: {error}.") from None
        return await self._faults(query, body)


def _duration(name: str, text: Any) -> int:
    try:
        return Duration().from_json(text)
    except FieldValueError as error:
        raise error.inside(name) from None


def _asked_for(item: Delivery | Event, query: Query) -> bool:
    queue, task = query.get("queue"), query.get("task")
    in_queue = not queue or item.queue == queue or item.queue.endswith(f"/{queue}")
    return in_queue and (not task or item.task == task)


def _delivery(item: Delivery) -> dict[str, Any]:
    request = item.request
    return {
        "queue": item.queue,
        "task": item.task,
        "attempt": item.attempt,
        "startTime": _moment(item.started),
        "endTime": _moment(item.finished),
        "request": {
            "method": request.method,
            "url": request.url,
            "headers": dict(request.headers),
            **_body(request.body),
        },
        **({"response": _reply(item.reply)} if item.reply else {"error": item.error}),
    }


def _reply(reply: HandlerResponse) -> dict[str, Any]:
    return {"status": reply.status, "headers": reply.headers, **_body(reply.body)}


def _body(body: bytes) -> dict[str, str]:
    """Base64 always, and text where it is text."""
    shown = {"body": base64.b64encode(body).decode()}
    try:
        return {**shown, "text": body.decode()}
    except UnicodeDecodeError:
        return shown


def _event(item: Event) -> dict[str, Any]:
    shown = {
        "kind": item.kind.value,
        "time": _moment(item.at),
        "queue": item.queue,
        "task": item.task,
    }
    return {**shown, "detail": item.detail} if item.detail else shown


def _moment(micros: int) -> str:
    return Timestamp().to_json(micros, False)
