"""`taskreel token` says for which stack it signs where a profile decides that."""

from __future__ import annotations

import os
from pathlib import Path

import jwt
import pytest
from click.testing import CliRunner, Result

from taskreel_local.cli.main import main
from taskreel_local.cli.profiles import Profile, Profiles, store_profiles
from taskreel_local.stack.data_folder import DataFolder


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack has run in this folder, and another one elsewhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in [name for name in os.environ if name.startswith("TASKREEL_")]:
        monkeypatch.delenv(name)
    for folder in (".taskreel", "other"):
        data = DataFolder(tmp_path / folder)
        data.load_secrets()
        data.write_url("http://127.0.0.1:1")


def print_token(*words: str) -> Result:
    result = CliRunner().invoke(main, ["token", *words])
    assert result.exit_code == 0, result.output
    return result


def is_signed_by(result: Result, folder: str) -> bool:
    secret = DataFolder(Path(folder)).load_secrets().jwt
    try:
        jwt.decode(result.stdout.strip(), secret, algorithms=["HS256"])
    except jwt.InvalidSignatureError:
        return False
    return True


def use_profile(**fields: str) -> None:
    store_profiles(Profiles().with_profile("work", Profile(**fields)))


def test_without_a_profile_the_token_alone_is_printed() -> None:
    result = print_token()
    assert is_signed_by(result, ".taskreel")
    assert result.stderr == ""


def test_the_stack_of_a_profile_is_named_beside_the_token(tmp_path: Path) -> None:
    other = str(tmp_path / "other")
    use_profile(data=other)
    result = print_token()
    assert is_signed_by(result, other)
    assert f"for the stack on {other}, which the profile work names" in result.stderr
    named = print_token("--data", ".taskreel")
    assert is_signed_by(named, ".taskreel")
    assert named.stderr == ""


def test_a_token_is_not_for_the_deployment_of_a_profile() -> None:
    use_profile(url="https://api.example.com", token="theirs")
    result = print_token()
    assert is_signed_by(result, ".taskreel")
    assert "not for https://api.example.com, which the profile work names" in result.stderr
