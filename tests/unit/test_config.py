from __future__ import annotations

import pytest

from taskreel.adapters.providers import KEY_VARIABLES
from taskreel.config import ConfigurationError, Settings

KEY = "an-internal-key-that-is-long"
JWT = "the-jwt-secret-that-is-long-enough"


def read(**environ: str) -> Settings:
    return Settings.from_environment({"INTERNAL_API_KEY": KEY, **environ}, KEY_VARIABLES)


def test_each_setting_is_the_variable_of_its_name() -> None:
    found = read(
        STORE_URL="sqlite:///x.db", LEASE_SECONDS="12.5", INITIAL_CREDITS="7", UNRELATED="x"
    )
    assert (found.store_url, found.lease_seconds, found.initial_credits) == (
        "sqlite:///x.db",
        12.5,
        7,
    )


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    assert read(JWT_SECRET="", LEASE_SECONDS="") == read()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LEASE_SECONDS", "0"),
        ("LEASE_SECONDS", "soon"),
        ("INITIAL_CREDITS", "-1"),
        ("WORKER_PROCESSES", "0"),
        ("RETENTION_DAYS", "0"),
        ("RETENTION_DAYS", "3651"),
    ],
)
def test_a_wrong_value_is_named_by_its_variable(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name}: "):
        read(**{name: value})


@pytest.mark.parametrize("key", ["short", f"{KEY},short", f"{KEY},", " " * 20, f"{KEY},{' ' * 20}"])
def test_an_internal_key_that_could_be_guessed_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ConfigurationError, match="at least 16 characters") as refused:
        read(INTERNAL_API_KEY=key)
    assert key not in str(refused.value)


def test_without_an_internal_key_nothing_that_needs_one_is_built() -> None:
    with pytest.raises(ConfigurationError, match="INTERNAL_API_KEY is not set"):
        _ = Settings.from_environment({}, KEY_VARIABLES).internal_keys


@pytest.mark.parametrize("secret", ["secret", "x" * 31])
def test_a_jwt_secret_shorter_than_its_hash_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^JWT_SECRET: .*at least 32 bytes") as refused:
        read(JWT_SECRET=secret)
    assert secret not in str(refused.value)


@pytest.mark.parametrize(
    "key",
    [
        "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZI\n-----END PUBLIC KEY-----",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG8 ada@example.com",
        '{"kty": "EC", "crv": "P-256", "x": "abc", "y": "abc"}',
    ],
)
def test_a_public_key_is_refused_as_a_jwt_secret(key: str) -> None:
    """Whoever knows it could sign as anybody."""
    with pytest.raises(ConfigurationError, match="JWT_PUBLIC_KEY") as refused:
        read(JWT_SECRET=key)
    assert key not in str(refused.value)


def test_two_internal_keys_hold_and_tasks_carry_the_first() -> None:
    assert read(INTERNAL_API_KEY=f"{KEY}-new, {KEY}").internal_keys == [f"{KEY}-new", KEY]


def test_a_providers_key_is_found_under_its_own_name() -> None:
    found = read(BFL_API_KEY="secret", REPLICATE_API_TOKEN="")
    assert {name: key.get_secret_value() for name, key in found.provider_keys.items()} == {
        "bfl": "secret"
    }


def test_no_secret_is_printed() -> None:
    shown = repr(read(JWT_SECRET=JWT, BFL_API_KEY="the-bfl-key", FILES_SECRET="the-files-secret"))
    assert not any(secret in shown for secret in (KEY, JWT, "the-bfl-key", "the-files-secret"))


def test_a_public_key_without_an_audience_is_refused() -> None:
    """Tokens for any other service of the issuer were accepted."""
    with pytest.raises(ConfigurationError, match=r"^JWT_AUDIENCE: .*JWT_PUBLIC_KEY"):
        read(JWT_PUBLIC_KEY="-----BEGIN PUBLIC KEY-----")
    assert read(JWT_PUBLIC_KEY="-----BEGIN PUBLIC KEY-----", JWT_AUDIENCE="taskreel")


@pytest.mark.parametrize("issuer", ["", "auth.example.com", "https://a b; script-src *"])
def test_a_sign_in_page_needs_the_url_of_its_issuer(issuer: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^SIGN_IN_CLIENT_ID: .*JWT_ISSUER"):
        read(SIGN_IN_CLIENT_ID="dashboard", JWT_ISSUER=issuer)
    found = read(SIGN_IN_CLIENT_ID="dashboard", JWT_ISSUER="https://auth.example.com/realms/a")
    assert found.sign_in_scopes == "openid"


def test_the_scopes_of_a_sign_in_must_name_openid() -> None:
    with pytest.raises(ConfigurationError, match=r"^SIGN_IN_SCOPES: "):
        read(SIGN_IN_SCOPES="profile openidentity")
    assert read(SIGN_IN_SCOPES="openid api://taskreel/jobs").sign_in_scopes


def test_origins_are_a_list() -> None:
    found = read(CORS_ORIGINS="https://a.example, http://localhost:*,http://[::1]:5173")
    assert found.allowed_origins == ["https://a.example", "http://localhost:*", "http://[::1]:5173"]
    assert read(CORS_ORIGINS="*").allowed_origins == ["*"]
    assert read().allowed_origins == []


@pytest.mark.parametrize(
    "origin", ["a.example", "https://a.example/", "https://*.example", "null", "http://a:99x"]
)
def test_a_text_that_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^CORS_ORIGINS: .*is no origin"):
        read(CORS_ORIGINS=f"https://a.example,{origin}")


@pytest.mark.parametrize(("lease", "heartbeat"), [("5", "5"), ("4", "5"), ("30", "60")])
def test_a_lease_that_ends_before_it_is_renewed_is_refused(lease: str, heartbeat: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^LEASE_SECONDS: .*HEARTBEAT_SECONDS"):
        read(LEASE_SECONDS=lease, HEARTBEAT_SECONDS=heartbeat)
