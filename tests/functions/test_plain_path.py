"""The way of a plain job, from its request to COMPLETED: the files of the product that it enters.

A plain job is one unit, with no provider named and none to choose, no references, no files, and no
job that waits for it. The list is what a reader of its way has to open; a file that is missing here
is for jobs that need more, or is a table from which values are read without a call:
`domain/job_status.py`, `jobtypes/__init__.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import taskreel
from simulation.world import ROOT, World
from taskreel.domain.job_status import Status

SUBMIT = {
    "web/public_api.py",
    "web/job_submission.py",
    "web/auth.py",
    "web/http.py",
    "web/request_rates.py",
    "web/responses.py",
    "jobtypes/submission.py",
    "jobtypes/image_generation.py",
    "app/jobs/submit.py",
    "adapters/logged_store.py",
    "app/records/recorder.py",
    "app/eager.py",
    "app/jobs/new_job.py",
    "app/jobs/enqueue.py",
    "app/flow/slots.py",
    "app/messages/job_task.py",
    "app/pricing/job_plan.py",
    "app/providers/registry.py",
    "app/credits/balances.py",
}
RUN = {
    "web/tasks.py",
    "app/worker/processor.py",
    "app/jobs/job_store.py",
    "app/jobs/job_run.py",
    "app/jobs/unit_runner.py",
    "app/jobs/finish_job.py",
}
RULES = {
    "domain/job.py",
    "domain/unit.py",
    "domain/claim_and_outcome.py",
    "domain/credits.py",
    "domain/ids.py",
    "domain/stored_record.py",
    "domain/value.py",
}
EMBEDDED = {
    "adapters/local/sqlite.py",
    "adapters/local/sqlite_file.py",
    "adapters/external_synchrony.py",
    "adapters/local/sqlite_tables.py",
    "adapters/local/memory_tasks.py",
    "adapters/providers/catalogue.py",
}
NOOP = {"prompt": "a red kite", "options": {"studio": {"mode": "noop"}}}


@contextmanager
def entered_files() -> Iterator[set[str]]:
    """Collect the files of `taskreel` in which a function is called."""
    product = Path(taskreel.__file__).parent
    paths: set[str] = set()

    def note_call(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call":
            paths.add(frame.f_code.co_filename)

    found: set[str] = set()
    before = sys.getprofile()
    sys.setprofile(note_call)
    try:
        yield found
    finally:
        sys.setprofile(before)
        found |= {
            Path(path).relative_to(product).as_posix()
            for path in paths
            if Path(path).is_relative_to(product)
        }


async def test_a_plain_job_enters_only_the_files_of_its_way(world: World) -> None:
    async with world.as_user("ada") as ada:
        # What is built on first use is not a part of the way.
        first = await ada.post("/api/jobs/image-generation", json=NOOP)
        await world.process(first.json()["jobId"])

        with entered_files() as entered:
            made = await ada.post("/api/jobs/image-generation", json=NOOP)
            await world.process(made.json()["jobId"])

    assert (await world.job(made.json()["jobId"])).status is Status.COMPLETED
    listed = SUBMIT | RUN | RULES | EMBEDDED
    assert entered == listed
    assert f"lists the {len(listed)} files" in (ROOT / "README.md").read_text("utf-8")
