"""Whole jobs near the size of a document, on Google's own Firestore emulator.

It counts as Firestore does and refuses what is larger than 1 MiB; `tests/functions` has the same
cases on the embedded store, where nothing but our own count refuses them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from functions.job_requests import IMAGE, NOOP, read_balance, read_job
from functions.test_large_documents import add_to_result
from taskreel.adapters.gcp.firestore import FirestoreStore
from taskreel.app.jobs.job_store import MAX_PAYLOAD_BYTES, measure_bytes
from taskreel.domain.errors import StoreError
from taskreel.ports import Transaction, undecoded_collection
from taskreel_local.emulators.google_emulators import LocalStorage

from .deployment import Deployment, run_deployment

pytestmark = pytest.mark.emulator

RAW = undecoded_collection("jobs")
#: A document may take 1 MiB, of which its name (`jobs/job_1`) takes 27 bytes and 32 are added.
MOST_BYTES = 1_048_576 - 27 - 32
SHAPES: dict[str, Mapping[str, Any]] = {
    "texts": {"texts": ["é" * 100] * 900},
    "numbers": {"numbers": [1, 0.5, True, None] * 10_000},
    "names": {"nested": {f"name {number}": {"deep": ["x"]} for number in range(9000)}},
}


async def set_document(store: FirestoreStore, job_id: str, data: Mapping[str, Any]) -> None:
    async def write(tx: Transaction) -> None:
        tx.set(RAW, job_id, data)

    await store.transaction(write)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
async def test_our_count_of_a_documents_size_is_googles_to_the_byte(
    new_store: Callable[..., FirestoreStore], shape: Mapping[str, Any]
) -> None:
    store = new_store()
    room = MOST_BYTES - measure_bytes({**shape, "rest": ""})

    await set_document(store, "job_1", {**shape, "rest": "x" * room})
    with pytest.raises(StoreError):
        await set_document(store, "job_1", {**shape, "rest": "x" * (room + 1)})


@pytest.fixture
def interceptors() -> list[Any]:
    return []


@pytest.fixture
def payload() -> dict[str, Any]:
    """The largest payload of a job, to the byte: many values, and one long text."""
    options = {**NOOP["options"], "providerOptions": {"x": [1, "kite"] * 10_000, "rest": ""}}
    body = {**NOOP, "options": options}
    options["providerOptions"]["rest"] = "x" * (MAX_PAYLOAD_BYTES - measure_bytes(body))
    return body


async def read_charges(cloud: Deployment) -> tuple[int, int]:
    """The credits that the caller's account holds, and those that were captured."""
    balance = await read_balance(cloud.api)
    return balance["held"], balance["captured"]


@pytest.mark.parametrize(("characters", "status"), [(285_000, "COMPLETED"), (301_000, "FAILED")])
async def test_a_job_as_large_as_a_document_is_submitted_run_settled_and_read(
    cloud: Deployment,
    payload: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    characters: int,
    status: str,
) -> None:
    add_to_result(monkeypatch, characters)
    answer = await cloud.api.post(IMAGE, json=payload)
    assert answer.status_code == 202, answer.text
    await cloud.wait_for_deliveries(1)
    job = await read_job(cloud.api, answer.json())
    listed = (await cloud.api.get("/api/jobs")).json()["jobs"]
    assert [one["status"] for one in listed] == [job["status"]] == [status]
    assert "payload" not in listed[0]
    if status == "COMPLETED":
        assert job["payload"]["options"] == payload["options"]
        assert await read_charges(cloud) == (0, 1)
    else:
        assert job["error"]["code"] == "document_too_large"
        assert await read_charges(cloud) == (0, 0)


async def test_a_payload_that_leaves_no_room_is_refused_before_it_is_charged(
    cloud: Deployment, payload: dict[str, Any]
) -> None:
    payload["options"]["providerOptions"]["rest"] += "x"
    answer = await cloud.api.post(IMAGE, json=payload)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert await read_charges(cloud) == (0, 0)
    assert (await cloud.api.get("/api/jobs")).json()["jobs"] == []


@pytest.mark.parametrize("is_cancelled", [True, False])
async def test_a_job_of_an_earlier_version_that_no_write_fits_into_still_ends(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    firestore_address: str,
    local_storage: LocalStorage,
    *,
    is_cancelled: bool,
) -> None:
    """Such jobs of up to 1 MiB held their credits for ever: every claim of them was refused."""
    project = f"test-{uuid4().hex}"
    async with run_deployment(
        tmp_path, monkeypatch, firestore_address, local_storage, project=project
    ) as cloud:
        later = (cloud.clock.now() + timedelta(hours=1)).isoformat()
        answer = await cloud.api.post(IMAGE, json={**NOOP, "scheduleAt": later})
        job = answer.json()
        await fill_document(FirestoreStore(project, emulator=firestore_address), job["jobId"])
        if is_cancelled:
            answer = await cloud.api.delete(f"{IMAGE}/{job['jobId']}")
            assert answer.status_code == 200, answer.text
        else:
            cloud.clock.ahead = timedelta(hours=2)
            await cloud.sweep()
        job = await read_job(cloud.api, job)
        if is_cancelled:
            assert job["status"] == "CANCELLED"
        else:
            assert (job["status"], job["error"]["code"]) == ("FAILED", "document_too_large")
        assert await read_charges(cloud) == (0, 0)


async def fill_document(store: FirestoreStore, job_id: str) -> None:
    """Fill the job's document up to the last byte that Firestore takes."""
    name_bytes = len("jobs") + 1 + len(job_id) + 1 + 16
    found = await store.get(RAW, job_id)
    assert found is not None
    payload = {**found["payload"], "options": {**NOOP["options"], "providerOptions": {"x": ""}}}
    room = 1_048_576 - 32 - name_bytes - measure_bytes({**found, "payload": payload})
    payload["options"]["providerOptions"]["x"] = "x" * room
    await set_document(store, job_id, {**found, "payload": payload})
    await store.close()
