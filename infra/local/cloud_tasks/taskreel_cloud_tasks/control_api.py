"""The control API for tests: reset, virtual time, deliveries, events, faults, waiting for idle."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from taskreel_cloud_tasks import message_codec
from taskreel_cloud_tasks.api_errors import ApiError, Code, invalid_argument
from taskreel_cloud_tasks.api_methods import ApiMethods
from taskreel_cloud_tasks.clock import VirtualClock
from taskreel_cloud_tasks.codec_field import FieldValueError
from taskreel_cloud_tasks.codec_scalars import Duration, Timestamp
from taskreel_cloud_tasks.delivery_history import Delivery, Event, HandlerResponse
from taskreel_cloud_tasks.faults import Faults

_FAULTS = frozenset(field.name for field in dataclasses.fields(Faults))

Query = dict[str, str]
Handler = Callable[[Query, dict[str, Any]], Awaitable[dict[str, Any]]]


class ControlApi:
    """Each call takes and returns a JSON object."""

    def __init__(self, api: ApiMethods) -> None:
        self._engine = api.engine
        self._api = api
        self._handlers: dict[tuple[str, str], Handler] = {
            ("POST", "reset"): self._handle_reset,
            ("GET", "time"): self._show_time,
            ("POST", "advance"): self._advance_clock,
            ("GET", "deliveries"): self._list_deliveries,
            ("GET", "delivery"): self._show_delivery,
            ("GET", "events"): self._list_events,
            ("GET", "queues"): self._list_queues,
            ("POST", "wait-empty"): self._wait_empty,
            ("GET", "faults"): self._show_faults,
            ("PUT", "faults"): self._set_faults,
        }

    async def handle_request(self, verb: str, path: str, query: Query, body: Any) -> dict[str, Any]:
        """Route one call. Raises ApiError."""
        handler = self._handlers.get((verb, path))
        if handler is None:
            known = ", ".join(f"{verb} /control/{path}" for verb, path in self._handlers)
            raise ApiError(Code.NOT_FOUND, f"Unknown control call. The known calls are: {known}.")
        if not isinstance(body, dict):
            raise invalid_argument("The body must be a JSON object.")
        return await handler(query, body)

    async def _handle_reset(self, _query: Query, body: dict[str, Any]) -> dict[str, Any]:
        await self._engine.reset(keep_queues=body.get("keepQueues") is True)
        self._api.reset_state()
        return {}

    async def _show_time(self, _query: Query, _render_body: dict[str, Any]) -> dict[str, Any]:
        clock = self._engine.clock
        return {"now": _format_time(clock.now()), "virtual": isinstance(clock, VirtualClock)}

    async def _advance_clock(self, query: Query, body: dict[str, Any]) -> dict[str, Any]:
        micros = _parse_duration("by", body.get("by"))
        if micros < 0:
            raise invalid_argument("`by` must not be negative: a clock cannot go back.")
        await self._engine.advance(timedelta(microseconds=micros))
        return await self._show_time(query, body)

    async def _list_deliveries(self, query: Query, _body: dict[str, Any]) -> dict[str, Any]:
        """List attempts, oldest first; `limit` takes the newest, `brief` leaves contents out."""
        brief = query.get("brief") == "true"
        found = [
            (number, item)
            for number, item in self._engine.history.numbered_deliveries()
            if _matches_query(item, query)
        ]
        found = found[-_parse_limit(query) :]
        render = _render_brief if brief else _render_delivery
        return {"deliveries": [{**render(item), "number": number} for number, item in found]}

    async def _show_delivery(self, query: Query, _body: dict[str, Any]) -> dict[str, Any]:
        wanted = query.get("number", "")
        for number, item in self._engine.history.numbered_deliveries():
            if str(number) == wanted:
                return {**_render_delivery(item), "number": number}
        raise ApiError(
            Code.NOT_FOUND, f"There is no record of delivery {wanted[:20]!r}, or no longer."
        )

    async def _list_events(self, query: Query, _render_body: dict[str, Any]) -> dict[str, Any]:
        recorded = self._engine.history.events
        return {"events": [_render_event(item) for item in recorded if _matches_query(item, query)]}

    async def _list_queues(self, _query: Query, _render_body: dict[str, Any]) -> dict[str, Any]:
        dispatchers = self._engine.list_dispatchers()
        return {
            "queues": [
                {
                    **message_codec.to_json(dispatcher.queue),
                    "stats": message_codec.to_json(dispatcher.compute_stats()),
                }
                for dispatcher in dispatchers
            ]
        }

    async def _wait_empty(self, _query: Query, body: dict[str, Any]) -> dict[str, Any]:
        timeout_s = _parse_duration("timeout", body.get("timeout", "60s")) / 1_000_000
        queue = body.get("queue")
        if queue is not None:
            self._engine.get_queue(str(queue))
        try:
            async with asyncio.timeout(timeout_s):
                await self._engine.wait_idle(queue)
        except TimeoutError:
            raise ApiError(
                Code.DEADLINE_EXCEEDED, f"Tasks still wait or run after {timeout_s:g} s."
            ) from None
        return {}

    async def _show_faults(self, _query: Query, _render_body: dict[str, Any]) -> dict[str, Any]:
        return dataclasses.asdict(self._engine.faults)

    async def _set_faults(self, query: Query, body: dict[str, Any]) -> dict[str, Any]:
        unknown = body.keys() - _FAULTS
        if unknown:
            raise invalid_argument(
                f"Unknown faults: {', '.join(sorted(unknown))}. "
                f"The known faults are: {', '.join(sorted(_FAULTS))}."
            )
        try:
            self._engine.faults = Faults(**body)
        except (TypeError, ValueError) as error:
            raise invalid_argument(f"Invalid fault: {error}.") from None
        return await self._show_faults(query, body)


def _parse_duration(name: str, text: Any) -> int:
    try:
        return Duration().from_json(text)
    except FieldValueError as error:
        raise error.prefixed_with(name) from None


def _matches_query(item: Delivery | Event, query: Query) -> bool:
    queue, task = query.get("queue"), query.get("task")
    in_queue = not queue or item.queue == queue or item.queue.endswith(f"/{queue}")
    return in_queue and (not task or item.task == task)


def _parse_limit(query: Query) -> int:
    text = query.get("limit", "1000")
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= 1_000_000:
        raise invalid_argument("`limit` must be a number from 1 to 1000000.")
    return int(text[:9])


def _render_brief(item: Delivery) -> dict[str, Any]:
    return {
        "queue": item.queue,
        "task": item.task,
        "attempt": item.attempt,
        "startTime": _format_time(item.started),
        "endTime": _format_time(item.finished),
        "method": item.request.method,
        "url": item.request.url,
        **({"status": item.response.status} if item.response else {"error": item.error}),
    }


def _render_delivery(item: Delivery) -> dict[str, Any]:
    request = item.request
    return {
        "queue": item.queue,
        "task": item.task,
        "attempt": item.attempt,
        "startTime": _format_time(item.started),
        "endTime": _format_time(item.finished),
        "request": {
            "method": request.method,
            "url": request.url,
            "headers": dict(request.headers),
            **_render_body(request.body),
        },
        **(
            {"response": _render_response(item.response)}
            if item.response
            else {"error": item.error}
        ),
    }


def _render_response(response: HandlerResponse) -> dict[str, Any]:
    return {"status": response.status, "headers": response.headers, **_render_body(response.body)}


def _render_body(body: bytes) -> dict[str, str]:
    """Return the body as base64, and as text if it is UTF-8."""
    shown = {"body": base64.b64encode(body).decode()}
    try:
        return {**shown, "text": body.decode()}
    except UnicodeDecodeError:
        return shown


def _render_event(item: Event) -> dict[str, Any]:
    shown = {
        "kind": item.kind.value,
        "time": _format_time(item.at),
        "queue": item.queue,
        "task": item.task,
    }
    return {**shown, "detail": item.detail} if item.detail else shown


def _format_time(micros: int) -> str:
    return Timestamp().to_json(micros, False)
