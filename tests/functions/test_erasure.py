"""An erasure removes everything of a person, goes on after a crash, and proves its end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from functions.job_requests import expect_problem, image_request, refused_paths, submit_job
from simulation.world import World
from taskreel.app.audit.store_audit import audit_store
from taskreel.app.erasure import erase_user as erase_module
from taskreel.domain.erasure import running_erasure_id
from taskreel.domain.errors import StoreError
from taskreel.ports import Query, undecoded_collection
from taskreel.store_collections import ACCOUNTS, ERASURES, LEDGER, STORED

PERSON = "ada.lovelace@example.com"
PICTURE = image_request("slow", seconds=0)
_PATH = f"/api/accounts/{PERSON}/erasure"


@pytest.fixture
def ada(world: World) -> httpx.AsyncClient:
    return world.as_user(PERSON)


async def fill_store(world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient) -> None:
    """One of everything that a person leaves, and traces of them at others."""
    made = await ada.post("/api/projects", json={"name": "Film"})
    members = f"/api/projects/{made.json()['projectId']}/members"
    assert (await ada.put(f"{members}/bob", json={"role": "editor"})).is_success
    orders: tuple[tuple[httpx.AsyncClient, str, str, Any], ...] = (
        (admin, "POST", f"/api/credits/{PERSON}/grants", {"amount": 50, "reason": "a gift"}),
        (admin, "PUT", f"/api/limits/{PERSON}", {"activeJobs": 9, "reason": f"asked by {PERSON}"}),
        (ada, "POST", "/api/webhook-endpoints", {"url": "https://example.com/hooks"}),
        (ada, "POST", "/api/uploads", {"name": "a.png", "contentType": "image/png", "bytes": 1}),
        (
            ada,
            "POST",
            "/api/templates",
            {"name": "poster", "jobType": "image-generation", "data": {"prompt": "a kite"}},
        ),
        (
            ada,
            "POST",
            "/api/jobs/recurring",
            {"jobType": "image-generation", "data": PICTURE, "cronExpression": "0 * * * *"},
        ),
    )
    for client, method, path, body in orders:
        answer = await client.request(method, path, json=body)
        assert answer.is_success, f"{path}: {answer.text}"
    for _ in range(3):
        await submit_job(ada, PICTURE)
    steps = {"one": {"type": "image-generation", "payload": PICTURE}}
    await submit_job(ada, {"steps": steps}, "/api/jobs/pipeline")
    await submit_job(world.as_user("bob"), PICTURE | {"prompt": f"a portrait of {PERSON}"})
    await world.advance(5)
    await submit_job(ada, image_request("pending", times=99, seconds=60))
    await ada.post(
        "/api/operations", json={"action": "cancel", "filter": {"status": ["FAILED"]}, "limit": 1}
    )
    await world.advance(5)


async def read_everything(world: World) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for collection in STORED:
        raw = undecoded_collection(collection.name)
        rows = await world.services.store.query(Query(collection=raw))
        found |= {f"{collection.name}/{row.id}": row.data for row in rows}
    return found


async def erase(world: World, admin: httpx.AsyncClient) -> dict[str, Any]:
    """The report, after as many orders as it takes."""
    for _ in range(20):
        answer = await admin.post(_PATH, json={"reason": f"the request of {PERSON}"})
        assert answer.is_success, answer.text
        report: dict[str, Any] = answer.json()
        if report["phase"] == "done":
            assert answer.status_code == 200
            return report
        assert answer.status_code == 202
        await world.advance(30)
    raise AssertionError(f"it did not end: {report}")


async def test_everything_of_a_person_is_removed_and_the_proof_finds_nothing(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    await fill_store(world, ada, admin)
    before = await read_everything(world)
    own = {path for path, data in before.items() if data.get("userId") == PERSON}
    assert {path.partition("/")[0] for path in own} >= {
        *("jobs", "accounts", "ledger", "uploads", "webhook_endpoints", "webhook_deliveries"),
        *("job_templates", "recurring_jobs", "operations"),
    }
    account = before[f"accounts/{PERSON}"]

    report = await erase(world, admin)
    after = await read_everything(world)
    naming = [path for path, data in after.items() if PERSON in path or PERSON in str(data)]
    assert [path.partition("/")[0] for path in naming] == ["jobs"]  # bob's own words
    assert report["proof"]["found"] == {}
    assert report["proof"]["mentions"] == {"jobs": 1}
    assert report["proof"]["documents"] == len(after) - 2  # all but the report and its entry
    assert report["removed"]["jobs"] == sum(path.startswith("jobs/") for path in own)
    assert report["removed"]["files"] >= 4
    files = [path async for path in world.services.blobs.list_paths("")]
    assert len(files) == report["proof"]["files"] == 1  # bob's
    # The money is there still, under the pseudonym, and its books are in order.
    moved = await world.services.store.get(ACCOUNTS, report["pseudonym"])
    assert moved is not None
    assert moved.granted == account["granted"]
    assert moved.captured >= account["captured"] > 0
    assert (await audit_store(world.services)).violations == []
    assert PERSON not in json.dumps(report)


async def test_the_report_is_read_by_its_id_and_the_audit_log_has_the_order(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    await submit_job(ada, PICTURE)
    await world.advance(5)
    report = await erase(world, admin)
    assert (await admin.get(f"/api/erasures/{report['erasureId']}")).json() == report
    expect_problem(await admin.get("/api/erasures/ers_nothing"), 404, "not_found")
    expect_problem(await admin.get(f"/api/erasures/{running_erasure_id(PERSON)}"), 404, "not_found")
    entries = (await admin.get("/api/audit", params={"text": "erasure"})).json()["entries"]
    assert [(one["userId"], one["action"], one["subject"]) for one in entries] == [
        ("root", "erasure of a user proved", report["pseudonym"]),
        ("root", "erasure of a user started", report["pseudonym"]),
    ]


async def test_a_dry_run_counts_and_changes_nothing(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    await fill_store(world, ada, admin)
    before = await read_everything(world)
    answer = await admin.post(_PATH, json={"dryRun": True})
    assert await read_everything(world) == before
    removed, pseudonymised = answer.json()["removed"], answer.json()["pseudonymised"]
    assert removed["jobs"] == sum(
        path.startswith("jobs/") and data["userId"] == PERSON for path, data in before.items()
    )
    assert pseudonymised["audit"] == 4  # orders that name them: two of an admin, two of a project


async def test_a_dry_run_foretells_the_numbers_of_the_report(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    await fill_store(world, ada, admin)
    await world.advance(9999)  # no job goes on, so the erasure itself makes nothing
    await submit_job(world.as_user("bob"), PICTURE)
    await world.advance(5)
    forecast = (await admin.post(_PATH, json={"dryRun": True})).json()
    report = await erase(world, admin)
    assert forecast["removed"] == report["removed"]
    assert forecast["pseudonymised"] == report["pseudonymised"]
    assert forecast["removed"]["files"] >= 4
    assert not {"accounts", "ledger", "audit", "projects"} & set(forecast["removed"])


@pytest.mark.parametrize("order", [{"dryRun": True}, {"reason": "a letter"}])
async def test_nothing_is_proved_of_a_user_whom_no_document_names(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient, order: dict[str, Any]
) -> None:
    await submit_job(ada, PICTURE)
    await world.advance(5)
    before = await read_everything(world)
    mistyped = f"/api/accounts/{PERSON}m/erasure"
    problem = expect_problem(await admin.post(mistyped, json=order), 404, "not_found")
    assert f"{PERSON}m" in problem["detail"]
    assert await read_everything(world) == before


async def test_a_user_without_an_account_is_erased_where_a_document_names_them(
    world: World, admin: httpx.AsyncClient
) -> None:
    made = await world.as_user("bob").post("/api/projects", json={"name": "Film"})
    members = f"/api/projects/{made.json()['projectId']}/members"
    await world.as_user("bob").put(f"{members}/{PERSON}", json={"role": "editor"})
    assert (await erase(world, admin))["pseudonymised"]["projects"] == 1


async def test_an_erasure_that_was_interrupted_goes_on_when_only_the_proof_is_missing(
    world: World,
    ada: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await ada.post("/api/projects", json={"name": "Film"})

    async def crash(*_args: Any) -> None:
        raise StoreError("the process died")

    with monkeypatch.context() as patch:
        patch.setattr(erase_module, "_prove_page", crash)
        assert (await admin.post(_PATH, json={"reason": "a letter"})).status_code == 503
    forecast = (await admin.post(_PATH, json={"dryRun": True})).json()
    assert (forecast["removed"], forecast["pseudonymised"]) == ({}, {})
    assert (await erase(world, admin))["pseudonymised"]["projects"] == 1


@pytest.mark.parametrize("body", [b"", b"{}", b'{"reason": ""}'])
async def test_an_empty_order_erases_no_user(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient, body: bytes
) -> None:
    await submit_job(ada, PICTURE)
    before = await read_everything(world)
    assert refused_paths(await admin.post(_PATH, content=body)) == {"reason"}
    assert await read_everything(world) == before


async def test_an_admin_of_a_project_names_another_owner_after_the_owner_was_erased(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    made = await ada.post("/api/projects", json={"name": "Film"})
    project, bob, eve = made.json()["projectId"], world.as_user("bob"), world.as_user("eve")
    path, order = f"/api/projects/{project}", {"ownerId": "bob"}
    for user, role in (("bob", "admin"), ("eve", "editor")):
        await ada.put(f"{path}/members/{user}", json={"role": role})
    expect_problem(await bob.put(f"{path}/owner", json=order), 403, "forbidden")
    pseudonym = (await erase(world, admin))["pseudonym"]
    assert (await bob.get(path)).json()["ownerId"] == pseudonym
    expect_problem(await eve.put(f"{path}/owner", json=order), 403, "forbidden")
    assert (await bob.put(f"{path}/owner", json=order)).json()["ownerId"] == "bob"
    assert (await bob.delete(f"{path}/members/{pseudonym}")).status_code == 204


async def test_an_erasure_that_crashes_anywhere_goes_on_and_counts_each_document_once(
    world: World,
    ada: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await fill_store(world, ada, admin)
    jobs = await world.services.store.aggregate(
        Query(collection=STORED[0], where=(("userId", "==", PERSON),))
    )
    monkeypatch.setattr(erase_module, "_PAGE", 3)  # many pages
    store: Any = world.services.store
    transaction, calls = store.inner.transaction, 0

    async def crash_often(fn: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls % 4 == 0:
            raise StoreError("the process died")
        return await transaction(fn)

    monkeypatch.setattr(store.inner, "transaction", crash_often)
    crashes = 0
    for _ in range(200):
        answer = await admin.post(_PATH, json={"dryRun": False})
        if answer.status_code == 503:
            crashes += 1
            continue
        if answer.json()["phase"] == "done":
            break
        monkeypatch.setattr(store.inner, "transaction", transaction)
        await world.advance(30)
        monkeypatch.setattr(store.inner, "transaction", crash_often)
    monkeypatch.setattr(store.inner, "transaction", transaction)
    report = answer.json()
    assert crashes > 5
    assert (report["phase"], report["proof"]["found"]) == ("done", {})
    assert report["removed"]["jobs"] == jobs["count"]
    entries = await store.query(Query(collection=LEDGER))
    assert report["pseudonymised"]["ledger"] == sum(
        row.value.user_id == report["pseudonym"] for row in entries
    )


async def test_what_is_written_meanwhile_is_found_and_erased_in_another_round(
    world: World,
    ada: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await submit_job(ada, PICTURE)
    await world.advance(5)
    prove = erase_module._prove_files
    late = [PICTURE]

    async def prove_after_a_request(*args: Any) -> Any:
        while late:
            await submit_job(ada, late.pop())
            await world.advance(5)
            # The proof has passed the jobs: the entry of the ledger alone can tell.
            found = await world.services.store.get(ERASURES, running_erasure_id(PERSON))
            assert found is not None
            args = (*args[:3], found.model_copy(update={"collection": 0, "after": None}))
            return await erase_module._prove_page(args[0], args[1], args[3])
        return await prove(*args)

    monkeypatch.setattr(erase_module, "_prove_files", prove_after_a_request)
    report = await erase(world, admin)
    assert report["rounds"] == 2
    assert report["removed"]["jobs"] == 2
    assert (await audit_store(world.services)).violations == []


async def test_an_admin_does_not_erase_themself(admin: httpx.AsyncClient) -> None:
    expect_problem(
        await admin.post("/api/accounts/root/erasure", json={"dryRun": False}), 409, "conflict"
    )
