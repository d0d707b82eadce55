"""A server process of the stack: all functions, the queues and the files, behind one port.

Each path is served by the application that `main.py` gives to functions_framework in the cloud.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import re
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # Imports make no garbage: without the collector they take a seventh less. wiring turns it on.
    gc.disable()

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from taskreel import wiring
from taskreel.adapters.external_synchrony import DurableBlobs
from taskreel.adapters.local.files import FileBlobs
from taskreel.domain.errors import TaskreelError
from taskreel.web.problems import build_problem, find_status
from taskreel_local.stack.bounded_http import (
    bounded_protocol,
    choose_bounds,
)
from taskreel_local.stack.descriptor_limit import raise_descriptor_limit
from taskreel_local.stack.own_queues import OwnQueues
from taskreel_local.stack.stack_error import StackError
from taskreel_local.stack.start_checks import REFUSED, check_settings, check_store_key

#: Seconds that a stopping server waits for clients that read slowly.
_GRACE_SECONDS = 3
#: A range of bytes: its first and last, or the number of those at the end.
_RANGE = re.compile(r"bytes\s*=\s*(?:(\d{1,18})-(\d{0,18})|-\d{1,18})\s*", re.IGNORECASE | re.ASCII)


class PathRouter:
    """Routes each request to its function's application; unknown paths go to the API."""

    def __init__(self) -> None:
        self._files = Starlette(
            routes=[
                Route("/files/{path:path}", _serve_file, methods=["GET", "HEAD"]),
                Route("/files/{path:path}", _receive_file, methods=["PUT", "OPTIONS"]),
            ]
        )
        self._functions: dict[str, Callable[[], ASGIApp]] = {
            "/tasks/process": wiring.processor,
            "/tasks/sweep": wiring.maintenance,
            "/tasks/audit": wiring.maintenance,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path: str = scope.get("path", "")
        if path.startswith("/files/"):
            app: ASGIApp = self._files
        elif path.startswith("/socket.io/"):
            app = wiring.gateway()
        elif scope["type"] == "websocket":
            app = _refuse_websocket
        else:
            app = self._functions.get(path, wiring.api)()
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            if scope["type"] == "http":
                await _answer_cut_off(scope, receive, send)
            raise


async def _answer_cut_off(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 503 to a request that this server cannot finish, since it stops.

    uvicorn would answer 500, after which no client tries again. A port that does not answer, such
    as the store in an outage, is what holds a request up for so long.
    """
    detail = "This server stops and could not finish the request. Send it again."
    response = build_problem(HTTPStatus.SERVICE_UNAVAILABLE, "server_stopping", detail)
    response.headers["Retry-After"] = "1"
    with contextlib.suppress(RuntimeError):  # its response has begun
        await response(scope, receive, send)


class DrainingServer(uvicorn.Server):
    """Closes the ports once it has answered the requests under way, and not before."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._own_queues = OwnQueues()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and to deliver what waits in queues of this process."""
        await super().startup(sockets)
        self._own_queues.start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, answer what has begun within _GRACE_SECONDS, then close the ports."""
        await self._own_queues.stop()
        await super().shutdown(sockets)
        cut_off = set(self.server_state.tasks)
        if cut_off:
            # They were cancelled: event streams, and callers that wait for a job to end.
            await asyncio.wait(cut_off, timeout=1)
        await wiring.close_ports()


async def _refuse_websocket(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Only socket.io has WebSockets; this becomes a 403."""
    await send({"type": "websocket.close"})


def _find_files() -> FileBlobs:
    blobs = wiring.services().blobs
    files = blobs.inner if isinstance(blobs, DurableBlobs) else blobs
    assert isinstance(files, FileBlobs)  # noqa: S101 - the stack sets BLOBS_URL=file:///
    return files


async def _serve_file(request: Request) -> Response:
    """Serve a file of the bucket under a signed URL."""
    blobs = _find_files()
    path, query = request.path_params["path"], request.query_params
    try:
        blobs.check_url(
            path,
            expires=query.get("expires", ""),
            signature=query.get("signature", ""),
        )
    except TaskreelError as error:
        return build_problem(find_status(error), error.code, error.message)
    file = blobs.find_path(path)
    if not file.is_file():
        return Response(status_code=404)
    _drop_other_ranges(request)
    # The signature is the permission: a page of any origin may read the file, as in the bucket.
    headers = {"Access-Control-Allow-Origin": "*"}
    return FileResponse(file, media_type=blobs.read_content_type(path), headers=headers)


def _drop_other_ranges(request: Request) -> None:
    """Remove a `Range` that asks for anything but one part of the file: the answer is all of it.

    RFC 9110 (14.2) asks for that where the unit is unknown or the method is not GET, and allows it
    for several parts, as Cloud Storage does, and for one that ends before it begins.
    """
    given = _RANGE.fullmatch(request.headers.get("range", ""))
    first, last = given.groups() if given else (None, None)
    is_backwards = bool(first and last) and int(last or 0) < int(first or 0)
    if given is None or is_backwards or request.method != "GET":
        headers = request.scope["headers"]
        request.scope["headers"] = [one for one in headers if one[0] != b"range"]


async def _receive_file(request: Request) -> Response:
    """Store an uploaded file under a signed URL, whole or not at all."""
    headers = {"Access-Control-Allow-Origin": "*"}
    if request.method == "OPTIONS":
        allowed = {"Access-Control-Allow-Methods": "PUT", "Access-Control-Allow-Headers": "*"}
        return Response(status_code=HTTPStatus.NO_CONTENT, headers={**headers, **allowed})
    blobs = _find_files()
    path = request.path_params["path"]
    try:
        size, content_type = blobs.check_upload(path, request.query_params)
    except TaskreelError as error:
        return build_problem(find_status(error), error.code, error.message)
    with tempfile.NamedTemporaryFile(prefix="taskreel-upload-") as file:
        received = 0
        async for chunk in request.stream():
            received += len(chunk)
            if received > size:
                break
            await asyncio.to_thread(file.write, chunk)
        if received != size:
            detail = f"The body must have exactly {size} bytes, as they were announced."
            return build_problem(HTTPStatus.BAD_REQUEST, "wrong_size", detail)
        file.flush()
        await blobs.put(path, Path(file.name), content_type=content_type)
    return Response(status_code=HTTPStatus.OK, headers=headers)


def _exit_with_parent() -> None:
    """End this process when the stack ends: standard input is a pipe from it."""

    def wait_for_end() -> None:
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=wait_for_end, daemon=True).start()


def main() -> None:
    """Serve on the listening socket whose file descriptor is the first argument."""
    descriptor = int(sys.argv[1])
    os.umask(0o077)  # stored prompts and results are their owner's alone
    _exit_with_parent()
    try:
        asyncio.run(check_store_key(check_settings(os.environ)))
    except StackError:
        sys.exit(REFUSED)
    wiring.check_start()
    wiring.settings()
    listener = socket.socket(fileno=descriptor)
    config = uvicorn.Config(
        PathRouter(),
        http=bounded_protocol(choose_bounds(raise_descriptor_limit())),
        ws="websockets-sansio",
        ws_max_size=64 << 10,
        ws_ping_interval=None,  # socket.io has pings of its own
        ws_per_message_deflate=False,  # it would take 300 kB a connection, for small messages
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
        runner.run(DrainingServer(config).serve(sockets=[listener]))


if __name__ == "__main__":
    main()
