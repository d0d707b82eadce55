"""The time that an adapter adds to a provider.

`PYTHONPATH=functions:tests .venv/bin/python -m providers.bench`
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from providers.case import Case
from providers.cases import CASES

CALLS = 300


async def _measure_case(case: Case, folder: Path) -> float:
    fake = case.fake(polls=0)
    provider, request = case.adapter(fake), case.request(folder)
    seconds = []
    for number in range(CALLS + 20):
        began = time.perf_counter()
        await provider.start(request, idempotency_key=str(number))
        seconds.append(time.perf_counter() - began)
    await provider.close()
    return statistics.median(seconds[20:]) * 1000


def measure_overhead() -> dict[str, float]:
    """Milliseconds of one `start`, the fake's own work included: the median of 300, by case."""
    with tempfile.TemporaryDirectory() as folder:
        return {case.name: asyncio.run(_measure_case(case, Path(folder))) for case in CASES}


if __name__ == "__main__":
    for name, milliseconds in measure_overhead().items():
        sys.stdout.write(f"{name:20} {milliseconds:6.2f} ms\n")
