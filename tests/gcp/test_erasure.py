"""An erasure on Google's adapters: the proof reads Firestore and the bucket, and finds nothing."""

from __future__ import annotations

from typing import Any

import pytest

from simulation.world import token
from taskreel import wiring
from taskreel.ports import Query, undecoded_collection
from taskreel.store_collections import STORED

from .deployment import Deployment

pytestmark = pytest.mark.emulator

PERSON = "ada.lovelace@example.com"
PICTURE = {"prompt": "a lighthouse", "options": {"width": 64, "height": 64}}


@pytest.fixture
def interceptors() -> list[Any]:
    return []


async def test_a_person_with_real_jobs_is_erased(cloud: Deployment) -> None:
    ada = {"authorization": f"Bearer {token(PERSON)}"}
    root = {"authorization": f"Bearer {token('root', role='admin')}"}
    hook = {"url": "https://example.com/hooks", "events": ["webhook.test"]}
    for path, body in (
        ("/api/webhook-endpoints", hook),
        ("/api/uploads", {"name": "a.png", "contentType": "image/png", "bytes": 1}),
        ("/api/jobs/delayed", {"jobType": "image-generation", "data": PICTURE, "delay": 9_000_000}),
        ("/api/jobs/image-generation", PICTURE),
        ("/api/jobs/image-generation", PICTURE),
    ):
        answer = await cloud.api.post(path, json=body, headers=ada)
        assert answer.is_success, f"{path}: {answer.text}"
    kept = await cloud.api.post("/api/jobs/image-generation", json=PICTURE)
    await cloud.wait_for_deliveries(3)

    path = f"/api/accounts/{PERSON}/erasure"
    for _ in range(10):
        answer = await cloud.api.post(path, json={"dryRun": False}, headers=root)
        assert answer.is_success, answer.text
        if answer.status_code == 200:
            break
    report = answer.json()
    assert (report["phase"], report["proof"]["found"]) == ("done", {})
    assert (report["removed"]["jobs"], report["removed"]["files"]) == (3, 2)

    services = wiring.services()
    for collection in STORED:
        raw = undecoded_collection(collection.name)
        for row in await services.store.query(Query(collection=raw)):
            assert PERSON not in f"{row.id} {row.data}", collection.name
    files = [one async for one in services.blobs.list_paths("")]
    assert len(files) == report["proof"]["files"] == 1
    assert kept.json()["jobId"] in files[0]
