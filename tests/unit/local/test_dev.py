"""The checks of `taskreel dev` before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from taskreel_local.cli.dev import list_sharded_queues, types_without_queues
from taskreel_local.stack.repository_paths import QUEUES
from taskreel_local.stack.settings_file import read_settings
from taskreel_local.stack.stack_error import StackError


def test_a_job_type_that_lacks_a_queue_is_named(tmp_path: Path) -> None:
    declared = yaml.safe_load(QUEUES.read_text())
    del declared["queues"]["image-upscale-queue"]
    (tmp_path / "queues.yaml").write_text(yaml.safe_dump(declared))
    assert types_without_queues(tmp_path / "queues.yaml") == ["image-upscale"]
    assert types_without_queues(QUEUES) == []


def test_queues_with_shards_are_named(tmp_path: Path) -> None:
    declared = yaml.safe_load(QUEUES.read_text())
    declared["shards"] = {"image-generation-queue": 2, "provider-poll-queue": 1}
    (tmp_path / "queues.yaml").write_text(yaml.safe_dump(declared))
    assert list_sharded_queues(tmp_path / "queues.yaml") == ["image-generation-queue: 2"]
    assert list_sharded_queues(QUEUES) == []


def test_settings_are_read_as_a_shell_reads_them(tmp_path: Path) -> None:
    file = tmp_path / "cloud.env"
    file.write_text(
        "# a comment\n"
        "STORE_URL='firestore://p/(default)'\n"
        "export INTERNAL_API_KEY=a=b  # and another\n"
    )
    assert read_settings(file) == {
        "STORE_URL": "firestore://p/(default)",
        "INTERNAL_API_KEY": "a=b",
    }


def test_settings_that_are_not_there_yet_name_the_script_that_writes_them(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="setup-local-auth"):
        read_settings(tmp_path / "cloud.env")
