"""A stack that its settings or its key cannot serve does not start, and says so in one sentence."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from taskreel.adapters.local.sqlite import SqliteStore
from taskreel.app.indexes import LOCAL_INDEXES
from taskreel.config import Settings
from taskreel_local.cli.main import main
from taskreel_local.stack.data_folder import DataFolder
from taskreel_local.stack.local_stack import Stack, StackConfig
from taskreel_local.stack.server_process import ServerProcess
from taskreel_local.stack.stack_error import StackError
from taskreel_local.stack.start_checks import REFUSED, check_store_key
from unit.local.test_key_commands import open_encrypted_store, store_upload

_SETTINGS = ("ENCRYPTION_KEY", "SIGN_IN_CLIENT_ID", "JWT_ISSUER", "RETENTION_DAYS", "LIMITS")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataFolder:
    for name in _SETTINGS:
        monkeypatch.delenv(name, raising=False)
    folder = DataFolder(tmp_path / "data")
    folder.prepare()
    return folder


@pytest.fixture
def encrypted_folder(folder: DataFolder) -> DataFolder:
    """A folder whose store has a data key, encrypted by the folder's own key."""
    folder.create_encryption_key()

    async def make_data_key() -> None:
        store = open_encrypted_store(folder)
        await store.keys.open_current()
        await store.close()

    asyncio.run(make_data_key())
    return folder


def check(folder: DataFolder) -> None:
    url, key = f"sqlite:///{folder.store_file}", folder.find_encryption_key()
    asyncio.run(check_store_key(Settings(store_url=url, encryption_key=key)))


async def start(folder: DataFolder, *, encrypt: bool = False) -> None:
    async with Stack(StackConfig(data=folder.root, encrypt=encrypt)):
        pytest.fail("the stack has started")


def test_a_store_with_its_key_or_without_encryption_may_be_used(
    encrypted_folder: DataFolder, tmp_path: Path
) -> None:
    check(encrypted_folder)
    other = DataFolder(tmp_path / "other")
    other.prepare()
    check(other)
    assert not other.store_file.exists()
    asyncio.run(store_upload(SqliteStore(other.store_file, LOCAL_INDEXES)))
    check(other)
    other.create_encryption_key()
    check(other)


@pytest.mark.parametrize("encrypt", [False, True], ids=["as_before", "with_encrypt"])
def test_without_its_key_an_encrypted_store_is_not_served(
    encrypted_folder: DataFolder, *, encrypt: bool
) -> None:
    encrypted_folder.encryption_key_file.unlink()
    with pytest.raises(StackError) as refused:
        asyncio.run(start(encrypted_folder, encrypt=encrypt))
    text = str(refused.value)
    for words in ("encryption.key", "ENCRYPTION_KEY", "encryption.md", "A missing or wrong key"):
        assert words in text
    assert not encrypted_folder.encryption_key_file.exists()  # a new one would hide the loss


def test_with_another_key_an_encrypted_store_is_not_served(encrypted_folder: DataFolder) -> None:
    encrypted_folder.encryption_key_file.unlink()
    encrypted_folder.create_encryption_key()
    with pytest.raises(StackError, match=r"Set ENCRYPTION_KEY to the key .*encryption\.md"):
        asyncio.run(start(encrypted_folder))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SIGN_IN_CLIENT_ID", "x", "SIGN_IN_CLIENT_ID: needs JWT_ISSUER"),
        ("RETENTION_DAYS", "0", "RETENTION_DAYS: "),
        ("LIMITS", "nowhere.yaml", "LIMITS"),
        ("ENCRYPTION_KEY", "secret", "ENCRYPTION_KEY must be file:PATH"),
    ],
)
def test_a_wrong_setting_is_one_sentence_and_status_2(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    done = CliRunner().invoke(main, ["dev", "--port", "0", "--data", str(folder.root)])
    assert done.exit_code == 2, done.output
    (line,) = [line for line in done.output.splitlines() if "have no effect here" not in line]
    assert line.startswith("Error: Wrong setting: ")
    assert words in line


async def test_a_server_that_refuses_to_start_again_ends_the_stack_with_the_reason(
    folder: DataFolder,
) -> None:
    stack = Stack(StackConfig(data=folder.root))
    stack._environ = {"RETENTION_DAYS": "0"}
    stack._is_ready = True
    stack._note_refusal()
    with pytest.raises(StackError, match="Wrong setting: RETENTION_DAYS"):
        await stack.wait_for_failure()


async def test_a_server_that_has_refused_is_not_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spawned: list[int] = []
    refused = asyncio.Event()

    async def refuse_at_once(server: ServerProcess) -> None:
        spawned.append(1)
        command = [sys.executable, "-c", f"raise SystemExit({REFUSED})"]
        server._process = await asyncio.create_subprocess_exec(*command)

    monkeypatch.setattr(ServerProcess, "_spawn_process", refuse_at_once)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = ServerProcess(listener, {}, refused.set)
        await server.start()
        await asyncio.wait_for(refused.wait(), 20)
        await server.stop()
    assert spawned == [1]
