"""`taskreel dev` takes the variables of documents 1 and 4 from its environment, and says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskreel_local.cli.stack_commands import run_dev_command
from taskreel_local.stack.local_stack import Stack, StackConfig, find_parent

KEY = "a-key-that-was-exported"


@pytest.fixture(autouse=True)
def _without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PORT", "API_BASE_URL", "INTERNAL_API_KEY", "GOOGLE_CLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("arguments", "port"), [([], 3000), (["--port", "3001"], 3001)], ids=["variable", "option"]
)
def test_dev_listens_on_port(
    arguments: list[str], port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", "3000")
    assert run_dev_command.make_context("dev", arguments).params["port"] == port


def test_url_and_key_of_the_environment_reach_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = Stack(StackConfig(data=tmp_path))
    own = stack._server_environ(stack._local_settings())
    assert own["INTERNAL_API_KEY"] not in {"", KEY}
    assert stack.taken == []

    monkeypatch.setenv("INTERNAL_API_KEY", f"{KEY},the-key-before-it-was-rotated")
    monkeypatch.setenv("API_BASE_URL", "https://tunnel.example")
    taken = stack._server_environ(stack._local_settings())
    assert taken["INTERNAL_API_KEY"].startswith(KEY)
    assert taken["API_BASE_URL"] == "https://tunnel.example"
    assert stack._internal_key == KEY  # of the sweep
    assert stack.taken == ["API_BASE_URL", "INTERNAL_API_KEY"]


def test_on_a_project_the_key_is_that_of_its_settings_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERNAL_API_KEY", KEY)
    stack = Stack(StackConfig(data=tmp_path, cloud=tmp_path / "cloud.env"))
    assert stack._server_environ({"INTERNAL_API_KEY": "of-the-file"})["INTERNAL_API_KEY"] == (
        "of-the-file"
    )


def test_the_queues_are_in_the_project_and_location_of_the_environment() -> None:
    assert find_parent({}) == "projects/taskreel-local/locations/europe-central2"
    given = {"GOOGLE_CLOUD_PROJECT": "p1", "GOOGLE_CLOUD_LOCATION": "us-east1"}
    assert find_parent(given) == "projects/p1/locations/us-east1"
