"""The chaos run itself: some seconds of it, and what its check of a store finds."""

from __future__ import annotations

import asyncio
import gc
import shlex
import socket
import subprocess
import sys
import warnings
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from e2e.chaos_run import (
    LEASE_SECONDS,
    WORK_SECONDS,
    ChaosRun,
    find_calm_limit,
    find_instances,
    find_project,
    find_rest_seconds,
)
from e2e.disk_outages import DiskOutages
from e2e.firestore_restarts import RestartingFirestore
from e2e.store_invariants import StoreContent, find_purchase_violations, find_violations
from e2e.store_outages import OutageKind, OutageProxy
from nightly_tests import skip_by_day
from taskreel.adapters.gcp.firestore import FirestoreStore
from taskreel.domain.artifact import Artifact
from taskreel.domain.claim_and_outcome import Verdict, decide_claim
from taskreel.domain.credits import Account, EntryKind, LedgerEntry
from taskreel.domain.job import Job
from taskreel.domain.job_fields import JobCredits
from taskreel.domain.job_status import Status
from taskreel.domain.unit import UnitRun, UnitState
from taskreel.ports import Query, Transaction
from taskreel.store_collections import JOBS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FILE = Artifact(name="a.png", path="a.png", content_type="image/png", bytes=3, sha256="")
UNIT = UnitRun(state=UnitState.DONE, credits=1, provider="studio", artifacts=(FILE,))
JOB = Job(
    job_id="job_1",
    job_type="image-generation",
    status=Status.COMPLETED,
    user_id="ada",
    payload={},
    created_at=NOW,
    updated_at=NOW,
    status_at={},
    credits=JobCredits(captured=1),
    units=(UNIT,),
)
GRANT = LedgerEntry(entry_id="grant", user_id="ada", kind=EntryKind.GRANT, amount=5, created_at=NOW)
CAPTURE = LedgerEntry(
    entry_id="job_1.1",
    user_id="ada",
    kind=EntryKind.CAPTURE,
    amount=1,
    held=1,
    job_id="job_1",
    created_at=NOW,
)
ACCOUNT = Account(user_id="ada", available=4, captured=1, granted=5)


def check(files: Path, job: Job, account: Account, *ledger: LedgerEntry) -> str:
    """All violations in a store of one job, as one text."""
    (files / "a.png").write_bytes(b"png")
    sizes = {"a.png": (files / "a.png").stat().st_size}
    content = StoreContent(jobs=[job], accounts=[account], ledger=list(ledger), file_sizes=sizes)
    return "\n".join(find_violations(content))


def test_a_purchase_whose_run_was_killed_is_waited_for_until_another_run_may_take_it() -> None:
    """It stays PROCESSING for the grace of an answer that may have been paid for."""
    killed_at = NOW
    lease_until = killed_at + timedelta(seconds=LEASE_SECONDS)
    buying = UnitRun(state=UnitState.TODO, credits=1, provider="bfl", begun_at=NOW)
    job = JOB.model_copy(
        update={"status": Status.PROCESSING, "units": (buying,), "lease_until": lease_until}
    )
    without_grace = killed_at + timedelta(seconds=find_calm_limit("embedded"))
    assert decide_claim(job, without_grace).verdict is Verdict.BUSY
    limit = killed_at + timedelta(seconds=find_calm_limit("google") - WORK_SECONDS)
    assert decide_claim(job, limit).verdict is not Verdict.BUSY


def test_killed_and_frozen_for_some_seconds_a_mix_of_jobs_violates_no_invariant(
    tmp_path: Path,
) -> None:
    run = ChaosRun(data=tmp_path, seed=20_261_126, seconds=8)
    run.execute()
    assert run.violations == []
    assert run.jobs
    assert sum(run.events.values()) > 3


@pytest.mark.emulator
def test_on_googles_adapters_outages_of_the_store_violate_no_invariant_either(
    tmp_path: Path,
) -> None:
    run = ChaosRun(data=tmp_path, seed=20_261_127, seconds=10, stack="google")
    run.execute()
    assert run.violations == []
    assert run.jobs


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({}, 100),
        ({"error": {"code": "temporary_failure"}}, None),
        ({"status": "QUEUED"}, None),
        ({"error": {"code": "provider_resting"}, "nextAttemptAt": "2999-01-01T00:00:00Z"}, 120),
    ],
)
def test_a_job_that_waits_for_a_breaker_is_waited_for_and_no_other(
    changes: dict[str, Any], seconds: float | None
) -> None:
    later = datetime.now(UTC) + timedelta(seconds=100)
    job = {"status": "RETRYING", "error": {"code": "provider_down"}, **changes}
    found = find_rest_seconds({"nextAttemptAt": later.isoformat(), **job})
    assert found == (None if seconds is None else pytest.approx(seconds, abs=5))


def test_while_the_disk_is_full_no_process_of_the_stack_writes(tmp_path: Path) -> None:
    """Also none that it starts meanwhile; afterwards all do."""
    write = f"import pathlib; pathlib.Path({str(tmp_path / 'file')!r}).write_text('x')"
    shell = "echo ready; read line; exec " + shlex.join([sys.executable, "-c", write])
    outages = DiskOutages(tmp_path)
    for expected in (1, 0):
        with subprocess.Popen(
            ["/bin/sh", "-c", shell], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            outages.begin_outage(60)
            if expected == 0:
                outages.end_outage()
            process.stdin.write(b"go\n")
            process.stdin.close()
            assert process.wait(60) == expected


def test_the_proxy_of_outages_leaves_no_socket_and_no_loop_open() -> None:
    """A later test of the process would be blamed for them, whenever they are collected."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        with (
            OutageProxy(f"{host}:{port}").running() as proxy,
            socket.create_connection((host, int(proxy.address.rpartition(":")[2]))) as client,
        ):
            taken, _ = server.accept()
            with taken:
                client.sendall(b"a call")
                assert taken.recv(6) == b"a call"
                proxy.begin_outage(OutageKind.SILENT, 60)
                client.sendall(b"another")
        del proxy
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gc.collect()
    assert [str(one.message) for one in caught] == []


@pytest.mark.emulator
@skip_by_day("Firestore's emulator starts twice, and each Java takes seconds")
async def test_a_restart_of_firestores_emulator_is_an_outage_and_loses_no_document() -> None:
    project = find_project()
    with RestartingFirestore.running(project) as firestore:
        store = FirestoreStore(project, emulator=firestore.proxy.address)
        try:
            for number, job_id in enumerate(("job_1", "job_2")):
                await put_job(store, JOB.model_copy(update={"job_id": job_id}))
                before = firestore.address
                await asyncio.to_thread(firestore.restart)
                assert firestore.address != before
                assert not firestore.proxy.has_outage
                rows = await store.query(Query(collection=JOBS))
                assert len(rows) == number + 1
        finally:
            await store.close()


async def put_job(store: FirestoreStore, job: Job) -> None:
    async def write(tx: Transaction) -> None:
        tx.create(JOBS, job.job_id, job)

    await store.transaction(write)


def test_the_emulators_of_a_stack_are_none_of_its_instances(tmp_path: Path) -> None:
    """A full disk of an instance is none of the services around it."""
    found = {}
    for name in ("dev", "serve"):
        command = [sys.executable, "-c", "input()", name, "--data", str(tmp_path)]
        found[name] = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        assert find_instances(tmp_path) == [found["serve"].pid]
    finally:
        for process in found.values():
            process.communicate(b"\n")


def test_work_bought_twice_and_work_never_bought_are_found() -> None:
    bought = JOB.model_copy(update={"payload": {"prompt": "a", "provider": "bfl"}})
    content = StoreContent(jobs=[bought], accounts=[], ledger=[], file_sizes={})
    assert list(find_purchase_violations(content, Counter(a=1))) == []
    for count in (0, 2):
        (found,) = find_purchase_violations(content, Counter(a=count))
        assert f"bought {count} times" in found


def test_a_store_in_order_violates_nothing(tmp_path: Path) -> None:
    assert check(tmp_path, JOB, ACCOUNT, GRANT, CAPTURE) == ""


@pytest.mark.parametrize(
    ("job", "account", "ledger", "found"),
    [
        pytest.param(
            JOB.model_copy(update={"status": Status.PROCESSING}),
            ACCOUNT,
            (GRANT, CAPTURE),
            "has not ended",
            id="open",
        ),
        pytest.param(
            JOB.model_copy(update={"credits": JobCredits(held=1)}),
            ACCOUNT,
            (GRANT, CAPTURE),
            "still holds 1 credits",
            id="hold",
        ),
        pytest.param(
            JOB,
            ACCOUNT.model_copy(update={"available": 5}),
            (GRANT, CAPTURE),
            "granted is 5, and 6 by the sum of its parts",
            id="account",
        ),
        pytest.param(
            JOB,
            ACCOUNT,
            (GRANT, CAPTURE, CAPTURE),
            "settled-once: entry job_1.1 of user ada: it was written again",
            id="twice",
        ),
        pytest.param(
            JOB,
            ACCOUNT,
            (GRANT,),
            "the ledger entry job_1.1 that settles it is missing",
            id="never",
        ),
        pytest.param(
            JOB.model_copy(update={"units": ()}),
            ACCOUNT,
            (GRANT, CAPTURE),
            "1 credits were captured, and its finished units cost 0",
            id="paid and not delivered",
        ),
        pytest.param(
            JOB,
            ACCOUNT,
            (GRANT, CAPTURE.model_copy(update={"amount": 0})),
            "captured is 1, and 0 by the ledger",
            id="free",
        ),
        pytest.param(
            JOB.model_copy(update={"units": (UNIT.model_copy(update={"artifacts": ()}),)}),
            ACCOUNT,
            (GRANT, CAPTURE),
            "has neither files nor a text",
            id="no file",
        ),
        pytest.param(
            JOB.model_copy(
                update={
                    "units": (
                        UNIT.model_copy(
                            update={"artifacts": (FILE.model_copy(update={"bytes": 4}),)}
                        ),
                    )
                }
            ),
            ACCOUNT,
            (GRANT, CAPTURE),
            "is absent or not whole",
            id="torn file",
        ),
    ],
)
def test_each_broken_rule_is_found(
    tmp_path: Path, job: Job, account: Account, ledger: tuple[LedgerEntry, ...], found: str
) -> None:
    assert found in check(tmp_path, job, account, *ledger)
