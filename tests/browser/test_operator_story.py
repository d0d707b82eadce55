"""The operator's story of infra/README.md, step by step: a provider fails, and comes back."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from browser.signed_in_page import SECONDS, signed_in, store_picture
from e2e.processes import stack
from providers.bfl.fake import FakeBfl
from providers.fake_provider import Fault, serve_on_port

pytestmark = [pytest.mark.browser, pytest.mark.slow]

#: A breaker opens after five failures: these jobs die, and the next one waits.
DEAD = 5
JOB = {
    "model": "flux-2-pro",
    "provider": "bfl",
    "options": {"width": 320, "height": 208},
    "retry": {"maxAttempts": 1},
}


def test_a_provider_fails_and_its_jobs_are_brought_back(browser: Browser, tmp_path: Path) -> None:
    provider = FakeBfl(fault=Fault.SERVER_ERROR)
    with serve_on_port(provider) as url:
        settings = {"BFL_API_KEY": FakeBfl.key, "PROVIDER_BASE_URLS": json.dumps({"bfl": url})}
        with (
            stack(tmp_path / "data", settings=settings) as running,
            signed_in(browser, running, "root", role="admin") as page,
        ):
            with running.client("ada") as api:
                waiting = submit_jobs(api)
            notice_it(page, running.url)
            understand_it(page, running.url, waiting)
            order_breaker(page, "Stop it", "bfl is down, says its status page", "by an admin")
            provider.fault = None
            order_breaker(page, "Automatic", "it is back", "in use")
            bring_back(page, running.url)
            know_the_cost(page, running.url)


def submit_jobs(api: httpx.Client) -> str:
    """Submit jobs until the breaker opens; return the one that waits for it."""
    for number in range(DEAD):
        request = JOB | {"prompt": f"a lighthouse in a storm, {number + 1}"}
        wait = {"Prefer": "wait=30"}
        answer = api.post("/api/jobs/image-generation", json=request, headers=wait)
        assert answer.json()["status"] == "FAILED", answer.text
    request = JOB | {"prompt": "a lighthouse that waits"}
    job: str = api.post("/api/jobs/image-generation", json=request).json()["jobId"]
    return job


def notice_it(page: Page, url: str) -> None:
    page.goto(f"{url}/dashboard")
    expect(page.get_by_text("Some jobs wait or fail")).to_be_visible(timeout=SECONDS)
    expect(page.get_by_text("bfl: 1 model stopped")).to_be_visible(timeout=SECONDS)
    expect(page.get_by_text(f"{DEAD} jobs failed")).to_be_visible(timeout=SECONDS)
    store_picture(page, "operator_overview", height=520)


def understand_it(page: Page, url: str, waiting: str) -> None:
    page.get_by_role("link", name="See failures").first.click()
    group = page.locator("ul.work li")
    expect(group).to_contain_text("provider_down", timeout=SECONDS)
    expect(group).to_contain_text(f"{DEAD} failed still")
    page.goto(f"{url}/dashboard/jobs/{waiting}")
    reason = page.locator(".reason")
    expect(reason).to_contain_text("bfl flux-2-pro is paused after failures", timeout=SECONDS)
    reason.get_by_role("link", name="See the provider").click()
    row = page.get_by_role("row").filter(has_text="flux-2-pro")
    expect(row).to_contain_text("stopped", timeout=SECONDS)
    expect(row).to_contain_text("provider_down", timeout=SECONDS)
    store_picture(page, "operator_provider", height=380)


def order_breaker(page: Page, order: str, reason: str, then: str) -> None:
    page.get_by_role("button", name="Change flux-2-pro").click()
    page.get_by_label(order).check()
    page.get_by_label("Reason, for the audit log").fill(reason)
    page.get_by_role("button", name="Apply").click()
    row = page.get_by_role("row").filter(has_text="flux-2-pro")
    expect(row).to_contain_text(then, timeout=SECONDS)


def bring_back(page: Page, url: str) -> None:
    page.goto(f"{url}/dashboard/failures")
    page.get_by_role("button", name="Redrive…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"{DEAD} credits will be held")
    store_picture(page, "operator_redrive", height=560)
    dialog.get_by_role("button", name=f"Redrive {DEAD} jobs").click()
    expect(page.get_by_text("none left")).to_be_visible(timeout=SECONDS)
    # The one that waited runs by itself.
    page.goto(f"{url}/dashboard/jobs?status=COMPLETED")
    expect(page.locator("tr[data-row]")).to_have_count(DEAD + 1, timeout=SECONDS)


def know_the_cost(page: Page, url: str) -> None:
    """Each job is charged once, and nothing for what failed."""
    page.goto(f"{url}/dashboard/credits")
    sums = page.get_by_role("group", name="All 1 accounts")
    expect(sums).to_contain_text("it adds up", timeout=SECONDS)
    expect(sums).to_contain_text(f"{DEAD + 1}charged")
    row = page.get_by_role("row").filter(has_text="flux-2-pro")
    expect(row.get_by_role("cell").nth(0)).to_have_text(str(DEAD + 1), timeout=SECONDS)  # calls
    expect(row.get_by_role("cell").nth(1)).to_have_text(str(DEAD))  # failed
    store_picture(page, "operator_money", height=720)
    page.goto(f"{url}/dashboard/audit")
    expect(page.get_by_text("bfl is down, says its status page")).to_be_visible(timeout=SECONDS)
