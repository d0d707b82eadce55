"""Encryption at rest: nothing of what people wrote is in the file, and everything still works."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from random import SystemRandom
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from functions.job_requests import IMAGE, image_request, submit_job
from functions.test_audit import audit
from functions.test_erasure import PERSON, erase, fill_store, read_everything
from simulation.world import World, running
from taskreel.adapters.encryption.encrypted_store import EncryptedStore
from taskreel.adapters.encryption.protected_fields import PROTECTED_FIELDS
from taskreel.adapters.encryption.reencrypt import UNREADABLE, reencrypt_documents
from taskreel.adapters.logged_store import LoggedStore
from taskreel.app.health import REPORT_AGE, HealthMonitor
from taskreel.app.indexes import LOCAL_INDEXES
from taskreel.app.services import Services
from taskreel.domain.errors import EncryptionKeyError, StoreError, UnreadableDocumentError
from taskreel.domain.health import Health, MachineFacts
from taskreel.domain.stored_record import StoredRecord
from taskreel.domain.value import Value
from taskreel.ports import Query, Transaction, undecoded_collection
from taskreel.ports.store import SEALED
from taskreel.store_collections import DATA_KEYS, JOBS, STORED

MARKER = "zanzibar-lighthouse"
PICTURE = image_request("slow", seconds=0) | {"prompt": f"a {MARKER} in a storm"}
KEY, OTHER_KEY = ("key:" + base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))


def open_world(folder: Path, patch: pytest.MonkeyPatch, key: str | None, **changes: Any) -> Any:
    settings: dict[str, Any] = {"encryption_key": key} if key else {}

    def draw_other_ids(services: Services) -> Services:
        """A world draws its ids from a seed: two of them over one store must not draw the same."""
        return replace(services, random=SystemRandom())

    return running(
        folder,
        patch,
        store_url=f"sqlite:////{folder}/store.db",
        change=draw_other_ids,
        **settings,
        **changes,
    )


def read_files(folder: Path) -> bytes:
    """The store's file, and what SQLite has not yet moved into it."""
    return b"".join(path.read_bytes() for path in sorted(folder.glob("store.db*")))


def encrypted(world: World) -> EncryptedStore:
    logged = world.services.store
    assert isinstance(logged, LoggedStore)
    assert isinstance(logged.inner, EncryptedStore)
    return logged.inner


async def read_stored(world: World, collection: str) -> dict[str, Mapping[str, Any]]:
    """The documents as they are in the file."""
    raw = undecoded_collection(collection)
    return {row.id: row.data for row in await world.sqlite.query(Query(collection=raw))}


async def write_everything(world: World) -> tuple[httpx.AsyncClient, httpx.AsyncClient]:
    """A document of every kind that a person leaves, with the marker in what they wrote."""
    ada, admin = world.as_user(PERSON), world.as_user("root", role="admin")
    await fill_store(world, ada, admin)
    template = {"name": "night", "jobType": "image-generation", "data": PICTURE}
    recurring = {"jobType": "image-generation", "data": PICTURE, "cronExpression": "0 * * * *"}
    story = {"prompt": f"a {MARKER}", "provider": "studio"}
    for path, body in (
        ("/api/templates", template),
        ("/api/jobs/recurring", recurring),
        ("/api/uploads", {"name": f"{MARKER}.png", "contentType": "image/png", "bytes": 1}),
        (IMAGE, PICTURE),
        ("/api/jobs/story-generation", story),
        (IMAGE, image_request("fail-permanent") | {"prompt": MARKER}),
        (
            "/api/operations",
            {
                "action": "replay",
                "filter": {"status": ["FAILED"], "text": MARKER},
                "edit": {"prompt": f"another {MARKER}"},
                "limit": 1,
            },
        ),
    ):
        answer = await ada.post(path, json=body)
        assert answer.is_success, f"{path}: {answer.text}"
    await world.advance(60)
    await world.services.store.durable()
    return ada, admin


async def test_nothing_that_people_wrote_is_in_the_file_and_all_of_it_is_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path, monkeypatch, KEY) as world:
        ada, _ = await write_everything(world)
        for name, protected in PROTECTED_FIELDS.items():
            for id_, data in (await read_stored(world, name)).items():
                assert protected.isdisjoint(data), f"{name}/{id_}"
                assert SEALED in data, f"{name}/{id_}"
        for collection in STORED:
            for id_, data in (await read_stored(world, collection.name)).items():
                naming = [name for name, value in data.items() if MARKER in str(value)]
                assert naming == [], f"{collection.name}/{id_}"
        assert MARKER.encode() not in read_files(tmp_path)

        found = (await ada.get("/api/jobs", params={"text": MARKER, "limit": 50})).json()["jobs"]
        assert len(found) >= 3
        job = await submit_job(ada, PICTURE)
        await world.advance(5)
        shown = (await ada.get(f"/api/jobs/{job['jobId']}")).json()
        assert shown["payload"]["prompt"] == PICTURE["prompt"]
        replay = await ada.post(f"{IMAGE}/{job['jobId']}/replay", json={})
        assert replay.json()["payload"]["prompt"] == PICTURE["prompt"]
        assert MARKER in (await ada.get("/api/templates/night")).text
    assert MARKER.encode() not in read_files(tmp_path)


async def test_without_encryption_the_same_words_are_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path, monkeypatch, None) as world:
        await write_everything(world)
        assert MARKER.encode() in read_files(tmp_path)
        assert not await world.sqlite.query(Query(collection=DATA_KEYS))


async def test_an_erasure_finds_everything_and_an_audit_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path, monkeypatch, KEY) as world:
        _, admin = await write_everything(world)
        assert not (await audit(world)).violations
        report = await erase(world, admin)
        assert report["proof"]["found"] == {}
        after = await read_everything(world)
        naming = [path for path, data in after.items() if PERSON in path or PERSON in str(data)]
        assert [path.partition("/")[0] for path in naming] == ["jobs"]  # bob's own words
        assert not (await audit(world)).violations


async def test_another_key_is_refused_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path, monkeypatch, KEY) as world:
        job = await submit_job(world.as_user(), PICTURE)
        await world.advance(5)
    async with open_world(tmp_path, monkeypatch, OTHER_KEY) as world:
        with pytest.raises(EncryptionKeyError, match="Set ENCRYPTION_KEY to the key that has"):
            await world.services.store.get(JOBS, job["jobId"])
        assert (await world.as_user().post(IMAGE, json=PICTURE)).status_code == 503
        assert len(await world.sqlite.query(Query(collection=DATA_KEYS))) == 1


async def test_without_its_key_a_store_says_that_it_is_encrypted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path, monkeypatch, KEY) as world:
        await write_everything(world)
    async with open_world(tmp_path, monkeypatch, None) as world:
        for collection in STORED:
            if collection.name not in PROTECTED_FIELDS:
                continue
            for id_ in await read_stored(world, collection.name):
                with pytest.raises(UnreadableDocumentError, match="ENCRYPTION_KEY is not set"):
                    await world.sqlite.get(collection, id_)
                with pytest.raises(EncryptionKeyError, match="ENCRYPTION_KEY is not set"):
                    await world.services.store.get(collection, id_)


@pytest.mark.parametrize("key", [OTHER_KEY, None], ids=["another_key", "no_key"])
async def test_health_says_that_the_key_of_the_store_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    async with open_world(tmp_path, monkeypatch, KEY) as world:
        await submit_job(world.as_user(), PICTURE)
        assert (await world.api.get("/api/jobs/health")).json()["status"] == "healthy"
    async with open_world(tmp_path, monkeypatch, key) as world:
        for _ in range(2):
            answer = await world.api.get("/api/jobs/health")
            assert answer.status_code == 503
            (reason,) = answer.json()["reasons"]
            assert reason.startswith("store: ENCRYPTION_KEY is not set, or is not the key")
            await world.advance(REPORT_AGE.total_seconds())


async def test_health_reads_the_data_keys_once_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    async def count() -> None:
        asked.append(1)

    async with open_world(tmp_path, monkeypatch, None) as world:
        monitor = HealthMonitor(replace(world.services, check_encryption=count), MachineFacts)
        for seconds in (0, 10, 30, 30):
            await world.advance(seconds)
            assert (await monitor.read_report()).store.verdict.status is Health.HEALTHY
    assert len(asked) == 2


async def test_a_caller_is_not_asked_to_wait_for_a_wrong_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path, monkeypatch, KEY) as world:
        await submit_job(world.as_user(), PICTURE)
    async with open_world(tmp_path, monkeypatch, OTHER_KEY) as world:
        answer = await world.as_user().post(IMAGE, json=PICTURE)
        assert answer.status_code == 503
        problem = answer.json()
        assert problem["code"] == "encryption_key_unavailable"
        assert "Try again" not in problem["detail"]
        assert "retry-after" not in answer.headers
        assert "ENCRYPTION_KEY" in problem["detail"]
        assert "local:" not in problem["detail"]  # the names of keys are in the log alone


async def test_a_new_key_encrypts_and_the_old_one_still_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path, monkeypatch, KEY) as world:
        old = await submit_job(world.as_user(), PICTURE)
        await world.advance(5)
    async with open_world(tmp_path, monkeypatch, f"{OTHER_KEY},{KEY}") as world:
        new = await submit_job(world.as_user(), PICTURE)
        await world.advance(5)
        stored = await read_stored(world, "jobs")
        texts = [str(stored[job["jobId"]][SEALED]).split(".")[1] for job in (old, new)]
        assert len(set(texts)) == 2
        shown = await world.as_user().get(f"/api/jobs/{old['jobId']}")
        assert shown.json()["payload"]["prompt"] == PICTURE["prompt"]
        await reencrypt_documents(encrypted(world))
    # The old key is needed no more.
    async with open_world(tmp_path, monkeypatch, OTHER_KEY) as world:
        shown = await world.as_user().get(f"/api/jobs/{old['jobId']}")
        assert shown.json()["payload"]["prompt"] == PICTURE["prompt"]


async def test_turning_it_on_and_a_rotation_encrypt_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path, monkeypatch, None) as world:
        await write_everything(world)
        before = await read_everything(world)
    async with open_world(tmp_path, monkeypatch, KEY) as world:
        # The start of a process may have moved a job on: what nobody touched is in clear.
        assert any("payload" in data for data in (await read_stored(world, "jobs")).values())
        first = await reencrypt_documents(encrypted(world))
        assert {*first} >= {"jobs", "job_templates", "recurring_jobs", "uploads"}
        assert UNREADABLE not in first
        await encrypted(world).keys.rotate()
        second = await reencrypt_documents(encrypted(world))
        assert second.total() >= first.total()
        assert (await reencrypt_documents(encrypted(world))).total() == 0
        after = await read_everything(world)
        templates = [path for path in before if path.startswith("job_templates/")]
        assert templates
        assert all(after[path] == before[path] for path in templates)
        for name, protected in PROTECTED_FIELDS.items():
            for data in (await read_stored(world, name)).values():
                assert protected.isdisjoint(data)


async def test_a_document_that_was_changed_or_moved_is_refused_and_stops_no_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path, monkeypatch, KEY) as world:
        ada = world.as_user()
        ids = [(await submit_job(ada, PICTURE))["jobId"] for _ in range(3)]
        await world.advance(5)
        stored = await read_stored(world, "jobs")
        sealed = str(stored[ids[1]][SEALED])
        flipped = "A" if sealed[-10] != "A" else "B"
        changes = {
            ids[0]: sealed,  # another's
            ids[1]: sealed[:-10] + flipped + sealed[-9:],
        }
        raw = undecoded_collection("jobs")

        async def tamper(tx: Transaction) -> None:
            for id_, text in changes.items():
                tx.set(raw, id_, {**stored[id_], SEALED: text})

        await world.sqlite.transaction(tamper)
        for id_ in changes:
            with pytest.raises(UnreadableDocumentError, match="or the document was changed"):
                await world.services.store.get(JOBS, id_)
        listed = await ada.get("/api/jobs")
        assert ids[2] in [job["jobId"] for job in listed.json()["jobs"]]
        counts = await reencrypt_documents(encrypted(world))
        assert counts[UNREADABLE] == 0  # the newest key is theirs: nothing to do
        await encrypted(world).keys.rotate()
        assert (await reencrypt_documents(encrypted(world)))[UNREADABLE] == 2


async def test_a_protected_field_is_not_changed_without_a_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path, monkeypatch, KEY) as world:
        job = await submit_job(world.as_user(), PICTURE)

        async def change(tx: Transaction) -> None:
            tx.update(JOBS, job["jobId"], {"payload": {}})

        with pytest.raises(StoreError, match="encrypted as one"):
            await world.services.store.transaction(change)


def test_no_query_needs_a_protected_field() -> None:
    for index in LOCAL_INDEXES:
        protected = PROTECTED_FIELDS.get(index.collection, frozenset())
        assert protected.isdisjoint(name.partition(".")[0] for name, _ in index.fields)


def test_each_collection_protects_a_field_without_which_it_cannot_be_read() -> None:
    """Without the key a document must not pass for one with empty fields, and be written back."""
    names = {collection.name for collection in STORED}
    assert PROTECTED_FIELDS.keys() <= names
    models = {
        getattr(collection.decode, "__self__", None): collection.name for collection in STORED
    }
    for kind, name in models.items():
        model: Any = kind
        if isinstance(kind, type) and issubclass(kind, StoredRecord):
            model = kind.reader()
        if name not in PROTECTED_FIELDS or not (
            isinstance(model, type) and issubclass(model, Value)
        ):
            continue
        required = {
            field.alias or key for key, field in model.model_fields.items() if field.is_required()
        }
        assert PROTECTED_FIELDS[name] & required, name


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("secret", "ENCRYPTION_KEY must be file:PATH"),
        ("key:c2hvcnQ=", "32 random bytes in base64"),
        ("gcp-kms://projects/p/keyRings/r", "is not of the form"),
        ("file:/nowhere/key", "cannot be read"),
    ],
)
def test_a_wrong_setting_names_what_is_allowed(setting: str, words: str) -> None:
    from taskreel.config import ConfigurationError
    from taskreel.encryption_setting import build_data_keys

    with pytest.raises(ConfigurationError, match=words):
        build_data_keys(None, setting)  # type: ignore[arg-type]  # it is not used before


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    from taskreel.adapters.local.key_file import create_key_file, read_key_file

    file = tmp_path / "encryption.key"
    create_key_file(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(read_key_file(file)) == 32
    with pytest.raises(FileExistsError):
        create_key_file(file)
    file.chmod(0o640)
    with pytest.raises(ValueError, match="chmod 600"):
        read_key_file(file)
