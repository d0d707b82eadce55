"""The use of Google's generated clients: time limits, headers, endpoints and credentials."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.rows import ROWS
from taskreel import wiring
from taskreel.adapters.gcp import google_client
from taskreel.adapters.gcp.cloud_tasks import CloudTasks
from taskreel.adapters.gcp.firestore import FirestoreStore
from taskreel.adapters.gcp.google_client import CALL_SECONDS, TRY_SECONDS
from taskreel.adapters.local.task_delivery import Delivery
from taskreel.config import Settings
from taskreel.ports import Query, Transaction
from taskreel.service_building import build_queues, build_store
from taskreel_local.emulators.google_emulators import LocalStorage

from .calls import CountedStreams, CountedUnaryCalls

NewStore = Callable[..., FirestoreStore]
PREFIX = "google-cloud-resource-prefix"


def cloud_tasks(**options: Any) -> CloudTasks:
    return CloudTasks(project="p", location="l", target_url="http://x", internal_key="k", **options)


@pytest.fixture
def key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local_storage: LocalStorage) -> None:
    """Credentials of a service account, as the environment gives them to any Google client."""
    path = tmp_path / "key.json"
    key = {"type": "service_account", "token_uri": "https://x", "project_id": "p"}
    path.write_text(json.dumps({**key, **local_storage.signing_key}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))


@pytest.mark.emulator
async def test_every_call_has_a_time_limit_and_names_its_database(
    new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert TRY_SECONDS < CALL_SECONDS
    # An emulator that other work slows down may take longer for its first call.
    monkeypatch.setattr(google_client, "TRY_SECONDS", 50.0)
    monkeypatch.setattr(google_client, "CALL_SECONDS", 100.0)
    unary, streams = CountedUnaryCalls(), CountedStreams()
    store = new_store([unary, streams])

    async def write(tx: Transaction) -> None:
        tx.set(ROWS, "a", {"n": 1})

    await store.transaction(write)
    await store.get(ROWS, "a")
    await store.query(Query(collection=ROWS))
    await store.aggregate(Query(collection=ROWS), total=["n"])
    # Once each, or several times: a call is tried again where the emulator has failed for a moment.
    called = dict.fromkeys(name for name, _ in [*unary.calls, *streams.calls])
    assert list(called) == ["Commit", "BatchGetDocuments", "RunQuery", "RunAggregationQuery"]
    for timeout in [*unary.timeouts, *streams.timeouts]:
        assert timeout is not None
        assert 0 < timeout <= 50
    for metadata in [*unary.metadata, *streams.metadata]:
        assert metadata[PREFIX].endswith("/databases/(default)")
        assert "/databases/%28default%29" in metadata["x-goog-request-params"]
        assert metadata["authorization"] == "Bearer owner"


@pytest.mark.usefixtures("key_file")
async def test_quota_project_and_universe_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "payer")
    monkeypatch.setenv("GOOGLE_CLOUD_UNIVERSE_DOMAIN", "apis.example")
    store, tasks = FirestoreStore("p"), cloud_tasks()
    database, queues = store._connect(), tasks._connect()
    assert database._client.api_endpoint == "firestore.apis.example"
    assert queues._client.api_endpoint == "cloudtasks.apis.example"
    for transport in (database._client.transport, queues._client.transport):
        credentials: Any = transport._credentials
        assert credentials.quota_project_id == "payer"
    await store.close()
    await tasks.close()


async def answer(_delivery: Delivery) -> int:
    return 200


@pytest.mark.usefixtures("key_file")
async def test_an_endpoint_in_the_url_replaces_the_client_s_own() -> None:
    settings = Settings(
        store_url="firestore://p?endpoint=eur3-firestore.googleapis.com",
        tasks_url="cloudtasks://p/l?endpoint=cloudtasks.example:8443",
        internal_api_key="an-internal-key-of-this-test",
    )
    store = build_store(settings)
    tasks = build_queues(settings, wiring.SystemClock(), answer)
    assert isinstance(store, FirestoreStore)
    assert isinstance(tasks, CloudTasks)
    assert store._connect()._client.api_endpoint == "eur3-firestore.googleapis.com"
    assert tasks._connect()._client.api_endpoint == "cloudtasks.example:8443"
    await store.close()
    await tasks.close()


@pytest.mark.parametrize(
    ("url", "used"),
    [
        ("firestore://p", "127.0.0.1:1"),
        ("firestore://p?emulator=127.0.0.1:2", "127.0.0.1:2"),
    ],
)
async def test_the_emulator_is_found_by_google_s_variable_or_by_the_url(
    url: str, used: str
) -> None:
    environ = {"STORE_URL": url, "FIRESTORE_EMULATOR_HOST": "127.0.0.1:1"}
    environ["INTERNAL_API_KEY"] = "an-internal-key-of-this-test"
    store = build_store(Settings.from_environment(environ, {}))
    assert isinstance(store, FirestoreStore)
    assert store._connect()._client.api_endpoint == used
    await store.close()
