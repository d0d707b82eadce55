"""The state of a life: its jobs, and the ways in which rules submit and deliver them."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize

from simulation.chaos import Chaos
from simulation.system_faults import InputFile
from taskreel.app.caller import Caller
from taskreel.app.jobs.submit import JobRequest, submit_job
from taskreel.domain.errors import AMBIGUOUS, TooFewCreditsError
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.jobtypes import JOB_TYPES

BATCH = JOB_TYPES["batch-generation"]
PIPELINE = JOB_TYPES["pipeline"]
UPSCALE = JOB_TYPES["image-upscale"]
scripts = st.lists(
    st.sampled_from(["slow"] * 4 + ["temporary", "permanent", "limited", "pending"]), max_size=3
)
deadlines = st.sampled_from([None, None, None, 40, 200])
numbers = st.integers(0, 50)
users = st.sampled_from(["ada", "bob"])


class LifeState(RuleBasedStateMachine):
    """A deployment of several instances, its jobs, and what was seen of them."""

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
