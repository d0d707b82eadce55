"""The security rules in Google's emulator: clients read their own documents and write none."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from .declarations import ROOT

pytestmark = pytest.mark.emulator

#: Collection → the document of ada, and the document of bob.
DOCUMENTS = {
    "jobs": ("job-a", "job-b"),
    "ledger": ("entry-a", "entry-b"),
    "accounts": ("ada", "bob"),
}


def token(user: str) -> dict[str, str]:
    """Return a token as a Firebase client sends it; the emulator checks no signature."""

    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = {
        "sub": user,
        "user_id": user,
        "iss": "https://securetoken.google.com/rules",
        "aud": "rules",
    }
    return {"Authorization": f"Bearer {part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}."}


OWNER = {"Authorization": "Bearer owner"}


@pytest.fixture(scope="module")
def documents(firestore_address: str) -> Iterator[httpx.Client]:
    """A project with our rules and a document of each kind for two users."""
    with httpx.Client(base_url=f"http://{firestore_address}", timeout=30) as client:
        rules = {
            "name": "firestore.rules",
            "content": (ROOT / "infra/firestore.rules").read_text("utf-8"),
        }
        body = {"rules": {"files": [rules]}}
        assert client.put("/emulator/v1/projects/rules:securityRules", json=body).is_success
        client.base_url = httpx.URL(
            f"http://{firestore_address}/v1/projects/rules/databases/(default)/documents"
        )
        for collection, names in DOCUMENTS.items():
            for user, name in zip(("ada", "bob"), names, strict=True):
                fields = {"fields": {"userId": {"stringValue": user}}}
                assert client.patch(f"/{collection}/{name}", json=fields, headers=OWNER).is_success
        yield client


def owned_query(collection: str, user: str | None) -> dict[str, Any]:
    query: dict[str, Any] = {"from": [{"collectionId": collection}]}
    if user:
        field = {"field": {"fieldPath": "userId"}, "op": "EQUAL", "value": {"stringValue": user}}
        query["where"] = {"fieldFilter": field}
    return {"structuredQuery": query}


@pytest.mark.parametrize("collection", DOCUMENTS)
def test_users_read_their_own_documents_and_no_others(
    documents: httpx.Client, collection: str
) -> None:
    own, other = DOCUMENTS[collection]
    assert documents.get(f"/{collection}/{own}", headers=token("ada")).status_code == 200
    assert documents.get(f"/{collection}/{other}", headers=token("ada")).status_code == 403
    assert documents.get(f"/{collection}/{own}").status_code == 403


@pytest.mark.parametrize("collection", ["jobs", "ledger"])
def test_a_list_must_ask_for_ones_own(documents: httpx.Client, collection: str) -> None:
    def ask(user: str | None) -> httpx.Response:
        url = f"{str(documents.base_url).rstrip('/')}:runQuery"
        return documents.post(url, json=owned_query(collection, user), headers=token("ada"))

    own = ask("ada")
    assert own.status_code == 200
    assert [row["document"]["name"].rpartition("/")[2] for row in own.json()] == [
        DOCUMENTS[collection][0]
    ]
    assert ask("bob").status_code == 403
    assert ask(None).status_code == 403


@pytest.mark.parametrize("collection", [*DOCUMENTS, "anything"])
def test_no_client_writes(documents: httpx.Client, collection: str) -> None:
    own = DOCUMENTS.get(collection, ("new", ""))[0]
    fields = {
        "fields": {"userId": {"stringValue": "ada"}, "available": {"integerValue": "1000000"}}
    }
    assert (
        documents.patch(f"/{collection}/{own}", json=fields, headers=token("ada")).status_code
        == 403
    )
    assert documents.post(f"/{collection}", json=fields, headers=token("ada")).status_code == 403
    assert documents.delete(f"/{collection}/{own}", headers=token("ada")).status_code == 403


def test_other_collections_are_closed(documents: httpx.Client) -> None:
    assert documents.get("/anything/at-all", headers=token("ada")).status_code == 403
