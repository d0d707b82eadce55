"""One process of a simulated deployment: its applications, its crashes, and a request to it."""

from __future__ import annotations

import asyncio
import functools
import json
from dataclasses import dataclass
from typing import Any

from simulation.fault_plan import Fault
from simulation.simulated_ports import Machine, MachineWorkDirs
from taskreel.app.jobs.job_run import JobRun
from taskreel.app.live.job_feed import JobFeed
from taskreel.app.services import Services
from taskreel.app.worker.processor import Processor


class CrashingRun(JobRun):
    """A run that crashes now and then by a bug, before its work or after it."""

    async def run(self) -> None:
        """Run, unless it crashes."""
        self._crash_now_and_then()
        await super().run()

    async def _store_outcome(self) -> None:
        self._crash_now_and_then()
        await super()._store_outcome()

    def _crash_now_and_then(self) -> None:
        work_dirs = self._services.work_dirs
        assert isinstance(work_dirs, MachineWorkDirs)
        if work_dirs.machine.plan.strikes(Fault.CODE_CRASHES):
            raise ArithmeticError("a bug")


class ConnectionLostError(Exception):
    """The instance died, or did not answer in time: the caller knows nothing."""


@functools.cache
def build_other_routes() -> Any:
    """FastAPI's application, which has no state of its own: building it takes half a second."""
    from taskreel.web.app import build_fastapi

    return build_fastapi()


@dataclass(eq=False)
class Instance:
    """One process: its machine and its applications."""

    machine: Machine
    services: Services
    processor: Processor
    feed: JobFeed
    api: Any
    tasks_app: Any
    maintenance_app: Any
    #: It takes no new requests: it is being stopped.
    draining: bool = False
    #: Resolves when it dies.
    died: asyncio.Future[None] | None = None


async def serve_request(
    app: Any, method: str, path: str, content: bytes, headers: dict[str, str]
) -> tuple[int, Any]:
    """Run one request through an ASGI application."""
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [
            (b"host", b"api.test"),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(content)).encode()),
            *((name.encode(), value.encode()) for name, value in headers.items()),
        ],
        "client": ("10.0.0.1", 1234),
        "server": ("api.test", 80),
    }
    sent: list[Any] = []
    answered: list[int] = []
    parts: list[bytes] = []

    async def receive() -> Any:
        if sent:
            await asyncio.Event().wait()  # the client stays connected
        sent.append(True)
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answered.append(message["status"])
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    text = b"".join(parts)
    return answered[0], json.loads(text) if text.startswith((b"{", b"[")) else text
