"""The calls that the servers make through gRPC, counted in the servers.

`EXTRA_PROVIDERS=taskreel_local.bench.rpc_counts:PROVIDERS` registers the studio as in the dev
stack, and counts: an interceptor would cost a tenth of a call, an addition costs nothing.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from taskreel_local.studio import PROVIDERS

__all__ = ["FOLDER_VARIABLE", "PROVIDERS", "PROVIDERS_NAME", "sum_rpc_counts", "write_whole"]

#: The environment variable that names the folder of the counts; without it nothing is counted.
FOLDER_VARIABLE = "BENCH_RPC_COUNTS"
PROVIDERS_NAME = "taskreel_local.bench.rpc_counts:PROVIDERS"
_WRITE_SECONDS = 0.25


def sum_rpc_counts(folder: Path) -> Counter[str]:
    """The calls of all servers by method, not later than a moment ago."""
    time.sleep(2 * _WRITE_SECONDS)
    total = Counter[str]()
    for file in folder.glob("rpc-*.json"):
        total.update(json.loads(file.read_text()))
    return total


def _count_calls(folder: Path) -> None:
    """Count the calls of this process from now on, and write the counts every quarter second."""
    # gRPC's own classes: what the generated clients call, whatever their version.
    from grpc.aio import _channel

    counts = Counter[str]()
    for kind in (_channel.UnaryUnaryMultiCallable, _channel.UnaryStreamMultiCallable):
        _count_class(kind, counts)
    file = folder / f"rpc-{os.getpid()}.json"

    def write_forever() -> None:
        while True:
            write_whole(file, counts)
            time.sleep(_WRITE_SECONDS)

    threading.Thread(target=write_forever, daemon=True).start()
    atexit.register(write_whole, file, counts)


def _count_class(kind: Any, counts: Counter[str]) -> None:
    call = kind.__call__

    def counted(self: Any, *arguments: Any, **options: Any) -> Any:
        counts[self._method.decode().rpartition("/")[2]] += 1
        return call(self, *arguments, **options)

    kind.__call__ = counted


def write_whole(file: Path, counts: Counter[str]) -> None:
    """Replace the file, so that a reader never sees half of it."""
    with contextlib.suppress(OSError):
        beside = file.with_suffix(".tmp")
        beside.write_text(json.dumps(dict(counts)))
        beside.replace(file)


if _folder := os.environ.get(FOLDER_VARIABLE):
    _count_calls(Path(_folder))
