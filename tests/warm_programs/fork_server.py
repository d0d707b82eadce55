"""A server that forks a process for each command.

It runs in gcloud's own Python too, which has no packages.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

_MOST_BYTES = 1 << 20


def serve(
    address: str,
    command: Callable[[list[str]], None],
    learn: Callable[[list[str]], None] | None = None,
) -> None:
    """Run `command` with the arguments of each client, until standard input ends.

    `learn` gets the names of the modules that a command has imported, in the server's process.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # ended commands need no one to wait for them
    imported, report = os.pipe()
    gc.collect()
    gc.freeze()  # a collection in a command would copy the memory that it shares
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        print("ready", flush=True)  # noqa: T201 - whoever has started it waits for this
        while True:
            watched: list[socket.socket | int] = [listener, imported, 0]
            ready, _, _ = select.select(watched, [], [])
            if 0 in ready:
                return
            if imported in ready:
                names = os.read(imported, _MOST_BYTES).decode().split()
                if learn is not None:
                    learn(names)
                    gc.collect()
                    gc.freeze()
            elif listener in ready:
                connection, _ = listener.accept()
                with connection:
                    _serve_client(command, connection, report)


def _serve_client(
    command: Callable[[list[str]], None], connection: socket.socket, report: int
) -> None:
    """Run one command in a process of its own, as its client's process would."""
    request, descriptors = _receive_request(connection)
    if os.fork():
        for descriptor in descriptors:
            os.close(descriptor)
        return
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.umask(request["umask"])
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    known = set(sys.modules)
    code = _run_to_end(command, request["arguments"])
    os.write(report, f"{' '.join(sys.modules.keys() - known)} ".encode())
    connection.sendall(bytes([code & 255]))
    os._exit(0)


def _receive_request(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The client's request and its standard input, output and error."""
    text, descriptors, _, _ = socket.recv_fds(connection, _MOST_BYTES, 3)
    while more := connection.recv(_MOST_BYTES):
        text += more
    return json.loads(text), descriptors


def _run_to_end(command: Callable[[list[str]], None], arguments: list[str]) -> int:
    """Run the command and all that Python does at its end; return the exit code."""
    code = 0
    try:
        command(arguments)
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - a fresh process would print it too, and end
        sys.excepthook(*sys.exc_info())
        code = 1
    with contextlib.suppress(Exception):
        threading._shutdown()  # type: ignore[attr-defined] # waits for the command's threads
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    return code
