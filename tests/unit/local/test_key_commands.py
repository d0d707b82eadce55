"""`taskreel keys` on the store of a folder."""

from __future__ import annotations

import asyncio
import fcntl
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from taskreel.adapters.encryption.encrypted_store import EncryptedStore
from taskreel.adapters.local.sqlite import SqliteStore
from taskreel.app.indexes import LOCAL_INDEXES
from taskreel.domain.upload import Upload
from taskreel.encryption_setting import encrypt_store
from taskreel.ports import Store, Transaction
from taskreel.store_collections import UPLOADS
from taskreel_local.cli.audit_command import audit
from taskreel_local.cli.key_commands import key_commands
from taskreel_local.cli.main import main
from taskreel_local.stack.data_folder import DataFolder

NOW = datetime(2026, 1, 1, tzinfo=UTC)
UPLOAD = Upload(
    upload_id="upl_1",
    user_id="ada",
    name="zanzibar.png",
    content_type="image/png",
    bytes=1,
    path="uploads/zanzibar.png",
    created_at=NOW,
    expire_at=NOW,
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataFolder:
    monkeypatch.delenv("ENCRYPTION_KEY", raising=False)
    folder = DataFolder(tmp_path)
    folder.prepare()
    return folder


def open_encrypted_store(folder: DataFolder) -> EncryptedStore:
    """The store of a folder, with the folder's own key."""
    plain = SqliteStore(folder.store_file, LOCAL_INDEXES)
    return encrypt_store(plain, folder.find_encryption_key() or "")


async def store_upload(store: Store) -> None:
    async def write(tx: Transaction) -> None:
        tx.create(UPLOADS, UPLOAD.upload_id, UPLOAD)

    await store.transaction(write)
    await store.close()


async def read_upload(folder: DataFolder) -> Upload | None:
    store = open_encrypted_store(folder)
    try:
        return await store.get(UPLOADS, UPLOAD.upload_id)
    finally:
        await store.close()


def test_a_store_is_encrypted_and_its_key_rotated(folder: DataFolder) -> None:
    asyncio.run(store_upload(SqliteStore(folder.store_file, LOCAL_INDEXES)))
    run, where = CliRunner().invoke, ["--data", str(folder.root)]
    without_key = run(key_commands, ["rotate", *where])
    assert without_key.exit_code == 1
    assert "set ENCRYPTION_KEY" in without_key.output

    folder.create_encryption_key()
    assert folder.encryption_key_file.stat().st_mode & 0o777 == 0o600
    first = run(key_commands, ["rotate", *where])
    assert first.exit_code == 0, first.output
    assert "uploads: 1 encrypted" in first.output
    assert b"zanzibar" not in folder.store_file.read_bytes()
    second = run(key_commands, ["rotate", "--new-writes-only", *where])
    assert "encrypted" not in second.output
    listed = run(key_commands, ["list", *where]).output.splitlines()
    assert len(listed) == 2
    assert all("local:" in line for line in listed)
    printed = json.loads(run(key_commands, ["list", "--json", *where]).output)
    assert [key["keyId"] for key in printed] == [line.split()[0] for line in listed]
    third = json.loads(run(key_commands, ["rotate", "--json", *where]).output)
    assert third["encrypted"] == {"uploads": 1}
    assert asyncio.run(read_upload(folder)) == UPLOAD


def test_a_key_file_is_made_once(tmp_path: Path) -> None:
    file = tmp_path / "a.key"
    assert CliRunner().invoke(key_commands, ["create", str(file)]).exit_code == 0
    before = file.read_text()
    again = CliRunner().invoke(key_commands, ["create", str(file)])
    assert again.exit_code == 1
    assert "A key is never replaced" in again.output
    assert file.read_text() == before


def test_an_audit_reads_the_encrypted_file_of_a_stack_that_does_not_run(
    folder: DataFolder,
) -> None:
    folder.create_encryption_key()
    asyncio.run(store_upload(open_encrypted_store(folder)))
    done = CliRunner().invoke(audit, ["--data", str(folder.root), "--files"])
    assert done.exit_code == 0, done.output
    assert "every invariant holds" in done.output


@pytest.mark.parametrize("command", ["list", "rotate"])
def test_beside_a_running_stack_it_is_the_stack_that_has_to_be_stopped(
    folder: DataFolder, command: str
) -> None:
    folder.create_encryption_key()
    asyncio.run(store_upload(SqliteStore(folder.store_file, LOCAL_INDEXES)))
    with folder.lock_file.open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = CliRunner().invoke(key_commands, [command, "--data", str(folder.root)])
    assert done.exit_code == 1
    assert "stop `scripts/dev` first" in done.output
    assert "STORE_URL" not in done.output
    assert CliRunner().invoke(key_commands, [command, "--data", str(folder.root)]).exit_code == 0


def test_an_empty_url_of_a_store_is_not_the_store_of_the_folder(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a variable that is not set: past the check that no stack runs on the folder."""
    folder.create_encryption_key()
    asyncio.run(store_upload(SqliteStore(folder.store_file, LOCAL_INDEXES)))
    monkeypatch.setenv("ENCRYPTION_KEY", folder.find_encryption_key() or "")
    where = ["--data", str(folder.root), "--store-url", ""]
    done = CliRunner().invoke(key_commands, ["rotate", *where])
    assert done.exit_code == 1
    assert "STORE_URL: '' is neither" in done.output


def test_its_help_cuts_no_sentence_off() -> None:
    shown = CliRunner().invoke(main, ["keys", "--help"]).output.partition("Commands:")[2]
    assert "rotate" in shown
    assert "..." not in shown
