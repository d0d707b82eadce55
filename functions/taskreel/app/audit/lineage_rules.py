"""The rules on work that a job took over from the jobs that it replays: it was done and paid for.

Work that is taken over costs nothing where it arrives, so the books of that one job cannot tell
if anyone has paid. These rules compare it with the job that made it, and add up the lineage.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from taskreel.domain.artifact import artifacts_folder
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.unit import UnitRun, UnitState

#: The job, and one sentence on what is wrong with it.
Fault = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Work:
    """The facts of a job that tell what it made and what it took over."""

    created_at: datetime
    is_ended: bool
    is_completed: bool
    is_pipeline: bool
    round: int
    parent_id: str | None
    step: str | None
    index: int
    lineage: tuple[str, ...]
    #: The finished units, by place: a digest of their outputs.
    done: Mapping[int, str]
    #: The paths of its finished files, with the place of each; its own ones and others.
    files: Mapping[str, int]
    #: The finished units without a file of its own, which cost nothing, by place.
    not_made: tuple[int, ...]
    #: The number of child jobs that each step took over.
    adopted: Mapping[str, int]


def _read_work(job: Job) -> _Work:
    done = {place: unit for place, unit in enumerate(job.units) if unit.state is UnitState.DONE}
    folder = artifacts_folder(job.job_id)
    return _Work(
        created_at=job.created_at,
        is_ended=job.status.final,
        is_completed=job.status is Status.COMPLETED,
        is_pipeline=bool(job.steps),
        round=job.round,
        parent_id=job.parent_id,
        step=job.step,
        index=job.index,
        lineage=job.lineage,
        done={place: _digest_outputs(unit) for place, unit in done.items()},
        files={file.path: place for place, unit in done.items() for file in unit.artifacts},
        not_made=tuple(
            place
            for place, unit in done.items()
            if unit.credits == 0
            and not any(file.path.startswith(folder) for file in unit.artifacts)
        ),
        adopted={name: run.adopted for name, run in job.steps.items() if run.adopted},
    )


def _digest_outputs(unit: UnitRun) -> str:
    outputs = [[file.path for file in unit.artifacts], unit.data]
    text = json.dumps(outputs, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _name_owner(path: str) -> str:
    """The id of the job that has made the file."""
    return path.split("/", 2)[1] if path.count("/") > 1 else path


@dataclass
class Lineages:
    """The work of one user's jobs, and what they took over from one another."""

    _jobs: dict[str, _Work] = field(default_factory=dict)
    #: The highest price of each unit, by place: a later round of its job counts it as paid.
    _prices: defaultdict[str, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    #: The ids of the child jobs of each job.
    children: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _replays: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def put_job(self, job: Job) -> None:
        """Add a job, or the next state of one."""
        work = self._jobs[job.job_id] = _read_work(job)
        prices = self._prices[job.job_id]
        for place in work.done:
            prices[place] = max(prices.get(place, 0), job.units[place].credits)
        if job.parent_id is not None:
            self.children[job.parent_id].add(job.job_id)
        for former in job.lineage:
            self._replays[former].add(job.job_id)

    def remove_job(self, job_id: str) -> None:
        """Remove a job: what was taken over from it is not judged any more."""
        work = self._jobs.pop(job_id, None)
        self._prices.pop(job_id, None)
        if work is None:
            return
        if work.parent_id is not None:
            self.children[work.parent_id].discard(job_id)
        for former in work.lineage:
            self._replays[former].discard(job_id)

    def check_job(self, job_id: str, expired_before: datetime | None = None) -> Iterator[Fault]:
        """Everything that a job shows and has not made was done by a job that it may take from.

        A job that ended before `expired_before` may have been removed, and is not missed.
        """
        work = self._jobs[job_id]
        yield from self._check_files(job_id, work, expired_before)
        if not work.is_pipeline and work.lineage and work.round == 1:
            yield from self._check_units(job_id, work)
        for step, count in work.adopted.items():
            yield from self._check_adopted(job_id, work, step, count, expired_before)

    def _check_files(
        self, job_id: str, work: _Work, expired_before: datetime | None
    ) -> Iterator[Fault]:
        """A file that another job has made is of a done unit of one that this one may take from."""
        others = [
            (path, place, owner)
            for path, place in work.files.items()
            if (owner := _name_owner(path)) != job_id and owner in self._jobs
        ]
        if not others:
            return
        sources = self._find_sources(job_id)
        # A child job that has expired cannot tell from which job its pipeline may take.
        may_miss = work.is_pipeline and self._may_miss_children(job_id, work, expired_before)
        for path, place, owner in others:
            if not may_miss and not self._is_within(owner, sources):
                yield job_id, f"unit {place} shows {path}, of a job that it does not replay"
            elif path not in self._jobs[owner].files:
                yield job_id, f"unit {place} shows {path}, of a unit that is not done"

    def _check_units(self, job_id: str, work: _Work) -> Iterator[Fault]:
        """A unit that cost nothing is the one that a former job has done at the same place."""
        formers = [self._jobs.get(former) for former in work.lineage]
        if None in formers:
            return  # one was removed, which may have done it
        for place in work.not_made:
            if not any(
                former is not None and former.done.get(place) == work.done[place]
                for former in formers
            ):
                text = f"unit {place} cost nothing, and no job that it replays has done it"
                yield job_id, text

    def _check_adopted(
        self, job_id: str, work: _Work, step: str, count: int, expired_before: datetime | None
    ) -> Iterator[Fault]:
        """The child jobs that a step took over were completed for it or for a former pipeline."""
        if self._may_miss_children(job_id, work, expired_before):
            return
        parents = (job_id, *work.lineage)
        children = [self._jobs[id_] for parent in parents for id_ in self.children[parent]]
        completed = {one.index for one in children if one.step == step and one.is_completed}
        if len(completed) < count:
            text = f"step {step} took over {count} child jobs, and {len(completed)} were completed"
            yield job_id, text

    def _may_miss_children(self, job_id: str, work: _Work, expired_before: datetime | None) -> bool:
        """True where child jobs of a pipeline, or of those that it replays, may have expired."""
        parents = (job_id, *work.lineage)
        if not all(parent in self._jobs for parent in parents):
            return True
        # No child job ended before its pipeline was submitted.
        oldest = min(self._jobs[parent].created_at for parent in parents)
        return expired_before is not None and oldest <= expired_before

    def _is_within(self, job_id: str, sources: set[str]) -> bool:
        """True where the job is one of the sources, or below one."""
        seen: set[str] = set()
        at: str | None = job_id
        while at is not None and at not in seen:
            if at in sources:
                return True
            seen.add(at)
            found = self._jobs.get(at)
            if found is None:
                return True  # it is removed, and so is what it belonged to
            at = found.parent_id
        return False

    def _find_sources(self, job_id: str) -> set[str]:
        """The job itself, and all jobs that it, or one whose work it shows, replays.

        A step of a pipeline may have found its work in the cache: then the pipeline shows it too,
        and so does a replay of it that has adopted the child jobs of that step.
        """
        sources = {job_id}
        seen: set[str] = set()
        shown = [job_id]
        while shown:
            at = shown.pop()
            work = self._jobs.get(at)
            if work is None or at in seen:
                continue
            seen.add(at)
            sources.update(work.lineage)
            shown.extend(self.children.get(at, ()))
            for former in work.lineage if work.adopted else ():
                children = self.children.get(former, ())
                shown.extend(one for one in children if self._jobs[one].step in work.adopted)
        return sources

    def check_payment(
        self, root_ids: Sequence[str], captured_of: Callable[[str], int]
    ) -> Iterator[Fault]:
        """Over each whole lineage, all that was delivered is paid for: each distinct unit once."""
        roots = {*root_ids, *(one for id_ in root_ids for one in self._replays.get(id_, ()))}
        for root_id in sorted(roots):
            root = self._jobs.get(root_id)
            if root is None or root.parent_id is not None or not root.lineage:
                continue
            lineage = [root_id, *root.lineage]
            if not all(one not in self._jobs or self._jobs[one].is_ended for one in lineage):
                continue  # what goes on is settled at its end
            captured = sum(captured_of(one) for one in lineage)
            delivered = sum(self._sum_prices(one) for one in lineage)
            if captured < delivered:
                text = (
                    f"{captured} credits were captured for it and the jobs that it replays, and "
                    f"their finished units cost {delivered}"
                )
                yield root_id, text

    def _sum_prices(self, job_id: str) -> int:
        own = sum(self._prices.get(job_id, {}).values())
        return own + sum(self._sum_prices(child) for child in self.children.get(job_id, ()))
