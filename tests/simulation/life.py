"""The events of a deployment in any order, and what holds whatever happens, for Hypothesis."""

from __future__ import annotations

import shutil
from collections import Counter
from datetime import timedelta
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from simulation.life_invariants import LifeInvariants
from simulation.life_outages import LifeOutages
from simulation.life_state import BATCH, PIPELINE, deadlines, numbers, scripts, users
from simulation.scripted_provider import LATE_SECONDS
from simulation.system_faults import ROOM_BYTES, InputFile
from taskreel.app.caller import Caller
from taskreel.app.credits.grants import GrantOrder, grant_credits
from taskreel.app.jobs.cancel import cancel_job
from taskreel.app.jobs.replay import Replay, prepare_replay
from taskreel.app.jobs.retry import retry_job
from taskreel.app.jobs.submit import JobRequest
from taskreel.app.worker.long_run import Answer
from taskreel.app.worker.sweep import sweep_jobs
from taskreel.domain.errors import ConflictError, ForbiddenError, TooFewCreditsError
from taskreel.domain.grants import DEFAULT_PRIORITY


class Life(LifeOutages, LifeInvariants):
    """The events of a deployment as rules, and the invariants that hold whatever happens."""

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
