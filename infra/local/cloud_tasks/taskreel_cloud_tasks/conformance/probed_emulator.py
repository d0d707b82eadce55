"""An emulator under test, and a handler that answers its dispatches by a script."""

from __future__ import annotations

import http.server
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from taskreel_cloud_tasks.clients import connect

LOCATION = "projects/conformance/locations/us-central1"


@dataclass(slots=True)
class Arrival:
    """A request that the probes' handler received."""

    at: float
    method: str
    path: str
    headers: dict[str, str]


@dataclass(slots=True)
class Site:
    """An emulator under test, and a handler that answers by a script."""

    client: Any
    address: str
    url: str = ""
    answers: dict[str, list[int]] = field(default_factory=dict)
    arrivals: list[Arrival] = field(default_factory=list)

    def create_queue(self, **settings: Any) -> str:
        """Create a queue with a name that was never used, and return it."""
        name = f"{LOCATION}/queues/c-{uuid.uuid4().hex[:12]}"
        self.client.create_queue(parent=LOCATION, queue={"name": name, **settings})
        return name

    def create_task(self, queue: str, path: str = "/", **fields: Any) -> Any:
        """Create a task for the handler's `path`."""
        request = {"url": self.url + path, **fields.pop("http", {})}
        return self.client.create_task(parent=queue, task={"http_request": request, **fields})

    def script(self, *answers: int) -> str:
        """Return a path at which the handler gives these answers, one after another, then 200."""
        path = f"/{uuid.uuid4().hex}"
        self.answers[path] = list(answers)
        return path

    def wait_for(self, path: str, count: int, seconds: float = 6) -> list[Arrival]:
        """Return the requests at `path` once there are `count`, or after the time is up."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found = [each for each in self.arrivals if each.path == path]
            if len(found) >= count:
                return found
            time.sleep(0.01)
        return [each for each in self.arrivals if each.path == path]


class _Handler(http.server.BaseHTTPRequestHandler):
    """Records requests and answers by the site's script; -1 answers too late, -2 says later."""

    site: Site

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Print nothing."""

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.site.arrivals.append(Arrival(time.monotonic(), self.command, self.path, headers))
        script = self.site.answers.get(self.path) or []
        status = script.pop(0) if script else 200
        if status == -1:
            time.sleep(17)
        self.send_response({-1: 200, -2: 503}.get(status, status))
        if status == -2:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - their names there


@contextmanager
def open_site(address: str) -> Iterator[Site]:
    """Connect to an emulator and start a handler."""
    with connect(address) as client:
        site = Site(client, address)
        handler = type("Handler", (_Handler,), {"site": site})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        site.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
