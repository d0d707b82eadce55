"""Rules about work that is used again: cached results, taken-over units, and uploads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.upload import Upload

#: The clocks of two simulated machines differ by so much at most.
_CLOCKS_DIFFER = 17.0


@dataclass
class Purge:
    """A purge of the result cache that was acknowledged; of one user, or of all."""

    user: str | None
    at: float


@dataclass
class ReuseWatch:
    """The owners of all work, and when it was made, in the time of the simulation."""

    time: Callable[[], float]
    owners: dict[str, str] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    removed_uploads: set[str] = field(default_factory=set)
    purges: list[Purge] = field(default_factory=list)
    _made_at: dict[str, float] = field(default_factory=dict)
    _completed_at: dict[str, float] = field(default_factory=dict)

    def note_upload(self, id_: str, upload: Upload | None) -> None:
        """Note a stored upload; None for a deleted one."""
        if upload is None:
            self.uploads.pop(id_, None)
            self.removed_uploads.add(id_)
        else:
            self.uploads[id_] = upload

    def note_purge(self, user: str | None) -> None:
        """Note that a purge was acknowledged; of one user, or of all."""
        self.purges.append(Purge(user, self.time()))

    def forget_job(self, job_id: str) -> None:
        """Forget the times of a removed job: the same request may make its id again."""
        self._made_at.pop(job_id, None)
        self._completed_at.pop(job_id, None)

    def was_made_before(self, job_id: str, time: float) -> bool:
        """True for a job that was stored before that time."""
        return self._made_at.get(job_id, time) < time

    def check_job(self, job: Job) -> Iterator[str]:
        """Note a written job; yield what breaks a rule."""
        self.owners[job.job_id] = job.user_id
        self._made_at.setdefault(job.job_id, self.time())
        if job.status is Status.COMPLETED:
            self._completed_at.setdefault(job.job_id, self.time())
        for artifact in job.artifacts:
            maker = artifact.path.split("/")[1]
            owner = self.owners.get(maker)
            if maker != job.job_id and owner != job.user_id:
                yield f"private-results: job {job.job_id} shows {artifact.path} of {owner}"
            # A pipeline shows the files of its child jobs, which have lineages of their own.
            if maker not in {job.job_id, *job.lineage} and not job.steps:
                yield f"private-results: job {job.job_id} shows {artifact.path}, no work of its own"

    def check_input(self, job_id: str, content: bytes) -> Iterator[str]:
        """Yield what is wrong with an input file that a provider gets for the job."""
        owner, _, state = content.decode().partition(" ")
        if owner != self.owners.get(job_id):
            yield f"private-uploads: job {job_id} was given a file of {owner}"
        if state != "whole":
            yield f"announced-content: job {job_id} was given other bytes than were announced"

    def check_hit(
        self, job: Job, user: str, body: Mapping[str, Any], asked_at: float
    ) -> str | None:
        """The rule that a cached answer breaks; it was asked for at that time."""
        if job.user_id != user:
            return f"private-results: {user} was answered by job {job.job_id} of {job.user_id}"
        if any(job.payload.get(name) != body.get(name) for name in ("prompt", "provider")):
            return f"equal-requests: job {job.job_id} answered another request than its own"
        made_at = self._made_at.get(job.job_id, asked_at)
        for purge in self.purges:
            is_meant = purge.user in {None, user}
            if is_meant and made_at + _CLOCKS_DIFFER < purge.at < asked_at:
                return (
                    f"purged: job {job.job_id} answered {asked_at - purge.at:.0f} s after a purge"
                )
        ended_at = self._completed_at.get(job.job_id)
        age = 0.0 if ended_at is None else asked_at - ended_at
        if job.round == 1 and age > body["cacheSeconds"] + _CLOCKS_DIFFER:
            return f"cache-age: job {job.job_id} answered {age:.0f} s after its end"
        return None

    def find_second_flight(self, first: Job, second: Job, asked_at: float) -> str | None:
        """The broken rule where equal requests, sent at that time, were answered by two jobs."""
        if first.job_id == second.job_id or first.round > 1 or second.round > 1:
            return None
        is_usable = all(
            one.status is Status.COMPLETED or (not one.status.final and one.ending is None)
            for one in (first, second)
        )
        purged = any(purge.at > self.time() - 10 * _CLOCKS_DIFFER for purge in self.purges)
        if not is_usable or purged or self._grew_too_old(first, second, asked_at):
            return None
        return f"single-flight: {first.job_id} and {second.job_id} answer the same request"

    def _grew_too_old(self, first: Job, second: Job, asked_at: float) -> bool:
        """True where the older job was too old to answer when the newer one was made.

        Requests that are sent at once are not served at once: an instance that is frozen may serve
        its own half a minute later, when a job that has answered the other is older than
        `cacheSeconds`. Only of a job made for them: of two that were there, one would answer both.
        """
        older, newer = sorted((first, second), key=lambda job: self._made_at[job.job_id])
        if older.job_id not in self._completed_at or self.was_made_before(newer.job_id, asked_at):
            return False
        age = self._made_at[newer.job_id] - self._completed_at[older.job_id]
        return bool(age > newer.payload["cacheSeconds"] - _CLOCKS_DIFFER)
