"""The objects and settings that all dispatchers of one engine share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from taskreel_cloud_tasks.clock import Clock
from taskreel_cloud_tasks.delivery_history import HandlerResponse, History, OutgoingRequest
from taskreel_cloud_tasks.dispatch_slots import DispatchSlots
from taskreel_cloud_tasks.faults import NO_FAULTS, Faults
from taskreel_cloud_tasks.http_request import TokenIssuer
from taskreel_cloud_tasks.journal import Journal


class Sender(Protocol):
    """Delivers dispatch requests to handlers."""

    async def send(self, request: OutgoingRequest) -> HandlerResponse:
        """Send one request and return its response. Raises SendError; may be cancelled."""


@dataclass(slots=True, kw_only=True)
class EngineContext:
    """Objects and settings that all dispatchers of one engine share."""

    clock: Clock
    journal: Journal
    sender: Sender
    tokens: TokenIssuer
    history: History
    slots: DispatchSlots
    dedup_window: timedelta
    unthrottled: bool = False
    app_engine_url: str = ""
    faults: Faults = NO_FAULTS
    on_idle: Callable[[], None] = lambda: None
