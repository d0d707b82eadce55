"""Sign-in to the dashboard by the issuer's own page, in Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from browser.oidc_issuer import CLIENT, OidcIssuer, serving_issuer
from browser.signed_in_page import SECONDS
from e2e.processes import Stack, stack

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@contextmanager
def trusting(issuer: OidcIssuer, data: Path) -> Iterator[Stack]:
    """A stack that takes the issuer's tokens for that audience."""
    settings = {
        "JWT_JWKS_URL": f"{issuer.url}/jwks",
        "JWT_ISSUER": issuer.url,
        "JWT_AUDIENCE": issuer.audience,
        "SIGN_IN_CLIENT_ID": CLIENT,
    }
    with stack(data, settings=settings) as running:
        issuer.origins.add(running.url)
        yield running


@pytest.fixture(scope="module")
def issuer() -> Iterator[OidcIssuer]:
    with serving_issuer(OidcIssuer()) as started:
        yield started


@pytest.fixture(scope="module")
def running(issuer: OidcIssuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with trusting(issuer, tmp_path_factory.mktemp("sign_in") / "data") as started:
        yield started


@pytest.fixture
def page(browser: Browser, issuer: OidcIssuer) -> Iterator[Page]:
    """A page that nobody has signed in to; its console must stay clean."""
    context = browser.new_context()
    context.set_default_timeout(SECONDS)
    found = context.new_page()
    found.set_default_timeout(SECONDS)
    errors: list[str] = []
    found.on("pageerror", lambda error: errors.append(str(error)))
    yield found
    context.close()
    issuer.answers.clear()
    issuer.claims.clear()
    assert errors == []


def sign_in(page: Page, issuer: OidcIssuer, user: str) -> None:
    page.get_by_role("button", name="Sign in with 127.0.0.1").click()
    expect(page).to_have_title("Issuer", timeout=SECONDS)
    assert page.url.startswith(issuer.url)
    page.get_by_label("User name").fill(user)
    page.get_by_role("button", name="Allow").click()


def expect_refusal(page: Page, running: Stack, text: str) -> None:
    """The page says so, and nobody is signed in."""
    expect(page.get_by_role("alert")).to_contain_text(text, timeout=SECONDS)
    assert page.evaluate("[sessionStorage.length, localStorage.length]") == [0, 0]
    assert page.url == f"{running.url}/dashboard"


def test_a_user_signs_in_at_the_issuer_and_sees_their_own_jobs(
    page: Page, running: Stack, issuer: OidcIssuer
) -> None:
    later = {"prompt": "dunes under a wide sky", "scheduleAt": "2030-01-01T00:00:00Z"}
    for user, prompt in (("ada", later["prompt"]), ("bob", "not for ada")):
        headers = {"Authorization": f"Bearer {issuer.sign(user, CLIENT)}"}
        body = {**later, "prompt": prompt}
        path = f"{running.url}/api/jobs/image-generation"
        assert httpx.post(path, json=body, headers=headers, timeout=60).status_code == 202
    page.goto(f"{running.url}/dashboard/jobs?order=oldest")
    sign_in(page, issuer, "ada")
    rows = page.locator("tr[data-row]")
    expect(rows).to_have_count(1, timeout=SECONDS)
    expect(rows).to_contain_text("dunes under a wide sky")
    # It leads back to where the sign-in began, without the code.
    assert page.url == f"{running.url}/dashboard/jobs?order=oldest"
    assert page.evaluate("Object.keys(sessionStorage)") == ["taskreel.token"]
    asked = issuer.asked[-1]
    assert (asked["scope"], asked["redirect_uri"]) == (
        "openid",
        f"{running.url}/dashboard/sign-in",
    )
    assert "audience" not in asked

    # Its end, without the hour: the page must ask again, and go on where it was.
    expired = issuer.sign("ada", CLIENT, exp=1)
    page.evaluate("token => sessionStorage.setItem('taskreel.token', token)", expired)
    page.reload()
    expect(page.get_by_text("Your token has expired or was refused")).to_be_visible(timeout=SECONDS)
    sign_in(page, issuer, "ada")
    expect(rows).to_have_count(1, timeout=SECONDS)
    assert page.url == f"{running.url}/dashboard/jobs?order=oldest"


def test_an_answer_with_another_state_is_refused(
    page: Page, running: Stack, issuer: OidcIssuer
) -> None:
    page.goto(f"{running.url}/dashboard/sign-in?code=of-somebody-else&state=theirs")
    expect_refusal(page, running, "not begun in this tab")
    issuer.answers["state"] = "theirs"
    sign_in(page, issuer, "ada")
    expect_refusal(page, running, "not begun in this tab")


@pytest.mark.parametrize(
    ("answers", "claims", "refusal"),
    [
        ({"error": "access_denied", "error_description": "Ada said no"}, {}, "Ada said no"),
        ({"iss": "https://other.example"}, {}, "another issuer"),
        ({"code": "stolen"}, {}, "the code is not valid"),
        ({}, {"nonce": "of an older sign-in"}, "not that of this sign-in"),
        ({}, {"aud": "another-client"}, "by or for somebody else"),
        ({}, {"exp": 1}, "it has expired"),
    ],
    ids=["refused", "issuer", "code", "nonce", "audience", "api"],
)
def test_an_answer_that_does_not_match_is_refused(
    page: Page,
    running: Stack,
    issuer: OidcIssuer,
    answers: dict[str, str],
    claims: dict[str, Any],
    refusal: str,
) -> None:
    issuer.answers.update(answers)
    issuer.claims.update(claims)
    page.goto(f"{running.url}/dashboard")
    sign_in(page, issuer, "ada")
    expect_refusal(page, running, refusal)


def test_a_token_signs_in_where_an_issuer_is_configured_too(
    page: Page, running: Stack, issuer: OidcIssuer
) -> None:
    page.goto(f"{running.url}/dashboard")
    page.get_by_text("Use a token instead").click()
    page.get_by_label("Token").fill(issuer.sign("eve", CLIENT))
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_text("No jobs yet").or_(page.get_by_text("Your credits"))).to_be_visible(
        timeout=SECONDS
    )


def test_an_api_with_its_own_audience_gets_the_access_token(page: Page, tmp_path: Path) -> None:
    with (
        serving_issuer(OidcIssuer(audience="https://api.example.com")) as other,
        trusting(other, tmp_path / "data") as running,
    ):
        page.goto(f"{running.url}/dashboard")
        sign_in(page, other, "ada")
        expect(page.get_by_role("heading", name="Overview")).to_be_visible(timeout=SECONDS)
        assert other.asked[-1]["audience"] == "https://api.example.com"
        page.goto("about:blank")
