"""The audit of a store in use: every broken rule has a name, and what can be repaired is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from simulation.world import KEY, World, running
from taskreel.app.audit.job_rules import Rule, Violation
from taskreel.app.audit.repairs import repair
from taskreel.app.audit.store_audit import AuditReport, audit_store
from taskreel.domain.credits import EntryKind, LedgerEntry
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.ports import Query
from taskreel.store_collections import ACCOUNTS, AUDIT, JOBS, LEDGER

PICTURE = {"prompt": "a kite", "options": {"width": 64, "height": 64, "studio": {"mode": "noop"}}}


async def audit(world: World, **options: bool) -> AuditReport:
    """An audit, whose pauses pass at once."""

    async def sleep(_seconds: float) -> None:
        """Pass no time."""

    clock: Any = world.services.clock
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "sleep", sleep)
        return await audit_store(world.services, **options)


async def submit(world: World, user: str = "ada", **fields: Any) -> Job:
    client = world.as_user(user)
    answer = await client.post("/api/jobs/image-generation", json={**PICTURE, **fields})
    assert answer.status_code == 202, answer.text
    return await world.job(answer.json()["jobId"])


async def write(world: World, change: Callable[[Any], None]) -> None:
    async def run(tx: Any) -> None:
        change(tx)

    await world.services.store.transaction(run)


async def change_job(world: World, job: Job, **changes: Any) -> None:
    await world.put(job.model_copy(update=changes))


async def test_a_store_in_order_breaks_no_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, monkeypatch) as world:
        await submit(world)
        await world.settle()
        await submit(world, user="bob", scheduleAt="2030-01-01T00:00:00Z")
        report = await audit(world, with_files=True)
        assert report.violations == []
        assert (report.users, report.jobs, report.entries) == (2, 2, 3)


async def break_balance(world: World, _job: Job) -> None:
    await write(world, lambda tx: tx.update(ACCOUNTS, "ada", {"available": 7}))


async def break_ledger(world: World, job: Job) -> None:
    entry = LedgerEntry(
        entry_id="stray",
        user_id="ada",
        kind=EntryKind.GRANT,
        amount=3,
        created_at=job.created_at,
    )
    await write(world, lambda tx: tx.create(LEDGER, "stray", entry))


async def break_settlement(world: World, job: Job) -> None:
    await write(world, lambda tx: tx.delete(LEDGER, f"{job.job_id}.1"))


async def break_payment(world: World, job: Job) -> None:
    ended = await world.job(job.job_id)
    paid = ended.credits.model_copy(update={"captured": 5})
    await change_job(world, ended, credits=paid)


async def break_wake_time(world: World, job: Job) -> None:
    await change_job(world, await world.job(job.job_id), wake_at=job.created_at)


async def break_history(world: World, job: Job) -> None:
    ended = await world.job(job.job_id)
    at = {**ended.status_at, Status.CANCELLED: world.now()}
    await change_job(world, ended, status=Status.CANCELLED, status_at=at)


async def break_family(world: World, job: Job) -> None:
    await change_job(world, await world.job(job.job_id), parent_id="job_gone")


async def break_slots(world: World, _job: Job) -> None:
    await write(world, lambda tx: tx.update(ACCOUNTS, "ada", {"active": 2}))


async def break_document(world: World, job: Job) -> None:
    await write(world, lambda tx: tx.update(JOBS, job.job_id, {"createdAt": "yesterday"}))


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (break_balance, Rule.BALANCE),
        (break_ledger, Rule.LEDGER),
        (break_settlement, Rule.SETTLED_ONCE),
        (break_payment, Rule.PAID_WORK),
        (break_wake_time, Rule.WAKE_TIME),
        (break_history, Rule.ONE_FINAL_STATUS),
        (break_family, Rule.FAMILY),
        (break_slots, Rule.SLOTS),
        (break_document, Rule.READABLE),
    ],
)
async def test_a_damage_has_a_name(
    damage: Callable[[World, Job], Awaitable[None]],
    rule: Rule,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(tmp_path, monkeypatch) as world:
        job = await submit(world)
        await world.settle()
        assert (await audit(world)).violations == []
        await damage(world, job)
        report = await audit(world)
        assert rule in {one.rule for one in report.violations}


async def test_repairs_recount_slots_wake_jobs_and_settle_holds_and_are_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, monkeypatch) as world:
        ended = await submit(world)
        await world.settle()
        asleep = await submit(world, scheduleAt="2030-01-01T00:00:00Z")
        lost = await submit(world, scheduleAt="2030-01-01T00:00:00Z")
        before = await world.services.store.get(ACCOUNTS, "ada")
        assert before is not None
        await break_slots(world, ended)
        await change_job(world, asleep, wake_at=None)
        # Its document vanished, and its hold with it.
        await write(world, lambda tx: tx.delete(JOBS, lost.job_id))

        report = await audit(world, with_repair=True)
        assert report.violations == []
        assert len(report.repaired) == 3
        woken = await world.job(asleep.job_id)
        assert woken.wake_at is not None
        after = await world.services.store.get(ACCOUNTS, "ada")
        assert after is not None
        assert (after.active, after.held) == (0, asleep.credits.held)
        assert after.available == before.available + lost.credits.held
        entries = await world.services.store.query(Query(collection=AUDIT))
        assert {row.value.action for row in entries} == {"repair wake-time", "repair holds"}


async def test_a_hold_that_an_ended_job_has_is_settled_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The case of a settlement that was lost: the job has ended, and its hold stands."""
    async with running(tmp_path, monkeypatch) as world:
        job = await submit(world, scheduleAt="2030-01-01T00:00:00Z")
        now = world.now()
        broken = job.enter_status(Status.CANCELLED, now)
        await world.put(broken)
        report = await audit(world)
        rules = {one.rule for one in report.violations}
        assert rules == {Rule.NOTHING_HELD_AFTER_END, Rule.SETTLED_ONCE}
        repaired = await audit(world, with_repair=True)
        assert repaired.violations == []
        account = await world.services.store.get(ACCOUNTS, "ada")
        assert account is not None
        assert (account.held, account.captured) == (0, 0)
        assert account.available == account.granted
        entry = await world.services.store.get(LEDGER, f"{job.job_id}.1")
        assert entry is not None
        assert (entry.kind, entry.amount) == (EntryKind.RELEASE, job.credits.held)


async def test_a_hold_whose_settlement_exists_is_reported_to_an_operator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, monkeypatch) as world:
        job = await submit(world)
        await world.settle()
        ended = await world.job(job.job_id)
        held = ended.credits.model_copy(update={"held": 1})
        await change_job(world, ended, credits=held)
        report = await audit(world, with_repair=True)
        # The account holds nothing for it: to settle again would take the credit twice.
        assert report.repaired == []
        assert report.count_rules() == {Rule.NOTHING_HELD_AFTER_END: 1, Rule.HOLDS: 1}
        assert (await world.job(job.job_id)).credits == held


async def test_a_repair_changes_nothing_that_is_in_order_by_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run may have corrected it between the reading and the repair."""
    async with running(tmp_path, monkeypatch) as world:
        ended = await submit(world)
        await world.settle()
        waiting = await submit(world, scheduleAt="2030-01-01T00:00:00Z")
        for job in (await world.job(ended.job_id), waiting):
            for rule in Rule:
                violation = Violation(rule, "ada", f"job {job.job_id}", "a moment ago")
                assert await repair(world.services, violation) is None, rule
            assert await world.job(job.job_id) == job
        assert await world.services.store.query(Query(collection=AUDIT)) == []


async def test_a_hold_is_not_released_while_its_account_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, monkeypatch) as world:
        lost = await submit(world, scheduleAt="2030-01-01T00:00:00Z")
        await write(world, lambda tx: tx.delete(JOBS, lost.job_id))
        store = world.services.store
        transaction = store.transaction

        async def submit_first(run: Any) -> Any:
            monkeypatch.setattr(store, "transaction", transaction)
            await submit(world, scheduleAt="2030-01-01T00:00:00Z")
            return await transaction(run)

        monkeypatch.setattr(store, "transaction", submit_first)
        violation = Violation(Rule.HOLDS, "ada", "account", "held is 1, and 0 by its jobs")
        assert await repair(world.services, violation) is None
        account = await store.get(ACCOUNTS, "ada")
        assert account is not None
        assert account.held == 2


async def test_a_webhook_that_got_no_delivery_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, monkeypatch) as world:
        url = "https://93.184.216.34/hook"
        job = await submit(world, scheduleAt="2030-01-01T00:00:00Z", webhookUrl=url)
        wanting = tuple(one.model_copy(update={"events": ("*",)}) for one in job.webhooks)
        await change_job(world, job, webhooks=wanting)
        assert (await audit(world)).count_rules() == {Rule.EVENTS: 1}


async def test_what_was_due_long_ago_is_overdue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, monkeypatch) as world:
        job = await submit(world, scheduleAt="2030-01-01T00:00:00Z")
        await change_job(world, job, wake_at=world.now() - timedelta(hours=1))
        report = await audit(world)
        assert [(one.rule, one.subject) for one in report.violations] == [
            (Rule.OVERDUE, f"jobs/{job.job_id}")
        ]


async def test_a_missing_file_is_found_where_files_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, monkeypatch) as world:
        options = {"width": 64, "height": 64}
        job = await submit(world, options=options)
        await world.settle()
        ended = await world.job(job.job_id)
        (artifact,) = ended.artifacts
        assert (await audit(world, with_files=True)).violations == []
        await world.services.blobs.delete(artifact.path)
        assert (await audit(world)).violations == []
        report = await audit(world, with_files=True)
        assert [one.rule for one in report.violations] == [Rule.FILES]
        # A removal that broke off: its files go before its document.
        await change_job(world, ended, expire_at=ended.created_at, wake_at=world.now())
        assert (await audit(world, with_files=True)).violations == []


async def test_files_without_a_document_are_counted_and_removed_by_a_repair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, monkeypatch) as world:
        job = await submit(world, options={"width": 64, "height": 64})
        await world.settle()
        blobs = world.services.blobs
        left = ("artifacts/job_gone/1/a.png", "artifacts/job_gone/1/b.png", "uploads/upl_gone/c")
        for path in (*left, "others/of-another-application"):
            await blobs.put(path, b"left", content_type="image/png")
        report = await audit(world, with_files=True)
        assert (report.violations, report.unowned_files) == ([], 3)
        assert (await audit(world)).unowned_files is None
        report = await audit(world, with_files=True, with_repair=True)
        assert report.unowned_files == 0
        assert [text.split()[1] for text in report.repaired] == sorted(left)
        (kept,) = (await world.job(job.job_id)).artifacts
        paths = {path async for path in blobs.list_paths("")}
        assert paths == {kept.path, "others/of-another-application"}


async def test_the_maintenance_function_answers_an_audit_to_those_who_have_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, monkeypatch) as world:
        await submit(world)
        await world.settle()
        refused = await world.maintenance.post("/tasks/audit", json={})
        assert refused.status_code == 401
        answer = await world.maintenance.post(
            "/tasks/audit", json={}, headers={"X-Internal-Api-Key": KEY}
        )
        assert answer.json() == {
            "users": 1,
            "jobs": 1,
            "entries": 2,
            "unownedFiles": None,
            "violations": [],
            "repaired": [],
        }
