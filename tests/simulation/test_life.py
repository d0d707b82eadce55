"""Jobs and credits under deliveries in any order: doubled, overlapping, late, lost; crashes, cancellations, retries."""

from __future__ import annotations

import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from simulation.chaos import Chaos
from taskreel.app.cancel import cancel
from taskreel.app.grant import grant_credits
from taskreel.app.process import Answer
from taskreel.app.read import Caller
from taskreel.app.retry import retry
from taskreel.app.submit import Request, submit
from taskreel.app.sweep import sweep
from taskreel.domain.credits import EntryKind
from taskreel.domain.errors import ConflictError, TooFewCreditsError
from taskreel.domain.job import Job, Status
from taskreel.jobtypes import JOB_TYPES

BATCH = JOB_TYPES["batch-generation"]
steps = st.sampled_from(["temporary", "permanent", "limited", "pending", "slow"])
numbers = st.integers(0, 50)
users = st.sampled_from(["ada", "bob"])


class Life(RuleBasedStateMachine):
    """What may happen to a deployment, and what must hold whatever happens."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.world = Chaos(self.folder)
        self.ended: dict[tuple[str, int], Job] = {}

    # ── What may happen ──────────────────────────────────────────────────────────────────────────

    @rule(
        user=users,
        scripts=st.lists(st.lists(steps, max_size=3), min_size=1, max_size=3),
        attempts=st.integers(1, 3),
        key=st.none() | st.sampled_from(["k1", "k2"]),
        within=st.none() | st.integers(10, 200),
    )
    def submit(self, user: str, scripts: list[list[str]], attempts: int, key: str | None, within: int | None) -> None:
        """A batch whose units all do what its script says, each from its own place in it."""
        body = {
            "prompts": [f"{user} {key} {number}" for number in range(len(scripts))],
            "options": {"providerOptions": {"script": scripts[0]}},
            "retry": {"maxAttempts": attempts},
            "deadlineSeconds": within,
        }
        if key is not None:
            body = {"prompts": [key]}
        request = Request(job_type=BATCH, submission=BATCH.submission.model_validate(body), idempotency_key=key)
        try:
            self.world.do(submit(self.world.services, Caller(user_id=user), request))
        except TooFewCreditsError:
            assert any(one.available < len(scripts) for one in self.world.accounts())

    @rule(user=users, amount=st.integers(1, 20))
    def grant(self, user: str, amount: int) -> None:
        self.world.do(grant_credits(self.world.services, user, amount, reason=None, granted_by="root"))

    @precondition(lambda self: self.world.queue.waiting)
    @rule(which=numbers, often=st.integers(1, 3), gone=st.booleans())
    def deliver(self, which: int, often: int, gone: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        """A task arrives, once or several times; the queue may go on holding it, and send it again later."""
        waiting = self.world.queue.waiting
        task = waiting.pop(which % len(waiting)) if gone else waiting[which % len(waiting)]
        for _ in range(often):
            self.world.deliver(task)

    @precondition(lambda self: self.world.queue.waiting)
    @rule(which=numbers)
    def lose(self, which: int) -> None:
        self.world.queue.waiting.pop(which % len(self.world.queue.waiting))

    @rule(away=st.booleans())
    def queue_goes_or_comes_back(self, away: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        self.world.queue.away = away

    @rule(seconds=st.sampled_from([0.5, 2, 5, 14, 31, 130, 4000]))
    def pass_time(self, seconds: float) -> None:
        self.world.advance(seconds)

    @precondition(lambda self: self.world.jobs())
    @rule(which=numbers)
    def cancel(self, which: int) -> None:
        job = self.pick(which)
        self.world.do(cancel(self.world.services, Caller(user_id=job.user_id), job.job_id, job.job_type))

    @precondition(lambda self: self.world.jobs())
    @rule(which=numbers)
    def retry(self, which: int) -> None:
        job = self.pick(which)
        try:
            self.world.do(retry(self.world.services, Caller(user_id=job.user_id), job.job_id, job.job_type))
        except ConflictError:
            assert job.status is not Status.FAILED
        except TooFewCreditsError:
            assert job.status is Status.FAILED

    @rule()
    def sweep(self) -> None:
        self.world.do(sweep(self.world.services))

    @rule()
    def crash(self) -> None:
        self.world.crash()

    @rule()
    def stop(self) -> None:
        self.world.stop()

    def pick(self, which: int) -> Job:
        jobs = self.world.jobs()
        return jobs[which % len(jobs)]

    # ── What must hold ───────────────────────────────────────────────────────────────────────────

    @invariant()
    def every_job_has_ended_or_will_be_woken(self) -> None:
        for job in self.world.jobs():
            assert job.status.final is (job.wake_at is None)

    @invariant()
    def what_has_ended_stays_as_it_ended(self) -> None:
        """But for the operations that are taken out when a provider is told of a cancellation."""
        for job in self.world.jobs():
            before = self.ended.get((job.job_id, job.round))
            if before is not None:
                assert (job.status, job.credits, job.attempt) == (before.status, before.credits, before.attempt)
            if job.status.final:
                self.ended[job.job_id, job.round] = job

    @invariant()
    def accounts_add_up_to_the_ledger_and_the_holds(self) -> None:
        jobs = self.world.jobs()
        for account in self.world.accounts():
            mine = [job for job in jobs if job.user_id == account.user_id]
            grants, captures = (
                sum(entry.amount for entry in self.world.ledger(kind) if entry.user_id == account.user_id)
                for kind in (EntryKind.GRANT, EntryKind.CAPTURE)
            )
            assert account.granted == account.available + account.held + account.captured == grants
            assert account.captured == captures
            assert account.held == sum(job.credits.held for job in mine)

    @invariant()
    def every_round_that_ended_is_settled_exactly_once(self) -> None:
        entries = [*self.world.ledger(EntryKind.CAPTURE), *self.world.ledger(EntryKind.RELEASE)]
        rounds = {f"{job.job_id}.{number}" for job in self.world.jobs() for number in range(1, job.round)}
        rounds |= {f"{job.job_id}.{job.round}" for job in self.world.jobs() if job.status.final}
        assert sorted(entry.entry_id for entry in entries) == sorted(rounds)
        assert all(entry.amount <= entry.held for entry in entries)

    @invariant()
    def nobody_attempts_more_often_than_allowed(self) -> None:
        for job in self.world.jobs():
            assert job.attempt <= job.retry.max_attempts

    def teardown(self) -> None:
        """Left in peace, every job ends."""
        if not hasattr(self, "world"):
            return
        try:
            self.world.queue.away = False
            for _ in range(200):
                if not self.calm_down():
                    break
            left = [job for job in self.world.jobs() if not job.status.final]
            assert left == []
            assert all(account.held == 0 for account in self.world.accounts())
            self.accounts_add_up_to_the_ledger_and_the_holds()
            self.every_round_that_ended_is_settled_exactly_once()
        finally:
            self.world.close()
            shutil.rmtree(self.folder)

    def calm_down(self) -> bool:
        """Go to the next alarm, sweep, and deliver all that is due; whether anything is left to do."""
        alarms = [job.wake_at for job in self.world.jobs() if job.wake_at is not None]
        if not alarms:
            return False
        self.world.advance(max(1.0, (min(alarms) - self.world.now()) / timedelta(seconds=1)))
        self.world.do(sweep(self.world.services))
        waiting = self.world.queue.waiting
        due = [task for task in waiting if task.at is None or task.at <= self.world.now()]
        waiting[:] = [task for task in waiting if task not in due]
        answers = [self.world.deliver(task) for task in due]
        self.world.advance(13)
        assert all(answer.result() in Answer for answer in answers if answer.done() and not answer.cancelled())
        return True


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=30, stateful_step_count=40)
