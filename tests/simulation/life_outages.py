"""The events in which the store or the queue goes away, or a process dies before a commit."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from msgspec.structs import replace

from simulation.chaos import InstanceStore
from simulation.life_state import BATCH, LifeState, numbers, scripts, users
from simulation.system_faults import Outage
from taskreel.app.caller import Caller
from taskreel.app.jobs.submit import JobRequest, submit_job
from taskreel.domain.errors import StoreError, TooFewCreditsError


class LifeOutages(LifeState):
    """Outages and deaths, as rules."""

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
