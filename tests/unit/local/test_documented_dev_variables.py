"""`taskreel dev` takes the variables of documents 1 and 4 from its environment, and says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskreel.config import Settings
from taskreel.domain.errors import UnauthenticatedError
from taskreel.web.auth import Authenticator, TokenRules
from taskreel_local.cli.stack_commands import run_dev_command
from taskreel_local.stack.data_folder import DataFolder
from taskreel_local.stack.dev_tokens import make_token
from taskreel_local.stack.exported_settings import find_other_signer, find_token_claims
from taskreel_local.stack.local_stack import Stack, StackConfig, find_parent

KEY = "a-key-that-was-exported"


@pytest.fixture(autouse=True)
def _without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("port", *Settings.model_fields):
        monkeypatch.delenv(name.upper(), raising=False)


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


def test_each_setting_that_takes_effect_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = {
        "JWT_ISSUER": "https://issuer.example",
        "SIGN_IN_CLIENT_ID": "dashboard",
        "LOG_LEVEL": "DEBUG",
        "RETENTION_DAYS": "5",
        "TYPE_RETENTION_DAYS": "image-generation:3",
    }
    ignored = {"STORE_URL": "sqlite:///elsewhere.db", "JWT_SECRET": "s" * 32, "MCP_PATH": ""}
    for name, value in {**exported, **ignored, "SOMETHING": "else"}.items():
        monkeypatch.setenv(name, value)
    stack = Stack(StackConfig(data=tmp_path))
    environ = stack._server_environ(stack._local_settings())
    assert stack.taken == sorted(exported)
    assert exported.items() <= environ.items()
    assert environ["STORE_URL"] != ignored["STORE_URL"]


@pytest.mark.parametrize(
    "exported",
    [
        {},
        {"JWT_ISSUER": "https://issuer.example"},
        {"JWT_ISSUER": "https://issuer.example", "JWT_AUDIENCE": "taskreel"},
    ],
    ids=lambda one: " ".join(one) or "none",
)
async def test_the_stacks_own_tokens_have_the_claims_that_the_environment_requires(
    tmp_path: Path, exported: dict[str, str]
) -> None:
    data = DataFolder(tmp_path)
    rules = TokenRules(
        secret=data.load_secrets().jwt,
        issuer=exported.get("JWT_ISSUER"),
        audience=exported.get("JWT_AUDIENCE"),
    )
    data.write_token_claims(find_token_claims(exported))
    caller = await Authenticator(rules).authenticate(f"Bearer {make_token(data, user='ada')}")
    assert caller.user_id == "ada"
    # The next start without the variables asks for no claims, and leaves none.
    data.write_token_claims(find_token_claims({}))
    if exported:
        with pytest.raises(UnauthenticatedError):
            await Authenticator(rules).authenticate(f"Bearer {make_token(data, user='ada')}")


def test_a_key_of_another_signer_is_named() -> None:
    assert find_other_signer({"JWT_SECRET": "own"}, "own") is None
    assert find_other_signer({"JWT_SECRET": "another"}, "own") == "JWT_SECRET"
    both = {"JWT_SECRET": "own", "JWT_PUBLIC_KEY": "key", "JWT_JWKS_URL": "https://keys.example"}
    assert find_other_signer(both, "own") == "JWT_JWKS_URL"
