"""Rollout and rollback: the documents of every collection, of this revision and of the next.

`tests/data/documents_2026_11_27.json` was written by the revision of its date, with documents of
every collection, and is never written again (`WRITE_STORED_DOCUMENTS=1`, with another name). Jobs,
accounts and the ledger have tests of their own in `test_rollout.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from functions.job_requests import NOOP, image_request, submit_job
from functions.stored_documents import (
    Documents,
    load_documents,
    read_documents,
    save_documents,
    store_documents,
)
from functions.test_rollout import DATA, list_places
from functions.webhook_receiver import Hooked
from simulation.world import World
from taskreel.app.queues.pause_queue import restore_pauses
from taskreel.domain.run_answers import ProviderAnswer, RunAnswers
from taskreel.domain.stored_record import StoredRecord
from taskreel.domain.value import StoredValue
from taskreel.ports import Transaction
from taskreel.store_collections import RUN_ANSWERS, STORED

THIS_RELEASE = DATA / "documents_2026_11_27.json"
NAMES = tuple(collection.name for collection in STORED)
TEMPLATE = {
    "name": "poster",
    "jobType": "image-generation",
    "data": {**NOOP, "prompt": "a {{parameters.animal}}"},
    "defaults": {"animal": "fox"},
}
SAVED = {name: value for name, value in TEMPLATE.items() if name != "name"}
ENDPOINT = {"url": "https://93.184.216.34/hooks"}
BREAKER = "/api/providers/bfl/flux-1.1-pro/breaker"
QUEUE = "/api/jobs/queues/image-generation"


@pytest.fixture
def world(hooked: Hooked) -> World:
    return hooked.world


async def ask(client: httpx.AsyncClient, method: str, path: str, body: Any = None) -> Any:
    """The JSON of a request that succeeds."""
    answer = await client.request(method, path, json=body)
    assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
    return answer.json() if answer.content else None


async def make_documents(world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient) -> None:
    """At least one document of every collection, with work that has not ended."""
    await ask(ada, "POST", "/api/webhook-endpoints", ENDPOINT)
    await ask(ada, "POST", "/api/templates", TEMPLATE)
    project = (await ask(ada, "POST", "/api/projects", {"name": "Film"}))["projectId"]
    await ask(ada, "PUT", f"/api/projects/{project}/members/bob", {"role": "editor"})
    await submit_job(ada, {**NOOP, "projectId": project})
    failing = await submit_job(ada, image_request("fail-permanent"))
    await ask(ada, "POST", "/api/uploads", {"name": "a", "contentType": "image/png", "bytes": 9})
    recurring = {"jobType": "image-generation", "data": NOOP, "cronExpression": "*/5 * * * *"}
    await ask(ada, "POST", "/api/jobs/recurring", recurring)
    await ask(admin, "PUT", "/api/limits/ada", {"activeJobs": 9, "reason": "asked"})
    await ask(admin, "POST", BREAKER, {"state": "open", "reason": "an outage"})
    await world.advance(400)
    await world.sweep()
    await world.advance(5)
    await world.services.flush_records()
    await submit_job(world.as_user("eve"), image_request("pending", times=9, seconds=60))
    await world.advance(5)
    await ask(admin, "POST", "/api/accounts/eve/erasure", {"reason": "asked"})

    # What is under way at the time of the rollout: tasks that are lost, a paused queue.
    world.cut_off = True
    await submit_job(ada, NOOP)
    every = {"status": ["QUEUED"], "jobType": "image-generation"}
    await ask(ada, "POST", "/api/operations", {"action": "cancel", "filter": every, "limit": 9})
    await ask(admin, "POST", f"{QUEUE}/pause", {"reason": "a rollout"})
    now = world.now()
    answer = ProviderAnswer(at=now, code="refused", text="no")
    run = RunAnswers(
        job_id=failing["jobId"], user_id="ada", at=now, answers=(answer,), expire_at=now
    )

    async def store(tx: Transaction) -> None:
        tx.create(RUN_ANSWERS, f"{run.job_id}.1.1", run)

    await world.services.store.transaction(store)


def test_the_data_of_this_release_has_documents_of_every_collection() -> None:
    documents = load_documents(THIS_RELEASE)
    assert {name for name, rows in documents.items() if rows} == set(NAMES)


@pytest.mark.skipif(
    "WRITE_STORED_DOCUMENTS" not in os.environ, reason="writes the data of a release"
)
async def test_write_the_documents_of_every_collection(
    hooked: Hooked, admin: httpx.AsyncClient
) -> None:
    hooked.receiver.answer = lambda _request: httpx.Response(500)
    await make_documents(hooked.world, hooked.ada, admin)
    save_documents(await read_documents(hooked.world, NAMES), THIS_RELEASE)


# ── The next revision's documents ────────────────────────────────────────────────────────────────


def add_fields(value: BaseModel | StoredRecord, document: dict[str, Any]) -> None:
    """Add a field to the document, and to each object in it that a stored value reads."""
    if isinstance(value, StoredValue | StoredRecord):
        document["newField"] = {"a": [1]}
    model = value.reader() if isinstance(value, StoredRecord) else type(value)
    for name, field in model.model_fields.items():
        stored = document.get(field.serialization_alias or field.alias or name)
        _add_below(getattr(value, name), stored)


def _add_below(value: Any, stored: Any) -> None:
    if isinstance(value, BaseModel | StoredRecord) and isinstance(stored, dict):
        add_fields(value, stored)
    elif isinstance(value, dict) and isinstance(stored, dict):
        for name, one in value.items():
            _add_below(one, stored.get(str(name)))
    elif isinstance(value, tuple) and isinstance(stored, list | tuple):
        for one, inner in zip(value, stored, strict=False):
            _add_below(one, inner)


def as_written_by_the_next_revision(documents: Documents) -> Documents:
    changed = deepcopy(documents)
    for collection in STORED:
        for row in changed[collection.name].values():
            add_fields(collection.decode(row), row)
    for row in changed["recurring_jobs"].values():
        row["payload"]["newField"] = 1
    return changed


@pytest.mark.parametrize("collection", STORED, ids=lambda one: str(one.name))
def test_a_document_with_new_fields_everywhere_is_written_back_as_it_was(collection: Any) -> None:
    documents = as_written_by_the_next_revision(load_documents(THIS_RELEASE))
    for row in documents[collection.name].values():
        assert list_places(row)
        again = collection.encode(collection.decode(row))
        assert list_places(row) <= list_places(_as_lists(again))


def _as_lists(value: Any) -> Any:
    """The document with lists for tuples, as a store has it."""
    if isinstance(value, Mapping):
        return {name: _as_lists(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_as_lists(one) for one in value]
    return value


async def serve_all(
    documents: Documents, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> dict[str, Any]:
    """Read the documents of every collection by its routes."""
    jobs = await ask(ada, "GET", "/api/jobs?limit=100")
    failed = next(id_ for id_, row in documents["jobs"].items() if row["status"] == "FAILED")
    (endpoint,) = documents["webhook_endpoints"]
    (erasure,) = documents["erasures"]
    found: dict[str, Any] = {
        "jobs": jobs["jobs"],
        "account": await ask(ada, "GET", "/api/credits"),
        "ledger": (await ask(ada, "GET", "/api/credits/ledger"))["entries"],
        "caps": await ask(ada, "GET", "/api/credits/caps"),
        "recurring": (await ask(ada, "GET", "/api/jobs/recurring"))["recurringJobs"],
        "operations": (await ask(ada, "GET", "/api/operations"))["operations"],
        "uploads": (await ask(ada, "GET", "/api/uploads"))["uploads"],
        "endpoints": (await ask(ada, "GET", "/api/webhook-endpoints"))["endpoints"],
        "deliveries": (await ask(ada, "GET", f"/api/webhook-endpoints/{endpoint}/deliveries"))[
            "deliveries"
        ],
        "templates": (await ask(ada, "GET", "/api/templates"))["templates"],
        "projects": (await ask(ada, "GET", "/api/projects"))["projects"],
        "audit": (await ask(admin, "GET", "/api/audit?limit=100"))["entries"],
        "queues": (await ask(admin, "GET", "/api/jobs/queues/stats"))["queues"],
        "history": await ask(admin, "GET", f"/api/jobs/{failed}/history"),
        "groups": (await ask(admin, "GET", "/api/jobs/dead-letters"))["groups"],
        "statistics": await ask(admin, "GET", "/api/jobs/stats"),
        "providers": await ask(ada, "GET", "/api/providers"),
    }
    assert erasure.startswith("run_")
    return found


def with_a_filter_of_this_revision(documents: Documents) -> Documents:
    """As the next revision writes them, but an operation whose filter this one knows whole."""
    changed = as_written_by_the_next_revision(documents)
    for row in changed["operations"].values():
        del row["filter"]["newField"]
    return changed


@pytest.mark.parametrize("change", [deepcopy, with_a_filter_of_this_revision])
async def test_the_documents_of_every_collection_are_served_changed_and_lose_nothing(
    hooked: Hooked, admin: httpx.AsyncClient, change: Callable[[Documents], Documents]
) -> None:
    world, ada = hooked.world, hooked.ada
    documents = change(load_documents(THIS_RELEASE))
    await store_documents(world, documents)
    served = await serve_all(documents, ada, admin)
    for name in ("recurring", "operations", "uploads", "endpoints", "templates", "projects"):
        assert len(served[name]) == 1, name
    assert await restore_pauses(world.services) == ["image-generation-queue"]
    assert len(served["audit"]) == len(documents["audit"])
    (group,) = served["groups"]

    # What was under way goes on, and each document is changed by its owner or an admin.
    await ask(admin, "POST", f"{QUEUE}/resume", {"reason": "the rollout is over"})
    await ask(admin, "POST", BREAKER, {"state": None, "reason": "it is back"})
    await ask(ada, "PUT", "/api/templates/poster", {**SAVED, "defaults": {"animal": "owl"}})
    used = await ask(ada, "POST", "/api/templates/poster/jobs", {"parameters": {}})
    project = served["projects"][0]["projectId"]
    await ask(ada, "PUT", f"/api/projects/{project}/members/dan", {"role": "viewer"})
    await ask(ada, "PUT", f"/api/projects/{project}/caps", {"monthly": 50})
    endpoint = served["endpoints"][0]["endpointId"]
    await ask(ada, "PATCH", f"/api/webhook-endpoints/{endpoint}", {"description": "mine"})
    await ask(ada, "POST", f"/api/webhook-endpoints/{endpoint}/keys", {"overlapSeconds": 60})
    await ask(admin, "PUT", "/api/limits/ada", {"activeJobs": 8, "reason": "again"})
    for _ in range(10):
        await world.advance(1200)
        await world.sweep()
    await world.services.flush_records()

    found = await serve_all(documents, ada, admin)
    assert found["operations"][0]["state"] == "done"
    assert found["recurring"][0]["submitted"] > served["recurring"][0]["submitted"]
    assert {one["state"] for one in found["deliveries"]} == {"succeeded"}
    assert found["templates"][0]["version"]["version"] == 2
    assert (await ask(ada, "GET", f"/api/jobs/{used['jobId']}"))["status"] == "COMPLETED"
    assert found["groups"][0]["fingerprint"] == group["fingerprint"]
    report = await ask(admin, "POST", "/api/accounts/eve/erasure", {"reason": "asked"})
    assert report["phase"] == "done"

    stored = await read_documents(world, NAMES)
    for collection, rows in documents.items():
        for id_, row in rows.items():
            if is_meant_to_go(collection, id_, row, stored):
                continue
            lost = list_places(row) - list_places(stored[collection][id_])
            # An error that is over is no more, and of a breaker that is let go only its changes.
            assert {place for place in lost if ".error." not in place} == set(), (collection, id_)
    await ask(ada, "DELETE", f"/api/uploads/{served['uploads'][0]['uploadId']}")


def is_meant_to_go(collection: str, id_: str, row: dict[str, Any], stored: Documents) -> bool:
    """True for what belonged to the user whose erasure ended, and was removed for that."""
    if collection == "erasures":
        return id_ not in stored[collection]
    return "eve" in {id_, row.get("userId")} and id_ not in stored[collection]


# ── States that only the next revision knows ─────────────────────────────────────────────────────


def put_state(collection: str, field: str) -> Callable[[Documents], None]:
    def put(documents: Documents) -> None:
        for row in documents[collection].values():
            row[field] = "later"

    return put


def put_filter(documents: Documents) -> None:
    for row in documents["operations"].values():
        row["filter"]["onlyLarge"] = True


def put_key_kind(documents: Documents) -> None:
    for row in documents["webhook_endpoints"].values():
        row["signingKeys"][0]["kind"] = "v2"


def put_role(documents: Documents) -> None:
    for row in documents["projects"].values():
        row["members"][0]["role"] = "auditor"


#: The fields that tell how much of the work of a document is done.
WORK_DONE = {
    "recurring_jobs": ("submitted", "lastJobId"),
    "operations": ("seen", "state"),
    "webhook_deliveries": ("attempt", "state"),
}
#: The change by the next revision, and the collection whose work it must be left.
LATER = {
    "a state of a recurring job": (put_state("recurring_jobs", "state"), "recurring_jobs"),
    "a state of an operation": (put_state("operations", "state"), "operations"),
    "an action of an operation": (put_state("operations", "action"), "operations"),
    "a part of an operation's filter": (put_filter, "operations"),
    "a state of an endpoint": (put_state("webhook_endpoints", "state"), "webhook_deliveries"),
    "a kind of key": (put_key_kind, "webhook_deliveries"),
    "a state of a delivery": (put_state("webhook_deliveries", "state"), "webhook_deliveries"),
    "a form of a delivery": (put_state("webhook_deliveries", "form"), "webhook_deliveries"),
    "a role in a project": (put_role, None),
    "an override of a breaker": (put_state("breakers", "forced"), None),
    "a phase of an erasure": (put_state("erasures", "phase"), None),
}


@pytest.mark.parametrize(("put", "left"), LATER.values(), ids=LATER)
async def test_what_only_the_next_revision_knows_is_served_and_not_changed(
    hooked: Hooked,
    admin: httpx.AsyncClient,
    put: Callable[[Documents], None],
    left: str | None,
) -> None:
    """Neither done in another way nor failed: the next revision's instances find it as it was."""
    world, ada = hooked.world, hooked.ada
    documents = load_documents(THIS_RELEASE)
    put(documents)
    await store_documents(world, documents)
    await serve_all(documents, ada, admin)
    for _ in range(5):
        await world.advance(1200)
        swept = await world.sweep()
        assert not [name for name in swept if "crash" in name], swept
    await serve_all(documents, ada, admin)

    stored = await read_documents(world, NAMES)
    known = {
        name: {id_: row for id_, row in stored[name].items() if id_ in documents[name]}
        for name in NAMES
    }
    again = deepcopy(known)
    put(again)
    assert again == known, "a value of the next revision was replaced"
    if left is not None:
        before, after = (
            [[row.get(name) for name in WORK_DONE[left]] for _, row in sorted(rows[left].items())]
            for rows in (documents, known)
        )
        assert before == after
    if left == "recurring_jobs":
        assert set(stored["jobs"]) == set(documents["jobs"]), "a run was made"
