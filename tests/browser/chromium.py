"""Chromium without a window, and a server of one page, to which the page sends its report."""

from __future__ import annotations

import json
import queue
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from http_handlers import serve_handler
from installed_programs import find_program

REPORT_SECONDS = 60.0


@dataclass
class PageServer:
    """Serves a page at `url`; the page posts its report, a JSON object, to `/report`."""

    page: str
    url: str = ""
    reports: queue.Queue[Any] = field(default_factory=queue.Queue)

    def wait_for_report(self) -> Any:
        return self.reports.get(timeout=REPORT_SECONDS)


@contextmanager
def serving_page(page: str) -> Iterator[PageServer]:
    """Serve the page on a free port during the block."""
    found = PageServer(page)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == "/"
            body = found.page.encode() if known else b""
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            found.reports.put(json.loads(self.rfile.read(length)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with serve_handler(Handler) as origin:
        found.url = f"{origin}/"
        yield found


def run_page(page: str, values: Mapping[str, str], profile: Path) -> Any:
    """The report of the page, opened in Chromium; `{{name}}` in it stands for a value."""
    program = find_program("chromium", "apt-get install chromium")
    for name, value in values.items():
        page = page.replace(f"{{{{{name}}}}}", json.dumps(value))
    with serving_page(page) as server:
        command = [
            program,
            "--headless",
            "--no-sandbox",  # CI is root
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-dev-shm-usage",
            "--disable-sync",
            "--remote-debugging-port=0",  # without it, it would end once the page is loaded
            f"--user-data-dir={profile}",
            server.url,
        ]
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                return server.wait_for_report()
            finally:
                process.terminate()
