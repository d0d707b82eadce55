"""One sentence for a job in each state."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from taskreel.client import Job
from taskreel_local.cli.explain_job import Surroundings, explain_job

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def at(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).isoformat()


def make_job(status: str, **fields: Any) -> Job:
    return Job.model_validate(
        {
            "jobId": "job_1",
            "jobType": "image-generation",
            "status": status,
            "createdAt": at(-90),
            "updatedAt": at(-10),
            **fields,
        }
    )


QUEUE = {"jobType": "image-generation", "queue": {"name": "image-queue", "waiting": 7}}
PAUSED = {"jobType": "image-generation", "queue": {"name": "image-queue", "paused": True}}
OPEN = {
    "provider": "bfl",
    "models": [{"name": "flux", "aliases": [], "breaker": {"state": "open", "byHand": True}}],
}
ERROR = {"code": "c", "category": "temporary", "message": "The provider is busy."}


@pytest.mark.parametrize(
    ("job", "around", "sentence"),
    [
        (
            make_job("SCHEDULED", payload={"scheduleAt": at(3600)}),
            {},
            "It was submitted for later and starts in 60 min.",
        ),
        (
            make_job("BLOCKED", payload={"dependsOn": [{"jobId": "job_0"}]}),
            {},
            "It starts when the job that it depends on has ended: job_0.",
        ),
        (
            make_job("COMPLETED", cachedSeconds=40, credits={"captured": 1}),
            {},
            "Answered by an earlier job (made 40 s ago), free.",
        ),
        (
            make_job("QUEUED"),
            {"queues": [PAUSED]},
            (
                "It waits because the queue image-queue is paused; an admin starts it again: "
                "taskreel queues resume image-generation."
            ),
        ),
        (
            make_job("QUEUED", payload={"provider": "bfl", "model": "flux"}),
            {"providers": [OPEN]},
            "It waits because an admin has stopped bfl flux.",
        ),
        (
            make_job("QUEUED", statusAt={"QUEUED": at(-4)}),
            {"queues": [QUEUE]},
            "It is one of 7 waiting jobs of image-queue, and has waited for 4.0 s.",
        ),
        (
            make_job(
                "THROTTLED",
                error=ERROR | {"message": "Its owner runs 2 of 2."},
                queue={"ahead": 1, "startsIn": {"p50": 12, "p90": 40}},
            ),
            {},
            (
                "It waits for room: Its owner runs 2 of 2; 1 job is ahead of it; "
                "about 12 s to go, nine times in ten at most 40 s."
            ),
        ),
        (
            make_job("PROCESSING", servedBy="bfl", statusAt={"PROCESSING": at(-30)}),
            {},
            "bfl has worked on it for 30 s.",
        ),
        (
            make_job("RETRYING", error=ERROR, attempt=1, maxAttempts=3, nextAttemptAt=at(20)),
            {},
            "Attempt 1 failed: The provider is busy. Attempt 2 of 3 starts in 20 s.",
        ),
        (
            make_job(
                "COMPLETED",
                servedBy="bfl",
                credits={"captured": 2},
                statusAt={"PROCESSING": at(-80), "COMPLETED": at(-75)},
            ),
            {},
            "It was made by bfl in 5.0 s, after a wait of 10 s, for 2 credits.",
        ),
        (
            make_job("FAILED", error=ERROR | {"step": "cut"}, credits={"captured": 1}),
            {},
            "Its step cut failed: The provider is busy. What was finished is stored, for 1 credit.",
        ),
        (
            make_job(
                "FAILED",
                error=ERROR | {"step": "cut", "message": "Step cut failed: It is busy."},
                credits={"captured": 1},
            ),
            {},
            "Its step cut failed: It is busy. What was finished is stored, for 1 credit.",
        ),
        (make_job("CANCELLED"), {}, "It was cancelled. Nothing was charged."),
        (make_job("PAUSED"), {}, "Its status PAUSED is newer than this command."),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_sentence_names_the_cause(job: Job, around: dict[str, Any], sentence: str) -> None:
    assert explain_job(job, Surroundings(now=NOW, **around)) == sentence


def test_a_text_of_a_user_cannot_move_the_cursor() -> None:
    job = make_job("FAILED", error=ERROR | {"message": "a\x1b[2Jb\nc"})
    assert explain_job(job, Surroundings(now=NOW)) == "It failed: a [2Jb c. Nothing was charged."
