"""The load generator: the same requests over the same number of connections for every contender."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskreel_local.bench.peer_tools import require_programs
from taskreel_local.bench.process_tree import BenchmarkError

_SECONDS = 600


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The report of the generator."""

    seconds: float
    #: Number of 2xx responses, which is the number of jobs.
    accepted: int
    #: Number of other responses, and of requests without a response.
    refused: int
    p50_ms: float
    p99_ms: float
    #: Share of the requests that reused a connection.
    reused: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """`jobs` POSTs by `generator` (`ab` or `hey`), `concurrency` at a time."""

    generator: str
    jobs: int
    concurrency: int

    def send(
        self, url: str, body: Mapping[str, Any], token: str, folder: Path, jobs: int = 0
    ) -> LoadResult:
        """Send `jobs` requests, or those of this load; return after the last response."""
        require_programs(self.generator)
        file = folder / "body.json"
        file.write_text(json.dumps(body))
        wanted = jobs or self.jobs
        concurrency = min(self.concurrency, wanted)
        count = (
            wanted - wanted % concurrency
        )  # the same number over each connection: hey sends no other
        command = _COMMANDS[self.generator](count, concurrency, file, token, url)
        began = time.perf_counter()
        ended = subprocess.run(  # noqa: S603 - our own command
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        seconds = time.perf_counter() - began
        if ended.returncode:
            raise BenchmarkError(
                f"{self.generator} failed: {(ended.stderr or ended.stdout).strip()[-300:]}"
            )
        return _READERS[self.generator](ended.stdout, seconds, count)


def _ab_command(count: int, concurrency: int, file: Path, token: str, url: str) -> list[str]:
    numbers = ["-n", str(count), "-c", str(concurrency)]
    return [
        *("ab", "-q", "-k", "-l", "-r", *numbers, "-p", str(file), "-T", "application/json"),
        *("-H", f"Authorization: Bearer {token}", url),
    ]


def _hey_command(count: int, concurrency: int, file: Path, token: str, url: str) -> list[str]:
    numbers = ["-n", str(count), "-c", str(concurrency)]
    return [
        *("hey", "-m", "POST", *numbers, "-D", str(file), "-T", "application/json"),
        *("-H", f"Authorization: Bearer {token}", url),
    ]


def parse_ab_report(text: str, seconds: float, count: int) -> LoadResult:
    """Parse the report of `ab`."""
    refused = int(_find_number(r"Non-2xx responses:\s+(\d+)", text)) + int(
        _find_number(r"Failed requests:\s+(\d+)", text)
    )
    return LoadResult(
        seconds=seconds,
        accepted=count - refused,
        refused=refused,
        p50_ms=_find_number(r"\n\s+50%\s+(\d+)", text),
        p99_ms=_find_number(r"\n\s+99%\s+(\d+)", text),
        reused=_find_number(r"Keep-Alive requests:\s+(\d+)", text) / count,
    )


def parse_hey_report(text: str, seconds: float, count: int) -> LoadResult:
    """Parse the report of `hey`, which reuses every connection that the server does not close."""
    accepted = sum(int(number) for number in re.findall(r"\[2\d\d]\s+(\d+) responses", text))
    return LoadResult(
        seconds=seconds,
        accepted=accepted,
        refused=count - accepted,
        p50_ms=_find_number(r"50%+ in ([\d.]+) secs", text) * 1000,
        p99_ms=_find_number(r"99%+ in ([\d.]+) secs", text) * 1000,
        reused=1.0,
    )


_COMMANDS = {"ab": _ab_command, "hey": _hey_command}
_READERS = {"ab": parse_ab_report, "hey": parse_hey_report}
GENERATORS = tuple(_COMMANDS)


def _find_number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    return float(found[1]) if found else 0.0
