"""Deployed functions without the key of an encrypted Firestore store: they refuse."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from functions.job_requests import expect_problem
from taskreel.adapters.encryption.data_keys import DataKeys
from taskreel.adapters.encryption.encrypted_store import EncryptedStore
from taskreel.adapters.gcp.firestore import FirestoreStore
from taskreel.adapters.local.key_file import KEY_BYTES, LocalKey
from taskreel.domain.errors import EncryptionKeyError
from taskreel.ports import Collection, Query, Transaction, undecoded_collection
from taskreel_local.emulators.google_emulators import LocalStorage

from .deployment import run_deployment
from .test_operation_budget import PLAIN

pytestmark = pytest.mark.emulator

TEMPLATES: Collection[Mapping[str, Any]] = Collection("job_templates", dict, dict)
STORED_JOBS = undecoded_collection("jobs")


async def encrypt_template(store: FirestoreStore) -> None:
    """Write an encrypted document, and with it the first data key."""
    encrypted = EncryptedStore(store, DataKeys(store, [LocalKey(b"k" * KEY_BYTES)]))

    async def write(tx: Transaction) -> None:
        tx.set(TEMPLATES, "a", {"name": "night", "versions": [{"prompt": "a kite"}]})

    await encrypted.transaction(write)


async def test_without_the_key_of_firestore_s_documents_nothing_is_read_or_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    firestore_address: str,
    local_storage: LocalStorage,
) -> None:
    project = f"test-{uuid4().hex}"
    store = FirestoreStore(project, emulator=firestore_address)
    await encrypt_template(store)
    async with run_deployment(
        tmp_path, monkeypatch, firestore_address, local_storage, project=project
    ) as cloud:
        for answer in (
            await cloud.api.post("/api/jobs/image-generation", json=PLAIN),
            await cloud.api.get("/api/jobs"),
            await cloud.api.get("/api/credits"),
        ):
            problem = expect_problem(answer, 503, "encryption_key_unavailable")
            assert problem["detail"] == EncryptionKeyError.caller_text
            assert "retry-after" not in answer.headers
        assert (await cloud.api.get("/api/jobs/health")).status_code == 503
    assert await store.query(Query(collection=STORED_JOBS)) == []
    (row,) = await store.query(Query(collection=TEMPLATES))
    assert "versions" not in row.data
    await store.close()
