"""Google's own clients, connected to an emulator in one line.

The client libraries have no variable that points them at an emulator; a channel does. Neither
credentials nor a Google account are needed.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import grpc
import grpc.aio
from google.cloud import tasks_v2

ADDRESS = "127.0.0.1:8123"


def connect(address: str = ADDRESS, api: ModuleType = tasks_v2) -> Any:
    """Return a `CloudTasksClient` of `api`: `tasks_v2`, `tasks_v2beta3` or `tasks_v2beta2`."""
    transport = api.CloudTasksClient.get_transport_class("grpc")
    return api.CloudTasksClient(transport=transport(channel=grpc.insecure_channel(address)))


def connect_async(address: str = ADDRESS, api: ModuleType = tasks_v2) -> Any:
    """Return a `CloudTasksAsyncClient` of `api`, for the running event loop."""
    transport = api.CloudTasksAsyncClient.get_transport_class("grpc_asyncio")
    channel = grpc.aio.insecure_channel(address)
    return api.CloudTasksAsyncClient(transport=transport(channel=channel))
