"""The load: one generator for every contender, the same number of requests over the same number of connections."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskreel_local.bench.process_tree import BenchError
from taskreel_local.bench.tools import need

_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Sent:
    """What the generator saw."""

    seconds: float
    #: Answers that were 2xx: so many jobs there are.
    accepted: int
    #: Answers that were not 2xx, and requests without an answer.
    refused: int
    p50_ms: float
    p99_ms: float
    #: Share of the requests that went over a connection kept from the one before.
    kept: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """`jobs` POSTs by `generator` (`ab` or `hey`), `concurrency` at a time."""

    generator: str
    jobs: int
    concurrency: int

    def send(
        self, url: str, body: Mapping[str, Any], token: str, folder: Path, jobs: int = 0
    ) -> Sent:
        """Send the load, or `jobs` of it; returns when the last answer is there."""
        need(self.generator)
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
            raise BenchError(
                f"{self.generator} failed: {(ended.stderr or ended.stdout).strip()[-300:]}"
            )
        return _READERS[self.generator](ended.stdout, seconds, count)


def _ab(count: int, concurrency: int, file: Path, token: str, url: str) -> list[str]:
    numbers = ["-n", str(count), "-c", str(concurrency)]
    return [
        *("ab", "-q", "-k", "-l", "-r", *numbers, "-p", str(file), "-T", "application/json"),
        *("-H", f"Authorization: Bearer {token}", url),
    ]


def _hey(count: int, concurrency: int, file: Path, token: str, url: str) -> list[str]:
    numbers = ["-n", str(count), "-c", str(concurrency)]
    return [
        *("hey", "-m", "POST", *numbers, "-D", str(file), "-T", "application/json"),
        *("-H", f"Authorization: Bearer {token}", url),
    ]


def read_ab(text: str, seconds: float, count: int) -> Sent:
    """The report of `ab`."""
    refused = int(_number(r"Non-2xx responses:\s+(\d+)", text)) + int(
        _number(r"Failed requests:\s+(\d+)", text)
    )
    return Sent(
        seconds=seconds,
        accepted=count - refused,
        refused=refused,
        p50_ms=_number(r"\n\s+50%\s+(\d+)", text),
        p99_ms=_number(r"\n\s+99%\s+(\d+)", text),
        kept=_number(r"Keep-Alive requests:\s+(\d+)", text) / count,
    )


def read_hey(text: str, seconds: float, count: int) -> Sent:
    """The report of `hey`, which keeps every connection that the server keeps."""
    accepted = sum(int(number) for number in re.findall(r"\[2\d\d]\s+(\d+) responses", text))
    return Sent(
        seconds=seconds,
        accepted=accepted,
        refused=count - accepted,
        p50_ms=_number(r"50%+ in ([\d.]+) secs", text) * 1000,
        p99_ms=_number(r"99%+ in ([\d.]+) secs", text) * 1000,
        kept=1.0,
    )


_COMMANDS = {"ab": _ab, "hey": _hey}
_READERS = {"ab": read_ab, "hey": read_hey}
GENERATORS = tuple(_COMMANDS)


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    return float(found[1]) if found else 0.0
