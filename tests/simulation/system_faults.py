"""The faults of a simulated system, each of which counts how often it really happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar

from taskreel.app.jobs.job_run import JobRun
from taskreel.domain.input_limits import InputLimits
from taskreel.ports import Clock, FileFacts, Timer
from virtual_time import VirtualTime

#: The limits on input files, and the room for them in an instance: that of one large file.
INPUT_LIMITS = InputLimits(max_file_bytes=900, max_job_pixels=10_000)
ROOM_BYTES = 1000


class SteppedClock:
    """`Clock` whose time jumps when the machine's clock is set; sleeping is not affected."""

    def __init__(self, steady: VirtualTime) -> None:
        self.steady = steady
        self.offset = timedelta(0)

    def now(self) -> datetime:
        return self.steady.now() + self.offset

    async def sleep(self, seconds: float, /) -> None:
        await self.steady.sleep(seconds)

    def call_later(self, seconds: float, callback: Callable[[], None], /) -> Timer:
        return self.steady.call_later(seconds, callback)


@dataclass
class Outage:
    """The store cannot be reached by anybody, after `calls_left` more calls until `until`.

    With `carried_out`, calls are carried out and only their answers are lost.
    """

    clock: Clock
    calls_left: int
    seconds: float
    carried_out: bool
    until: datetime | None = None
    refused: int = 0
    lost_answers: int = 0

    def begins_or_lasts(self) -> bool:
        if self.until is None:
            self.calls_left -= 1
            if self.calls_left >= 0:
                return False
            self.until = self.clock.now() + timedelta(seconds=self.seconds)
        return self.clock.now() < self.until


class PoisonedError(Exception):
    """An error that no code expects."""


class PoisonedRun(JobRun):
    """A run that crashes each time, for the jobs in `jobs`: at its beginning or at its end."""

    jobs: ClassVar[dict[str, str]] = {}

    async def run(self) -> None:
        if self.jobs.get(self._job.job_id) == "beginning":
            raise PoisonedError
        await super().run()

    async def _store_outcome(self) -> None:
        if self.jobs.get(self._job.job_id) == "end":
            raise PoisonedError
        await super()._store_outcome()


async def read_facts(file: Path, /, *, every_packet: bool = False) -> FileFacts:
    """`ProbeFile` of a text file that begins with its size, such as `64x48 …`."""
    del every_packet  # its files have no length
    content = file.read_text()  # noqa: ASYNC240 - a few hundred bytes
    width, height = content.partition(" ")[0].split("x")
    return FileFacts(
        content_type="image/png",
        bytes=len(content),
        sha256="0" * 64,
        width=int(width),
        height=int(height),
    )


@dataclass(frozen=True)
class InputFile:
    """An input file of a job: its size in pixels and in bytes."""

    side: int
    size: int

    @property
    def url(self) -> str:
        head = f"{self.side}x{self.side} "
        return f"data:image/png,{head}{'.' * (self.size - len(head))}"
