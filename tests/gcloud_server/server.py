"""gcloud's own Python with its modules imported, which forks a process for each command.

Run by the script `gcloud` in front of gcloud.py, with the address to listen on; ends when its
standard input does.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import json
import os
import select
import signal
import socket
import sys
import threading
from types import ModuleType

_MOST_BYTES = 1 << 20


def main() -> None:
    """Serve commands until standard input ends."""
    path = next(word for word in sys.argv if word.endswith("gcloud.py"))
    gcloud = load_gcloud(path)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # ended commands need no one to wait for them
    imported, report = os.pipe()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(sys.argv[-1])
        listener.listen(64)
        print("ready", flush=True)  # noqa: T201 - whoever has started it waits for this
        while True:
            watched: list[socket.socket | int] = [listener, imported, 0]
            ready, _, _ = select.select(watched, [], [])
            if 0 in ready:
                return
            if imported in ready:
                import_modules(os.read(imported, _MOST_BYTES).decode().split())
            elif listener in ready:
                connection, _ = listener.accept()
                with connection:
                    serve(gcloud, path, connection, report)


def load_gcloud(path: str) -> ModuleType:
    """Load gcloud.py, and do what its own `main` does first."""
    spec = importlib.util.spec_from_file_location("gcloud", path)
    assert spec is not None
    assert spec.loader is not None
    gcloud = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(gcloud)
    sys.path = gcloud.reorder_sys_path(sys.path)
    gcloud._fix_google_module()
    gcloud._import_gcloud_main()
    return gcloud


def import_modules(names: list[str]) -> None:
    """Import what commands have imported, so that the next ones need not."""
    for name in names:
        if name not in sys.modules:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collection in a command would copy the memory that it shares


def serve(gcloud: ModuleType, path: str, connection: socket.socket, report: int) -> None:
    """Run one command in a process of its own, as its client's process would."""
    request, descriptors = receive_request(connection)
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
    sys.argv = [path, *request["arguments"]]
    known = set(sys.modules)
    code = run_to_end(gcloud)
    names = [name for name in sys.modules.keys() - known if name.startswith("googlecloudsdk.")]
    os.write(report, f"{' '.join(names)} ".encode())
    connection.sendall(bytes([code & 255]))
    os._exit(0)


def receive_request(
    connection: socket.socket,
) -> tuple[dict, list[int]]:  # type: ignore[type-arg] # JSON
    """The client's request and its standard input, output and error."""
    text, descriptors, _, _ = socket.recv_fds(connection, _MOST_BYTES, 3)
    while more := connection.recv(_MOST_BYTES):
        text += more
    return json.loads(text), descriptors


def run_to_end(gcloud: ModuleType) -> int:
    """Run the command and all that Python does at its end; return the exit code."""
    code = 1
    try:
        gcloud.main()
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - a fresh process would print it too, and end
        sys.excepthook(*sys.exc_info())
    with contextlib.suppress(Exception):
        threading._shutdown()  # type: ignore[attr-defined] # waits for the command's threads
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    return code


if __name__ == "__main__":
    main()
