"""The operator's story of infra/README.md, step by step: a provider fails, and comes back.

It is done by the keyboard alone: what cannot be reached by it, a part of the operators cannot do.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from browser.signed_in_page import SECONDS, signed_in, store_picture
from e2e.processes import stack
from providers.bfl.fake import FakeBfl
from providers.fake_provider import Fault, serve_on_port

pytestmark = [pytest.mark.browser, pytest.mark.slow]

#: A breaker opens after five failures: these jobs die, and the next one waits.
DEAD = 5
MOST_TABS = 150
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
        settings |= {"K_SERVICE": "jobs-api", "GOOGLE_CLOUD_PROJECT": "films-prod"}  # deployed
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


def press(page: Page, target: Locator, key: str = "Enter") -> None:
    """Go to it by Tab, and press the key."""
    reach(page, target)
    page.keyboard.press(key)


def reach(page: Page, target: Locator) -> None:
    """Press Tab until it has the focus."""
    expect(target).to_be_visible(timeout=SECONDS)
    for _ in range(MOST_TABS):
        if target.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{MOST_TABS} tabs do not lead to {target}")


def notice_it(page: Page, url: str) -> None:
    page.goto(f"{url}/dashboard")
    expect(page.get_by_text("Some jobs wait or fail")).to_be_visible(timeout=SECONDS)
    expect(page.get_by_text("bfl: 1 model stopped")).to_be_visible(timeout=SECONDS)
    expect(page.get_by_text(f"{DEAD} jobs failed")).to_be_visible(timeout=SECONDS)
    logs = page.get_by_role("link", name="Warnings in the logs")
    address = re.compile(r"^https://console\.cloud\.google\.com/logs/.*\?project=films-prod$")
    expect(logs).to_have_attribute("href", address)
    store_picture(page, "operator_overview", height=520)


def understand_it(page: Page, url: str, waiting: str) -> None:
    press(page, page.get_by_role("link", name="See failures").first)
    group = page.locator("ul.work li")
    expect(group).to_contain_text("provider_down", timeout=SECONDS)
    expect(group).to_contain_text(f"{DEAD} failed still")
    page.goto(f"{url}/dashboard/jobs/{waiting}")
    reason = page.locator(".reason")
    expect(reason).to_contain_text("bfl flux-2-pro is paused after failures", timeout=SECONDS)
    press(page, reason.get_by_role("link", name="See the provider"))
    row = page.get_by_role("row").filter(has_text="flux-2-pro")
    expect(row).to_contain_text("stopped", timeout=SECONDS)
    expect(row).to_contain_text("provider_down", timeout=SECONDS)
    store_picture(page, "operator_provider", height=380)


def order_breaker(page: Page, order: str, reason: str, then: str) -> None:
    press(page, page.get_by_role("button", name="Change flux-2-pro"))
    choices = page.get_by_role("dialog").get_by_role("radio")
    reach_choice(page, choices)
    for _ in range(choices.count()):
        if not page.get_by_label(order).is_checked():
            page.keyboard.press("ArrowDown")
    expect(page.get_by_label(order)).to_be_checked()
    reach(page, page.get_by_label("Reason, for the audit log"))
    page.keyboard.type(reason)
    page.keyboard.press("Enter")
    row = page.get_by_role("row").filter(has_text="flux-2-pro")
    expect(row).to_contain_text(then, timeout=SECONDS)


def reach_choice(page: Page, choices: Locator) -> None:
    """Tab enters a group of radio buttons at the one that is chosen."""
    expect(choices.first).to_be_visible(timeout=SECONDS)
    reach(page, next(one for one in choices.all() if one.is_checked()))


def bring_back(page: Page, url: str) -> None:
    page.keyboard.press("g")
    page.keyboard.press("f")
    press(page, page.get_by_role("button", name="Redrive…"))
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"{DEAD} credits will be held")
    store_picture(page, "operator_redrive", height=560)
    press(page, dialog.get_by_role("button", name=f"Redrive {DEAD} jobs"))
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
    page.goto(f"{url}/dashboard/providers?text=bfl+flux-2-pro&days=30")
    row = page.get_by_role("row").filter(has_text="flux-2-pro")
    spend = rf"{DEAD + 1} credits"
    expect(row).to_contain_text(spend, timeout=SECONDS)
    for name in (rf"^Spend by day\..*: \$0\.\d+, {spend}$", r"^Half, and nine in ten .*: .*\d m?s"):
        expect(row.get_by_role("img", name=re.compile(name))).to_be_visible()
    page.goto(f"{url}/dashboard/audit")
    expect(page.get_by_text("bfl is down, says its status page")).to_be_visible(timeout=SECONDS)
