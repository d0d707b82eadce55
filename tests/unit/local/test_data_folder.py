"""A data folder that is damaged, or open to others."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest

from taskreel_local.stack.data_folder import DataFolder
from taskreel_local.stack.stack_error import StackError


def mode(path: Path) -> str:
    return oct(path.stat().st_mode & 0o777)


def test_a_new_folder_is_its_owners_alone(tmp_path: Path) -> None:
    data = DataFolder(tmp_path / "data")
    data.load_secrets()
    assert mode(data.root) == "0o700"
    assert {mode(path) for path in data.root.iterdir()} == {"0o600"}


def test_a_folder_of_an_earlier_release_is_closed_to_others(tmp_path: Path) -> None:
    data = DataFolder(tmp_path / "data")
    data.load_secrets()
    data.root.chmod(0o755)
    for name in ("store.db", "store.db-wal", "tasks.db", "url"):
        (data.root / name).touch()
        (data.root / name).chmod(0o644)
    data.load_secrets()
    assert mode(data.root) == "0o700"
    assert {mode(path) for path in data.root.iterdir()} == {"0o600"}


def test_a_folder_that_has_other_things_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch(mode=0o644)
    tmp_path.chmod(0o755)
    DataFolder(tmp_path).load_secrets()
    assert mode(tmp_path) == "0o755"
    assert mode(tmp_path / "mine.txt") == "0o644"
    assert mode(tmp_path / "secrets.json") == "0o600"


@pytest.mark.parametrize("text", ["", '{"jwt": "a', "[]", '{"jwt": "a"}'])
def test_half_a_secrets_file_is_one_clear_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "secrets.json").write_text(text)
    with pytest.raises(StackError, match=r"secrets\.json is damaged.* remove it") as refused:
        DataFolder(tmp_path).load_secrets()
    assert "\n" not in str(refused.value)


def test_a_folder_that_cannot_be_written_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match=r"cannot be written .* --data DIR"):
        DataFolder(tmp_path / "file" / "data").load_secrets()


@pytest.mark.parametrize("damage", ["garbage", "page"])
def test_a_damaged_store_is_one_clear_sentence(tmp_path: Path, damage: str) -> None:
    data = DataFolder(tmp_path)
    with sqlite3.connect(data.store_file) as db:
        db.execute("CREATE TABLE a (b TEXT)")
        db.executemany("INSERT INTO a VALUES (?)", [("x" * 500,)] * 100)
    db.close()
    data.check_store()
    content = data.store_file.read_bytes()
    if damage == "garbage":
        data.store_file.write_bytes(b"no database" * 1000)
    else:
        data.store_file.write_bytes(content[:8192] + b"\xff" * 8192 + content[16384:])
    with pytest.raises(StackError, match=r"store\.db is damaged .*\.recover") as refused:
        data.check_store()
    assert "\n" not in str(refused.value)


def test_a_store_that_is_in_use_is_not_called_damaged(tmp_path: Path) -> None:
    data = DataFolder(tmp_path)
    with contextlib.closing(sqlite3.connect(data.store_file, isolation_level=None)) as db:
        db.execute("CREATE TABLE a (b TEXT)")
        db.execute("BEGIN EXCLUSIVE")
        data.check_store()


def test_no_store_yet_is_no_damage(tmp_path: Path) -> None:
    DataFolder(tmp_path).check_store()
    assert not (tmp_path / "store.db").exists()


def test_files_that_a_killed_server_was_writing_are_removed(tmp_path: Path) -> None:
    data = DataFolder(tmp_path)
    folder = data.files_folder / "artifacts" / "job"
    folder.mkdir(parents=True)
    (folder / ".incoming-abc").write_text("half")
    (folder / "image.png").write_text("whole")
    assert data.remove_partial_files() == 1
    assert [path.name for path in folder.iterdir()] == ["image.png"]


def test_secrets_are_the_same_every_time(tmp_path: Path) -> None:
    data = DataFolder(tmp_path)
    first = data.load_secrets()
    assert data.load_secrets() == first
    assert set(json.loads((tmp_path / "secrets.json").read_text())) == {"jwt", "internal", "files"}
