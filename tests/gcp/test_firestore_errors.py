"""The errors of the Firestore store: their reasons, and the command to run for each."""

from __future__ import annotations

import time

import pytest
from google.cloud.firestore_v1.types import document

from contract.rows import ROWS
from taskreel.adapters.gcp import google_client
from taskreel.adapters.gcp.error_advice import Service, explain_error
from taskreel.adapters.gcp.firestore import FirestoreStore
from taskreel.adapters.gcp.firestore.codec import decode_fields, encode_fields
from taskreel.domain.errors import (
    StoreError,
    StoreRefusedError,
)
from taskreel.ports import Query
from taskreel_local.emulators.google_emulators import free_port

from .calls import silent_server
from .firestore_rows import NewStore, put

pytestmark = pytest.mark.emulator

FIRESTORE = Service(
    name="Firestore",
    api="firestore.googleapis.com",
    role="roles/datastore.user",
    provision="scripts/provision",
)


@pytest.mark.parametrize(
    ("code", "details", "command"),
    [
        (
            "FAILED_PRECONDITION",
            "The query requires an index. You can create it here: https://c",
            "scripts/provision",
        ),
        (
            "PERMISSION_DENIED",
            "Cloud Firestore API has not been used in project 1 before or it is disabled.",
            "enable",
        ),
        ("PERMISSION_DENIED", "Missing or insufficient permissions.", "roles/datastore.user"),
        ("NOT_FOUND", "The database (default) does not exist for project p.", "scripts/provision"),
        (
            "UNAUTHENTICATED",
            "Request had invalid authentication credentials.",
            "scripts/setup-local-auth.sh",
        ),
        (
            "UNAVAILABLE",
            "Getting metadata from plugin failed with error: invalid_grant",
            "scripts/setup-local-auth.sh",
        ),
        ("RESOURCE_EXHAUSTED", "Quota exceeded.", "scripts/doctor"),
        ("UNAVAILABLE", "failed to connect to all addresses", "scripts/doctor"),
    ],
)
def test_an_error_names_the_service_and_the_command_to_run(
    code: str, details: str, command: str
) -> None:
    text = explain_error(FIRESTORE, "projects/p/databases/(default)", code, details)
    assert command in text
    assert details in text


async def test_the_error_of_an_emulator_that_is_down_names_how_to_start_it() -> None:
    store = FirestoreStore("p", emulator=f"127.0.0.1:{free_port()}")
    with pytest.raises(StoreError, match="scripts/dev --google-emulators"):
        await store.get(ROWS, "a")
    await store.close()


async def test_a_firestore_that_hangs_is_given_up_within_the_time_of_one_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(google_client, "TRY_SECONDS", 0.4)
    monkeypatch.setattr(google_client, "CALL_SECONDS", 2.0)
    async with silent_server() as (address, heard):
        store = FirestoreStore("p", emulator=address)
        for call in (
            store.get(ROWS, "a"),
            store.query(Query(collection=ROWS)),
            put(store, "a", n=1),
        ):
            heard.clear()
            began = time.monotonic()
            with pytest.raises(StoreError, match="DEADLINE_EXCEEDED"):
                await call
            assert time.monotonic() - began < 10  # tries without end would go on
            assert len(heard) >= 2
        await store.close()


async def test_without_credentials_the_error_names_the_script_that_gets_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nonexistent/key.json")
    with pytest.raises(StoreError, match=r"scripts/setup-local-auth\.sh"):
        await FirestoreStore("p").get(ROWS, "a")


async def test_a_request_that_firestore_refuses_is_a_store_error(new_store: NewStore) -> None:
    with pytest.raises(StoreRefusedError, match="INVALID_ARGUMENT"):
        await new_store().query(Query(collection=ROWS, limit=-1))


def test_names_that_firestore_refuses_are_escaped_and_restored() -> None:
    message = document.Document.pb()()
    data = {"": 1, "__x__": 2, "~": 3, "~[]": [[4]], "[]": [[]], "plain": [[1, [2]], {"__y__": []}]}
    encode_fields(data, message.fields)
    assert decode_fields(message.fields) == data
    assert not any(name == "" or name.startswith("__") for name in message.fields)
