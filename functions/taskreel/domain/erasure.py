"""The erasure of a person: its progress while it runs, and the report that proves its end."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Self, Unpack

from pydantic import Field, with_config
from typing_extensions import TypedDict

from taskreel.domain.ids import keyed_job_id
from taskreel.domain.value import STRICT, StoredValue, accept_unknown, validate_changes

#: The beginning of the pseudonym of every erased user.
PSEUDONYM_PREFIX = "erased-"


class ErasurePhase(StrEnum):
    """The part of the work that is under way."""

    #: Schedules and bulk operations are removed, jobs cancelled and removed with their files.
    JOBS = "jobs"
    #: Every document is read once: the person's are removed, traces in others are replaced.
    DOCUMENTS = "documents"
    #: Every document and every path of the bucket is read again, and nothing is changed.
    PROOF = "proof"
    DONE = "done"


class ErasureProof(StoredValue):
    """The last reading of everything: `found` counts what still names the person.

    `mentions` counts by collection the documents of others whose content (a prompt, a result)
    contains the id as a word; they are not the person's, and stay as they are.
    """

    documents: int = 0
    files: int = 0
    found: dict[str, int] = Field(default_factory=dict)
    mentions: dict[str, int] = Field(default_factory=dict)


class Erasure(StoredValue):
    """An erasure. The finished report does not contain the person's id."""

    erasure_id: str
    #: None once it has ended.
    user_id: str | None = None
    #: The id under which the credits and the records of admins go on.
    pseudonym: str
    phase: Annotated[ErasurePhase, accept_unknown(ErasurePhase)] = ErasurePhase.JOBS
    #: The admin who ordered it, and why.
    ordered_by: str
    reason: str
    #: Numbers by collection; `files` are those of the bucket.
    removed: dict[str, int] = Field(default_factory=dict)
    pseudonymised: dict[str, int] = Field(default_factory=dict)
    #: Jobs whose work at a provider is still being stopped.
    waiting: int = 0
    #: How often it began again because a reading found something new.
    rounds: int = 1
    proof: ErasureProof = ErasureProof()
    #: The collection that is being read, by number, and the id behind which it goes on.
    collection: int = 0
    after: str | None = None
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None = None

    def with_changes(self, at: datetime, **changes: Unpack[ErasureChanges]) -> Self:
        """Copy it with these fields changed at `at`. Raises ValidationError for a wrong one."""
        return self.model_copy(
            update={"updated_at": at, **validate_changes(ErasureChanges, changes)}
        )

    def count(
        self, field: Literal["removed", "pseudonymised"], numbers: Mapping[str, int], at: datetime
    ) -> Self:
        """Copy it with the numbers added to those of `removed` or `pseudonymised`."""
        counts: dict[str, int] = dict(getattr(self, field))
        for name, number in numbers.items():
            if number:
                counts[name] = counts.get(name, 0) + number
        if field == "removed":
            return self.with_changes(at, removed=counts)
        return self.with_changes(at, pseudonymised=counts)

    def enter(self, phase: ErasurePhase, at: datetime) -> Self:
        """Copy it at the beginning of another phase."""
        return self.with_changes(at, phase=phase, collection=0, after=None)


@with_config(STRICT)
class ErasureChanges(TypedDict, total=False):
    """The fields of an Erasure that may change after it was made."""

    user_id: str | None
    phase: ErasurePhase
    removed: dict[str, int]
    pseudonymised: dict[str, int]
    waiting: int
    rounds: int
    proof: ErasureProof
    collection: int
    after: str | None
    ended_at: datetime | None


def running_erasure_id(user_id: str) -> str:
    """The fixed id of a person's erasure while it runs: two orders are one."""
    return f"run_{keyed_job_id(user_id, 'erasure').removeprefix('job_')}"
