"""The place of an event in a stream of changes: what a client sends back to go on from there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

#: With 14 digits the milliseconds end in the year 5138, which datetime has.
_TEXT = re.compile(r"(\d{1,20})\.(\d{1,14})(?:\.([A-Za-z0-9_-]{1,100}))?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, order=True)
class StreamPosition:
    """Behind the commit `commit_number` of the job `job_id`, which was updated at `updated_at`.

    Both come from the job's own document, so any instance can go on from a position, and none has
    to remember it. Positions are ordered as the commits are; jobs of one commit by id.
    """

    commit_number: int
    #: An empty id is before all jobs of the same commit.
    job_id: str
    #: By the clock of the writer: a query for later changes begins a little before it.
    updated_at: datetime

    def __str__(self) -> str:
        milliseconds = (self.updated_at - _EPOCH) // _MILLISECOND
        suffix = f".{self.job_id}" if self.job_id else ""
        return f"{self.commit_number}.{milliseconds}{suffix}"

    @classmethod
    def parse(cls, text: str) -> StreamPosition | None:
        """Read what `str` wrote; None for anything else."""
        found = _TEXT.fullmatch(text)
        if found is None:
            return None
        updated_at = _EPOCH + int(found[2]) * _MILLISECOND
        return cls(commit_number=int(found[1]), job_id=found[3] or "", updated_at=updated_at)
