"""The parts of the servers that use the processor, sampled in the servers by their CPU time.

`EXTRA_PROVIDERS=taskreel_local.bench.cpu_samples:PROVIDERS` registers the studio as in the dev
stack, and samples: the kernel's timer for profiling runs while the process does, and each time its
signal comes the component of the running code is counted. A sample costs some microseconds.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import CodeType, FrameType

from taskreel_local.bench.rpc_counts import write_whole
from taskreel_local.studio import PROVIDERS

__all__ = ["FOLDER_VARIABLE", "PROVIDERS", "PROVIDERS_NAME", "find_part", "sample", "sum_samples"]

#: The environment variable that names the folder of the samples; without it nothing is sampled.
FOLDER_VARIABLE = "BENCH_CPU_SAMPLES"
PROVIDERS_NAME = "taskreel_local.bench.cpu_samples:PROVIDERS"
#: Kernels round it up to their own tick, of one to four milliseconds.
_SAMPLE_SECONDS = 0.001
_WRITE_SECONDS = 0.25

#: The event loop itself, and what belongs to no part.
OTHER = "event loop, other"
#: The part of the work of each file, by the beginning of its path. Files that are not named, such
#: as `domain/job.py` and pydantic's, work for the part that calls them.
_PARTS: Mapping[str, str] = {
    "uvicorn/": "HTTP: parse, route, send",
    "starlette/": "HTTP: parse, route, send",
    "taskreel_local/stack/": "HTTP: parse, route, send",
    "taskreel_local/stack/server_main.py": OTHER,
    "taskreel/web/public_api.py": "HTTP: parse, route, send",
    "taskreel/adapters/external_synchrony.py": "HTTP: parse, route, send",
    "taskreel/web/auth.py": "authentication and rates",
    "taskreel/web/request_rates.py": "authentication and rates",
    "taskreel/web/http.py": "body: parse, validate, JSON",
    "taskreel/web/job_submission.py": "body: parse, validate, JSON",
    "taskreel/jobtypes/": "body: parse, validate, JSON",
    "taskreel/app/pricing/": "price, units, choice of the provider",
    "taskreel/app/providers/": "price, units, choice of the provider",
    "taskreel/adapters/providers/": "price, units, choice of the provider",
    "taskreel/app/jobs/submit.py": "submission: the new job",
    "taskreel/app/jobs/new_job.py": "submission: the new job",
    "taskreel/app/flow/": "submission: the new job",
    "taskreel/domain/ids.py": "submission: the new job",
    "taskreel/domain/credits.py": "credits: hold, capture, ledger",
    "taskreel/app/credits/": "credits: hold, capture, ledger",
    "taskreel/web/responses.py": "response: view and JSON",
    "taskreel/app/jobs/enqueue.py": "queue",
    "taskreel/app/messages/": "queue",
    "taskreel/adapters/local/memory_": "queue",
    "taskreel/app/worker/": "delivery and claim",
    "taskreel/domain/claim_and_outcome.py": "delivery and claim",
    "taskreel/web/tasks.py": "delivery and claim",
    "taskreel/wiring.py": "delivery and claim",
    "taskreel/app/eager.py": "run",
    "taskreel/app/jobs/": "run",
    "taskreel_local/studio/": "run",
    "taskreel/app/jobs/finish_job.py": "settlement",
    "taskreel/adapters/local/sqlite.py": "transactions in memory",
    "taskreel/adapters/local/sqlite_tables.py": "documents: encode",
    "taskreel/adapters/local/sqlite_file.py": "SQLite: statements, commits",
    "taskreel/adapters/logged_store.py": "logs",
    "taskreel/log.py": "logs",
    "logging/": "logs",
    "taskreel/app/records/": "events and metrics",
    "taskreel/domain/job_metrics.py": "events and metrics",
}
_ROOTS = ("/site-packages/", "/functions/", "/infra/local/", "/lib/python3.")


def find_part(path: str) -> str | None:
    """The part of the work that the code of a file does; None for that of its caller."""
    for root in _ROOTS:
        _, found, inside = path.rpartition(root)
        if found:
            path = inside.partition("/")[2] if root == _ROOTS[-1] else inside
            break
    fitting = [beginning for beginning in _PARTS if path.startswith(beginning)]
    return _PARTS[max(fitting, key=len)] if fitting else None


def sum_samples(folder: Path) -> Counter[str]:
    """The samples of all servers by part, not later than a moment ago."""
    time.sleep(2 * _WRITE_SECONDS)
    total = Counter[str]()
    for file in folder.glob("cpu-*.json"):
        total.update(json.loads(file.read_text()))
    return total


def sample(folder: Path) -> Callable[[], None]:
    """Sample this process from now on, until the returned function is called.

    The counts are written every quarter second.
    """
    counts = Counter[str]()
    parts: dict[CodeType, str | None] = {}

    def note(_number: int, frame: FrameType | None) -> None:
        while frame is not None:
            code = frame.f_code
            if code not in parts:
                parts[code] = find_part(code.co_filename)
            part = parts[code]
            if part is not None:
                counts[part] += 1
                return
            frame = frame.f_back
        counts[OTHER] += 1

    file = folder / f"cpu-{os.getpid()}.json"

    ended = threading.Event()

    def write_until_end() -> None:
        while not ended.wait(_WRITE_SECONDS):
            write_whole(file, counts)
        write_whole(file, counts)

    writer = threading.Thread(target=write_until_end, daemon=True)

    def stop() -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        ended.set()
        writer.join()

    signal.signal(signal.SIGPROF, note)
    signal.setitimer(signal.ITIMER_PROF, _SAMPLE_SECONDS, _SAMPLE_SECONDS)
    writer.start()
    return stop


if _folder := os.environ.get(FOLDER_VARIABLE):
    atexit.register(sample(Path(_folder)))
