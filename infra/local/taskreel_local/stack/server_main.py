"""One server process of the stack: what the functions serve, and the files, behind one port.

Each path goes to the application that `main.py` hands to functions_framework in the cloud.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from taskreel import wiring
from taskreel.adapters.local.files import FileBlobs
from taskreel.domain.errors import TaskreelError
from taskreel.web.problems import problem, status_of

#: A response that a client reads slowly may hold a stopping server up this long.
_GRACE_SECONDS = 3


class Gateway:
    """Sends each request to the application that its function serves; anything else is the API's to refuse."""

    def __init__(self) -> None:
        self._files = Starlette(
            routes=[Route("/files/{path:path}", _file, methods=["GET", "HEAD"])]
        )
        self._functions: dict[str, Callable[[], ASGIApp]] = {
            "/tasks/process": wiring.processor,
            "/tasks/sweep": wiring.maintenance,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        path: str = scope.get("path", "")
        app = self._files if path.startswith("/files/") else self._functions.get(path, wiring.api)()
        await app(scope, receive, send)


class Protocol(HttpToolsProtocol):
    """Keeps an HTTP/1.0 connection whose client asks for it, as `ab` and some proxies do; uvicorn closes those."""

    def on_headers_complete(self) -> None:
        """The request is known now."""
        super().on_headers_complete()
        cycle = self.cycle
        if self.scope["http_version"] == "1.0" and self.parser.should_keep_alive():
            cycle.keep_alive = True
            cycle.default_headers = [*cycle.default_headers, (b"connection", b"keep-alive")]


async def _file(request: Request) -> Response:
    """One of the bucket's files, under a signed URL."""
    blobs = wiring.services().blobs
    path, query = request.path_params["path"], request.query_params
    assert isinstance(blobs, FileBlobs)  # noqa: S101 - this process was given file:///
    try:
        blobs.check_url(
            path,
            expires=query.get("expires", ""),
            signature=query.get("signature", ""),
        )
    except TaskreelError as error:
        return problem(status_of(error), error.code, error.message)
    file = blobs.find_path(path)
    if not file.is_file():
        return Response(status_code=404)
    return FileResponse(file, media_type=blobs.read_content_type(path))


def _end_with_parent() -> None:
    """Standard input is a pipe from the stack: when the stack is gone, however it went, so is this process."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def main() -> None:
    """Serve on the listening socket whose descriptor is the argument."""
    descriptor = int(sys.argv[1])
    _end_with_parent()
    wiring.settings()
    listener = socket.socket(fileno=descriptor)
    config = uvicorn.Config(
        Gateway(),
        http=Protocol,
        proxy_headers=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        backlog=1024,
    )
    loop: Any = config.get_loop_factory()
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(uvicorn.Server(config).serve(sockets=[listener]))


if __name__ == "__main__":
    main()
