"""The events of a deployment in any order, and what holds whatever happens, for Hypothesis."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from msgspec.structs import replace

from simulation.chaos import Chaos, InstanceStore
from simulation.scripted_provider import LATE_SECONDS
from simulation.system_faults import ROOM_BYTES, InputFile, Outage
from taskreel.app.audit.job_rules import has_right_wake_time
from taskreel.app.caller import Caller
from taskreel.app.credits.grants import GrantOrder, grant_credits
from taskreel.app.jobs.cancel import cancel_job
from taskreel.app.jobs.crashes import MOST_CRASHES
from taskreel.app.jobs.input_files import NO_ROOM
from taskreel.app.jobs.replay import Replay, prepare_replay
from taskreel.app.jobs.retry import retry_job
from taskreel.app.jobs.submit import JobRequest, submit_job
from taskreel.app.worker.long_run import Answer
from taskreel.app.worker.sweep import sweep_jobs
from taskreel.domain.credits import Account, EntryKind
from taskreel.domain.errors import (
    AMBIGUOUS,
    ConflictError,
    ForbiddenError,
    StoreError,
    TooFewCreditsError,
)
from taskreel.domain.grants import DEFAULT_PRIORITY
from taskreel.domain.input_limits import INPUT_TOO_LARGE
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.jobtypes import JOB_TYPES

BATCH = JOB_TYPES["batch-generation"]
PIPELINE = JOB_TYPES["pipeline"]
UPSCALE = JOB_TYPES["image-upscale"]
#: The log line of work that was bought and could not be stored.
UNSTORED = "bought_unstored"
scripts = st.lists(
    st.sampled_from(["slow"] * 4 + ["temporary", "permanent", "limited", "pending"]), max_size=3
)
deadlines = st.sampled_from([None, None, None, 40, 200])
numbers = st.integers(0, 50)
users = st.sampled_from(["ada", "bob"])


class Life(RuleBasedStateMachine):
    """The events of a deployment as rules, and the invariants that hold whatever happens."""

    #: Its provider is paid and knows no idempotency keys: what is bought twice is billed twice.
    paid = False
    #: How often each fault has really happened, over all runs.
    happened: ClassVar[Counter[str]]

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.world = Chaos(self.folder, paid=self.paid)
        self.ended: dict[tuple[str, int], Job] = {}
        self.operations: set[str] = set()
        #: A worker has died or stood still: an answer of the provider may truly be lost.
        self.disturbed = False
        self.keys = 0
        #: The jobs whose submission was answered.
        self.answered: set[str] = set()

    # ── Events ───────────────────────────────────────────────────────────────────────────────────

    @rule(
        user=users,
        script=scripts,
        units=st.integers(1, 3),
        attempts=st.integers(1, 3),
        within=deadlines,
    )
    def submit(
        self, user: str, script: list[str], units: int, attempts: int, within: int | None
    ) -> None:
        self.send(
            user,
            script,
            {"retry": {"maxAttempts": attempts}, "deadlineSeconds": within},
            units=units,
        )

    @rule(user=users, key=st.sampled_from(["k1", "k2"]))
    def submit_with_a_key(self, user: str, key: str) -> None:
        self.send(user, ["slow"], {}, key=key)

    @rule(
        user=users,
        scripts=st.lists(scripts, min_size=1, max_size=2),
        units=st.integers(1, 2),
        on_failure=st.sampled_from(["fail", "ignore", "continue"]),
        within=deadlines,
    )
    def submit_pipeline(
        self,
        user: str,
        scripts: list[list[str]],
        units: int,
        on_failure: str,
        within: int | None,
    ) -> None:
        """A fan-out of one batch for each script, and a batch after it."""
        batch = {"prompts": ["a kite"] * units, "options": {"providerOptions": {"script": []}}}
        many = {
            "type": BATCH.name,
            "forEach": scripts,
            "payload": {**batch, "options": {"providerOptions": {"script": "{{item}}"}}},
            "onFailure": on_failure,
        }
        steps = {"many": many, "last": {"type": BATCH.name, "payload": batch, "after": ["many"]}}
        submission = PIPELINE.submission.model_validate({"steps": steps, "deadlineSeconds": within})
        self.submit_request(user, JobRequest(job_type=PIPELINE, submission=submission))

    @precondition(lambda self: self.ended_jobs())
    @rule(which=numbers)
    def replay(self, which: int) -> None:
        job = self.ended_jobs()[which % len(self.ended_jobs())]
        caller = Caller(user_id=job.user_id)
        named = (job.job_type, job.job_id)
        try:
            _, request = self.world.do(
                prepare_replay(self.world.services, caller, named, Replay(), None)
            )
        except ForbiddenError:
            self.assert_ambiguous(job)
        else:
            self.submit_request(job.user_id, request)

    def assert_ambiguous(self, job: Job) -> None:
        errors = [job.error, *(unit.error for unit in job.units)]
        assert AMBIGUOUS in {error.code for error in errors if error is not None}

    def send(
        self,
        user: str,
        script: list[str],
        fields: dict[str, Any],
        *,
        units: int = 1,
        key: str | None = None,
    ) -> list[Job]:
        """Submit a batch whose units all follow the script."""
        prompts = [f"kite {number}" for number in range(units)]
        body = {"prompts": prompts, "options": {"providerOptions": {"script": script}}, **fields}
        request = JobRequest(
            job_type=BATCH, submission=BATCH.submission.model_validate(body), idempotency_key=key
        )
        return self.submit_request(user, request)

    def send_file(self, user: str, file: InputFile) -> list[Job]:
        """Submit a job that works on a file."""
        body = {"imageUrl": file.url, "options": {"providerOptions": {"script": ["slow"]}}}
        submission = UPSCALE.submission.model_validate(body)
        return self.submit_request(user, JobRequest(job_type=UPSCALE, submission=submission))

    def submit_request(self, user: str, request: JobRequest) -> list[Job]:
        """The job, or none when the user's credits do not suffice."""
        try:
            submitted = self.world.do(
                submit_job(self.world.services, Caller(user_id=user), request)
            )
        except TooFewCreditsError as error:
            cost = error.details["cost"]
            assert any(one.available < cost for one in self.world.accounts())
            return []
        return [submitted.job]

    def deliver_job(self, job_id: str) -> None:
        """Deliver the newest task of a job, if one waits."""
        tasks = [task for task in self.world.queue.waiting if task.job_id == job_id]
        for task in tasks[-1:]:
            self.world.queue.waiting.remove(task)
            self.world.deliver(task)

    @rule(
        user=users,
        amount=st.integers(1, 20),
        priority=st.sampled_from([DEFAULT_PRIORITY, DEFAULT_PRIORITY, 1, 100]),
        lasts=st.sampled_from([None, None, 5, 60, 3600]),
    )
    def grant(self, user: str, amount: int, priority: int, lasts: int | None) -> None:
        ends = None if lasts is None else self.world.now() + timedelta(seconds=lasts)
        self.world.do(
            grant_credits(
                self.world.services,
                user,
                GrantOrder(
                    amount=amount,
                    reason=None,
                    granted_by="root",
                    priority=priority,
                    expires_at=ends,
                ),
            )
        )

    @precondition(lambda self: self.world.queue.waiting)
    @rule(which=numbers, often=st.sampled_from([0, 1, 1, 1, 2, 3]), gone=st.booleans())
    def deliver(self, which: int, often: int, gone: bool) -> None:  # noqa: FBT001 - drawn
        """Deliver a task, `often` times; unless `gone`, the queue may deliver it again."""
        waiting = self.world.queue.waiting
        task = waiting.pop(which % len(waiting)) if gone else waiting[which % len(waiting)]
        for _ in range(often):
            self.world.deliver(task)

    @precondition(lambda self: self.world.queue.waiting)
    @rule()
    def deliver_all(self) -> None:
        waiting = self.world.queue.waiting
        due = [task for task in waiting if task.at is None or task.at <= self.world.now()]
        waiting[:] = [task for task in waiting if task not in due]
        for task in due:
            self.world.deliver(task)

    @rule(away=st.booleans())
    def queue_goes_or_comes_back(self, away: bool) -> None:  # noqa: FBT001 - drawn
        self.world.queue.away = away

    @precondition(lambda self: not self.world.outages)
    @rule(
        calls=st.integers(0, 6),
        seconds=st.sampled_from([1, 4, 20, 60]),
        carried_out=st.booleans(),
    )
    def store_goes_away(
        self,
        calls: int,
        seconds: float,
        carried_out: bool,  # noqa: FBT001 - drawn
    ) -> None:
        """At any later call of an instance; the API and the sweep reach it."""
        self.world.outages.append(Outage(self.world.clock.steady, calls, seconds, carried_out))

    @precondition(lambda self: self.world.queue.waiting and not self.world.outages)
    @rule(
        which=numbers,
        calls=st.integers(0, 6),
        seconds=st.sampled_from([1, 4, 20, 60]),
        carried_out=st.booleans(),
    )
    def deliver_through_an_outage(
        self,
        which: int,
        calls: int,
        seconds: float,
        carried_out: bool,  # noqa: FBT001 - drawn
    ) -> None:
        """One delivery, during which the store goes away, and comes back."""
        self.store_goes_away(calls, seconds, carried_out)
        waiting = self.world.queue.waiting
        self.world.deliver(waiting[which % len(waiting)])
        self.world.advance(100)
        self.store_comes_back()

    @precondition(lambda self: self.world.outages)
    @rule()
    def store_comes_back(self) -> None:
        for outage in self.world.outages:
            self.happened["store away"] += outage.refused
            self.happened["answer of the store lost"] += outage.lost_answers
        self.world.outages.clear()

    @rule(user=users, calls=st.integers(0, 1), carried_out=st.booleans())
    def submit_without_an_answer(
        self,
        user: str,
        calls: int,
        carried_out: bool,  # noqa: FBT001 - drawn
    ) -> None:
        """The store goes away during a submission, and the client sends it again with its key."""
        self.keys += 1
        submission = BATCH.submission.model_validate({"prompts": ["a kite"]})
        request = JobRequest(
            job_type=BATCH, submission=submission, idempotency_key=f"again-{self.keys}"
        )
        outage = Outage(self.world.clock.steady, calls, 1, carried_out)
        store = InstanceStore(self.world.store, outages=[outage])
        store.awake.set()
        services = replace(self.world.services, store=store)
        try:
            self.world.do(submit_job(services, Caller(user_id=user), request))
        except TooFewCreditsError:
            return
        except StoreError:
            before = len(self.world.jobs())
            self.submit_request(user, request)
            created = len(self.world.jobs()) - before
            self.happened["submission repeated"] += 1
            self.happened["submission found"] += outage.lost_answers and not created

    @precondition(lambda self: self.open_plain_jobs())
    @rule(which=numbers, where=st.sampled_from(["beginning", "end"]))
    def poison(self, which: int, where: str) -> None:
        """From now on every run of the job crashes."""
        jobs = self.open_plain_jobs()
        self.world.poison(jobs[which % len(jobs)].job_id, where)

    @rule(user=users, where=st.sampled_from(["beginning", "end"]), script=scripts)
    def submit_poison(self, user: str, where: str, script: list[str]) -> None:
        """A job that crashes until it has failed."""
        for job in self.send(user, script, {}):
            self.world.poison(job.job_id, where)
            for _ in range(4):
                self.deliver_job(job.job_id)
                self.world.advance(130)

    @rule(user=users, other=st.sampled_from([InputFile(64, 5000), InputFile(200, 100)]))
    def submit_input_files(self, user: str, other: InputFile) -> None:
        """Two jobs side by side, for one of which an instance has room, and one that is refused."""
        files = [InputFile(64, 700), InputFile(64, 700), other]
        for job in [job for file in files for job in self.send_file(user, file)]:
            self.deliver_job(job.job_id)

    @rule(user=users, script=st.sampled_from([["late"], ["unanswered"]]), units=st.integers(1, 2))
    def provider_answers_late_or_never(self, user: str, script: list[str], units: int) -> None:
        """It accepts the work, and answers after the attempt's time-out, or not at all."""
        for job in self.send(user, script, {}, units=units):
            self.deliver_job(job.job_id)
            self.world.advance(LATE_SECONDS + 60)

    @precondition(lambda self: self.open_jobs())
    @rule(seconds=st.sampled_from([-3600, -90, -10, 10, 90, 3600]))
    def step_clock(self, seconds: float) -> None:
        """The clock of all machines is set, by up to an hour."""
        if seconds > 0 and any(job.lease_until is not None for job in self.open_jobs()):
            # A lease seems to be over while its run goes on, as after a freeze.
            self.disturbed = True
        self.happened["clock forward" if seconds > 0 else "clock back"] += 1
        self.world.step_clock(seconds)

    @rule(user=users, script=scripts, transactions=st.integers(0, 1))
    def die_before_the_commit_of_a_submission(
        self, user: str, script: list[str], transactions: int
    ) -> None:
        """The process that owns the store dies; a client without an answer knows of no job."""
        body = {"prompts": ["a kite"], "options": {"providerOptions": {"script": script}}}
        request = JobRequest(job_type=BATCH, submission=BATCH.submission.model_validate(body))
        services, store = self.world.open_owner()
        before = {job.job_id for job in self.world.jobs()}
        self.world.store.stall_after(transactions)
        try:
            answers = self.world.answer(
                services, submit_job(services, Caller(user_id=user), request)
            )
        except TooFewCreditsError:
            answers = []
        self.lose_process(store)
        self.answered |= {answer.job.job_id for answer in answers}
        made = {job.job_id for job in self.world.jobs()} - before
        self.happened["submission lost with the process"] += not made and not answers

    @precondition(lambda self: self.world.queue.waiting)
    @rule(which=numbers, transactions=st.integers(0, 5), seconds=st.sampled_from([0, 13, 31]))
    def die_before_a_commit_of_a_run(self, which: int, transactions: int, seconds: float) -> None:
        """One delivery, during which the process that owns the store dies."""
        waiting = self.world.queue.waiting
        task = waiting[which % len(waiting)]
        bought = self.world.provider.sold.total()
        self.world.store.stall_after(transactions)
        self.world.deliver(task)
        self.world.advance(seconds)
        lost = self.lose_process()
        bought = self.world.provider.sold.total() - bought
        self.happened["purchase lost with the process"] += lost > 0 and bought > 0
        self.happened["run lost with the process"] += lost > 0 and not bought

    @rule(user=users, script=st.sampled_from([[], ["pending"]]), transactions=st.integers(0, 4))
    def die_before_a_commit_of_a_first_run(
        self, user: str, script: list[str], transactions: int
    ) -> None:
        for job in self.send(user, script, {}):
            waiting = self.world.queue.waiting
            (which, *_) = [at for at, task in enumerate(waiting) if task.job_id == job.job_id] or [
                -1
            ]
            if which >= 0:
                self.die_before_a_commit_of_a_run(which, transactions, 0)

    def lose_process(self, *stores: InstanceStore) -> int:
        self.disturbed = True
        lost = self.world.lose_process(*stores)
        self.happened["died before a commit"] += lost > 0
        return lost

    @rule(refuses=st.booleans())
    def provider_refuses_to_cancel_or_not(self, refuses: bool) -> None:  # noqa: FBT001 - drawn
        self.world.provider.refuses_cancel = refuses

    @rule(seconds=st.sampled_from([0.5, 2, 5, 14, 31, 130, 4000]))
    def pass_time(self, seconds: float) -> None:
        self.world.advance(seconds)

    @precondition(lambda self: len(self.open_jobs()) > 2)
    @rule(which=numbers)
    def cancel(self, which: int) -> None:
        job = self.open_jobs()[which % len(self.open_jobs())]
        self.world.do(
            cancel_job(self.world.services, Caller(user_id=job.user_id), job.job_id, job.job_type)
        )

    @precondition(lambda self: self.halfway_jobs())
    @rule(which=numbers)
    def cancel_halfway(self, which: int) -> None:
        job = self.halfway_jobs()[which % len(self.halfway_jobs())]
        self.world.do(
            cancel_job(self.world.services, Caller(user_id=job.user_id), job.job_id, job.job_type)
        )

    @precondition(lambda self: self.failed_jobs())
    @rule(which=numbers)
    def retry(self, which: int) -> None:
        job = self.failed_jobs()[which % len(self.failed_jobs())]
        try:
            self.world.do(
                retry_job(
                    self.world.services, Caller(user_id=job.user_id), job.job_id, job.job_type
                )
            )
        except ConflictError:
            assert job.needs_clean_up
        except ForbiddenError:
            self.assert_ambiguous(job)
        except TooFewCreditsError:
            assert any(
                one.available < job.credits.captured + job.credits.released
                for one in self.world.accounts()
            )

    @rule()
    def sweep(self) -> None:
        self.world.do(sweep_jobs(self.world.services))

    @precondition(lambda self: self.world.works())
    @rule()
    def crash(self) -> None:
        self.disturbed = True
        self.world.crash()

    @precondition(lambda self: self.world.works())
    @rule()
    def freeze(self) -> None:
        self.disturbed = True
        self.world.freeze()

    @rule()
    def thaw(self) -> None:
        self.world.thaw()

    @precondition(lambda self: self.world.works())
    @rule()
    def stop(self) -> None:
        self.world.stop()

    def open_jobs(self) -> list[Job]:
        return [job for job in self.world.jobs() if not job.status.final]

    def open_plain_jobs(self) -> list[Job]:
        return [job for job in self.open_jobs() if job.job_type != PIPELINE.name]

    def halfway_jobs(self) -> list[Job]:
        """The open jobs of users of which some work is done, there or in a child job."""
        busy = {
            id_
            for job in self.world.jobs()
            if job.done_units
            for id_ in (job.job_id, job.parent_id)
        }
        return [job for job in self.root_jobs() if not job.status.final and job.job_id in busy]

    def failed_jobs(self) -> list[Job]:
        return [job for job in self.root_jobs() if job.status is Status.FAILED]

    def ended_jobs(self) -> list[Job]:
        return [job for job in self.root_jobs() if job.status.final]

    def root_jobs(self) -> list[Job]:
        """The jobs that users have submitted, without the child jobs of pipelines."""
        return [job for job in self.world.jobs() if job.parent_id is None]

    # ── Invariants ───────────────────────────────────────────────────────────────────────────────

    @invariant()
    def every_job_has_ended_or_will_be_woken(self) -> None:
        for job in self.world.jobs():
            assert has_right_wake_time(job)

    @invariant()
    def what_has_ended_stays_as_it_ended(self) -> None:
        """Except for operations, which are removed once they are cancelled at their provider."""
        for job in self.world.jobs():
            before = self.ended.get((job.job_id, job.round))
            if before is not None:
                assert (job.status, job.credits, job.attempt) == (
                    before.status,
                    before.credits,
                    before.attempt,
                )
            if job.status.final:
                self.ended[job.job_id, job.round] = job

    @invariant()
    def operations_are_remembered(self) -> None:
        self.operations |= {one["key"] for job in self.world.jobs() for one in job.operations}

    @invariant()
    def accounts_add_up_to_the_ledger_and_the_holds(self) -> None:
        jobs = self.world.jobs()
        for account in self.world.accounts():
            mine = [job for job in jobs if job.payer_id == account.user_id]
            grants, captures, expired = (
                sum(
                    entry.amount
                    for entry in self.world.ledger(kind)
                    if entry.user_id == account.user_id
                )
                for kind in (EntryKind.GRANT, EntryKind.CAPTURE, EntryKind.EXPIRY)
            )
            parts = account.available + account.held + account.captured + account.expired
            assert account.granted == parts == grants
            assert (account.captured, account.expired) == (captures, expired)
            self.shares_are_those_of_the_grants(account, mine)
            assert account.held == sum(job.credits.held for job in mine)
            # Every credit that is held or captured counts as spent in exactly one month.
            months = {
                period[: len("2026-11")]
                for job in mine
                for period in [job.held_on, *(one.at.isoformat() for one in job.history)]
                if period is not None
            }
            spent = sum(account.count_spent(month) for month in months)
            assert spent == account.held + account.captured

    def shares_are_those_of_the_grants(self, account: Account, jobs: list[Job]) -> None:
        """No credit is in two grants, and a grant has what the jobs that hold of it will return."""
        held = Counter[str]()
        for job in jobs:
            if job.credits.held:
                held.update({one.grant_id: one.amount for one in job.burned if one.grant_id})
        left = 0
        for grant in account.grants:
            there, taken = account.count_grant(grant)
            assert 0 <= there <= there + taken <= grant.amount
            assert taken == held.pop(grant.grant_id, 0)
            left += there
        assert not held
        assert left <= account.available

    @invariant()
    def every_round_that_ended_is_settled_exactly_once(self) -> None:
        entries = [*self.world.ledger(EntryKind.CAPTURE), *self.world.ledger(EntryKind.RELEASE)]
        rounds = {
            f"{job.job_id}.{number}" for job in self.root_jobs() for number in range(1, job.round)
        }
        rounds |= {f"{job.job_id}.{job.round}" for job in self.root_jobs() if job.status.final}
        # The id of a keyed job's entry has the job's time too.
        settled = [".".join(entry.entry_id.split(".")[:2]) for entry in entries]
        assert sorted(settled) == sorted(rounds)
        assert all(entry.amount <= entry.held for entry in entries)

    @invariant()
    def what_was_delivered_is_paid_for(self) -> None:
        """Of an ended job and its child jobs, in all its rounds: no work that is done is free."""
        jobs = self.world.jobs()
        captures = Counter[str]()
        for entry in self.world.ledger(EntryKind.CAPTURE):
            captures[entry.job_id or ""] += entry.amount
        for root in self.ended_jobs():
            family = [job for job in jobs if root.job_id in {job.job_id, job.parent_id}]
            assert all(job.status.final for job in family)
            delivered = sum(unit.credits for job in family for unit in job.done_units)
            assert captures[root.job_id] >= delivered

    @invariant()
    def no_outage_of_the_store_loses_an_answer(self) -> None:
        unanswered = {key.partition(".")[0] for key in self.world.provider.unanswered}
        for job in [] if self.disturbed else self.world.jobs():
            errors = [job.error, *(unit.error for unit in job.units)]
            ambiguous = AMBIGUOUS in {error.code for error in errors if error is not None}
            assert not ambiguous or job.job_id in unanswered

    @invariant()
    def nothing_outside_depends_on_what_was_lost(self) -> None:
        """All that was answered, bought or given to the queue belongs to jobs that are stored."""
        stored = {job.job_id for job in self.world.jobs()}
        assert self.answered <= stored
        assert {task.job_id for task in self.world.queue.waiting} <= stored
        provider = self.world.provider
        bought = {key.partition(".")[0] for key in [*provider.sold, *provider.accepted]}
        assert bought <= stored

    @invariant()
    def count_faults(self) -> None:
        """No invariant: count the faults of which a job shows that they happened."""
        late = {key.partition(".")[0] for key in self.world.provider.answered_late}
        for job in self.world.jobs():
            errors = [job.error, *(unit.error for unit in job.units)]
            codes = {error.code for error in errors if error is not None}
            self.happened["crashed until it failed"] += job.crashes == MOST_CRASHES
            self.happened["input too large"] += INPUT_TOO_LARGE in codes
            self.happened["no room for inputs"] += NO_ROOM in codes
            self.happened["unanswered"] += AMBIGUOUS in codes
            self.happened["late success"] += job.status is Status.COMPLETED and job.job_id in late

    @invariant()
    def nothing_is_bought_twice(self) -> None:
        """Unpaid work is repeated when its run dies."""
        assert (
            not self.paid
            or [key for key, count in self.world.provider.sold.items() if count > 1] == []
        )

    @invariant()
    def no_delivery_crashes(self) -> None:
        assert self.world.crashes() == []

    @invariant()
    def no_job_attempts_more_often_than_allowed(self) -> None:
        for job in self.world.jobs():
            assert job.attempt <= job.retry.max_attempts

    def teardown(self) -> None:
        """Without further events every job ends."""
        if not hasattr(self, "world"):
            return
        try:
            self.world.queue.away = False
            self.world.provider.refuses_cancel = False
            self.store_comes_back()
            self.world.thaw()
            for _ in range(200):
                if not self.calm_down():
                    break
            left = [job for job in self.world.jobs() if not job.status.final or job.needs_clean_up]
            assert left == []
            assert [
                key for key in self.operations if self.world.provider.accepted[key] == "running"
            ] == []
            assert all(account.held == 0 for account in self.world.accounts())
            self.accounts_add_up_to_the_ledger_and_the_holds()
            self.every_round_that_ended_is_settled_exactly_once()
            self.what_was_delivered_is_paid_for()
            self.no_delivery_crashes()
            self.all_room_is_free_again()
        finally:
            self.world.close()
            shutil.rmtree(self.folder)

    def all_room_is_free_again(self) -> None:
        """In the instances that live: no ended job occupies room, and no promise of it lasts."""
        self.world.advance(31)
        for instance in self.world.instances:
            disk = instance.services.work_dirs
            assert disk.reserve(disk.acquire("job_1"), ROOM_BYTES)

    def calm_down(self) -> bool:
        """Go to the next wake time, sweep, deliver what is due; False when nothing is to do."""
        alarms = [job.wake_at for job in self.world.jobs() if job.wake_at is not None]
        if not alarms:
            return False
        self.world.advance(max(1.0, (min(alarms) - self.world.now()) / timedelta(seconds=1)))
        self.world.do(sweep_jobs(self.world.services))
        waiting = self.world.queue.waiting
        due = [task for task in waiting if task.at is None or task.at <= self.world.now()]
        waiting[:] = [task for task in waiting if task not in due]
        answers = [self.world.deliver(task) for task in due]
        self.world.advance(13)
        assert all(
            answer.result() in Answer
            for answer in answers
            if answer.done() and not answer.cancelled()
        )
        return True


class FreeLife(Life):
    """At a provider that charges nothing and honours idempotency keys."""

    happened: ClassVar[Counter[str]] = Counter()


class PaidLife(Life):
    """The same at a provider that charges for every call."""

    paid = True
    happened: ClassVar[Counter[str]] = Counter()
