"""An operator's acts on the dashboard, each after a dialog that says its effect; and refusals."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from browser.signed_in_page import SECONDS, signed_in
from e2e.processes import Stack, stack
from http_handlers import serve_handler

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LATER = {"prompt": "dunes under a wide sky", "scheduleAt": "2030-01-01T00:00:00Z"}
ADMIN_PAGES = ("/users", "/audit")


def test_a_queue_is_paused_and_cleared_after_its_effect_was_said(
    browser: Browser, running: Stack
) -> None:
    with running.client("ada") as api:
        for _ in range(3):
            assert api.post("/api/jobs/image-upscale", json=upscale(LATER)).status_code == 202
    with signed_in(browser, running, "root", "/queues", role="admin") as page:
        page.get_by_role("button", name="Pause Image upscale").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("No job of this type starts until it is resumed")
        dialog.get_by_label("Reason").fill("maintenance tonight")
        dialog.get_by_role("button", name="Pause", exact=True).click()
        row = page.get_by_role("row").filter(has_text="Image upscale")
        expect(row).to_contain_text("by root", timeout=SECONDS)
        expect(row).to_contain_text("maintenance tonight")

        page.get_by_role("button", name="Clear Image upscale").click()
        expect(dialog).to_contain_text("3 jobs that wait or are scheduled will be cancelled")
        expect(dialog).to_contain_text("6 credits go back to the owners")
        dialog.get_by_role("button", name="Cancel 3 jobs").click()
        expect(page.get_by_text("3 jobs cancelled, 6 credits returned.")).to_be_visible(
            timeout=SECONDS
        )
        page.get_by_role("button", name="Resume Image upscale").click()
        dialog.get_by_role("button", name="Resume", exact=True).click()
        expect(row).not_to_contain_text("paused", timeout=SECONDS)

        page.keyboard.press("g")
        page.keyboard.press("a")
        entries = page.get_by_role("row").filter(has_text="image-upscale-queue")
        expect(entries).to_have_count(3, timeout=SECONDS)
        page.get_by_label("Search the log").fill("MAINTENANCE")
        expect(entries).to_have_count(1, timeout=SECONDS)


def upscale(more: dict[str, str]) -> dict[str, str]:
    return {"imageUrl": "https://example.com/cat.png", "scheduleAt": more["scheduleAt"]}


def test_a_user_gets_credits_a_limit_and_a_cap(browser: Browser, running: Stack) -> None:
    with signed_in(browser, running, "root", "/users?user=carol", role="admin") as page:
        balance = page.get_by_role("group", name="Balance")
        expect(balance).to_contain_text("it adds up", timeout=SECONDS)
        page.get_by_label("Credits", exact=True).fill("250")
        page.get_by_role("button", name="Grant 250 credits").click()
        expect(balance).to_contain_text("350available", timeout=SECONDS)
        page.get_by_label("Limit").fill("3")
        page.get_by_role("button", name="Set the limit").click()
        expect(page.get_by_text("carol may run 3 jobs at a time.")).to_be_visible(timeout=SECONDS)
        page.get_by_label("A day").fill("40")
        page.get_by_role("button", name="Set the caps").click()
        expect(page.get_by_text("The caps are changed.")).to_be_visible(timeout=SECONDS)
        row = page.get_by_role("row").filter(has_text="carol")
        expect(row).to_contain_text("of 3 (own)", timeout=SECONDS)
    with signed_in(browser, running, "carol", "/credits") as page:
        expect(page.get_by_text("0 of 40 credits today")).to_be_visible(timeout=SECONDS)


def test_a_divided_account_is_offered_only_what_it_can_have_until_it_is_united(
    browser: Browser, running: Stack
) -> None:
    with running.client("root", role="admin") as api:
        api.put("/api/limits/dora", json={"activeJobs": 200}).raise_for_status()
        api.put("/api/accounts/dora/shards", json={"shards": 4}).raise_for_status()
    with signed_in(browser, running, "root", "/users?user=dora", role="admin") as page:
        row = page.get_by_role("row").filter(has_text="dora")
        expect(row).to_contain_text("4 shards", timeout=SECONDS)
        panel = page.get_by_label("User dora")
        expect(panel).to_contain_text("New jobs are divided among 4 documents", timeout=SECONDS)
        for absent in ("Until the end of", "A day", "A month"):
            expect(panel.get_by_label(absent)).to_have_count(0)
        panel.get_by_label("Limit").fill("")
        expect(panel.get_by_role("button", name="Set the limit")).to_be_disabled()
        panel.get_by_label("Credits", exact=True).fill("50")
        panel.get_by_role("button", name="Grant 50 credits").click()
        expect(panel.get_by_role("group", name="Balance")).to_contain_text("150available")
        panel.get_by_role("button", name="Unite the account").click()
        expect(panel.get_by_label("A day")).to_be_visible(timeout=SECONDS)
        expect(panel.get_by_label("Until the end of")).to_be_visible()
        expect(row).not_to_contain_text("shards")


def test_a_webhook_is_tested_and_its_answer_read(browser: Browser, tmp_path: Path) -> None:
    with serve_handler(Teapot) as url:
        settings = {"WEBHOOK_PRIVATE_ORIGINS": url}
        with (
            stack(tmp_path / "data", settings=settings) as running,
            signed_in(browser, running, "ada", "/webhooks") as page,
        ):
            page.get_by_role("button", name="New endpoint").click()
            page.get_by_label("Address").fill(f"{url}/hooks")
            page.get_by_role("button", name="Create", exact=True).click()
            expect(page.get_by_text("whsec_")).to_be_visible(timeout=SECONDS)
            page.get_by_role("link", name="Open the endpoint").click()
            page.get_by_role("button", name="Send a test").click()
            delivery = page.locator(".deliveries > li")
            expect(delivery).to_contain_text("418 in", timeout=SECONDS)
            delivery.locator("summary").click()
            expect(delivery).to_contain_text('"type": "webhook.test"')
            expect(delivery).to_contain_text("short and stout")
            expect_one_axis(page, running)


#: A call that fails once, so that the job has two attempts.
FAILS_ONCE = {
    "prompt": "a pier",
    "options": {"width": 96, "height": 64, "studio": {"mode": "fail-temporary", "times": 1}},
}


def expect_one_axis(page: Page, running: Stack) -> None:
    """A job's status, attempts, failed call and webhook stand under each other, in their order."""
    with running.client("ada") as api:
        wait = {"Prefer": "wait=60"}
        job = api.post("/api/jobs/image-generation", json=FAILS_ONCE, headers=wait).json()
    page.goto(f"{running.url}/dashboard/jobs/{job['jobId']}")
    names = page.locator(".timeline .lane-name")
    lanes = ["Status", "Attempts", "Failed calls", "Webhooks"]
    expect(names).to_have_text(lanes, timeout=SECONDS)
    parts = {
        name: page.locator(".timeline .lane").nth(place).locator("i")
        for place, name in enumerate(lanes)
    }
    expect(parts["Attempts"]).to_have_count(2)
    expect(parts["Failed calls"]).to_have_count(1)
    expect(parts["Webhooks"].first).to_be_attached()
    boxes = [page.locator(".timeline .lane").nth(place).bounding_box() for place in range(4)]
    assert len({(box["x"], box["width"]) for box in boxes if box}) == 1
    left = "(all) => all.map((one) => parseFloat(one.style.left))"
    (failed,) = parts["Failed calls"].evaluate_all(left)
    first, second = parts["Attempts"].evaluate_all(left)
    assert 0 <= first <= failed <= second <= max(parts["Webhooks"].evaluate_all(left)) <= 100
    text = page.locator(".timeline ol")
    for moment in ("Retrying", "Failed call", "Completed", "Webhook"):
        expect(text.get_by_text(moment, exact=True).first).to_be_visible()


class Teapot(BaseHTTPRequestHandler):
    """A receiver that refuses."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(418)
        self.end_headers()
        self.wfile.write(b"short and stout")

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def test_a_user_who_is_no_admin_is_offered_none_of_it(browser: Browser, running: Stack) -> None:
    fails = {"prompt": "a kite", "options": {"studio": {"mode": "fail-permanent"}}}
    with running.client("ada") as api:
        wait = {"Prefer": "wait=30"}
        assert api.post("/api/jobs/image-generation", json=fails, headers=wait).is_success
    with signed_in(browser, running, "eve", "/queues") as page:
        expect(page.get_by_role("rowheader", name="Image generation")).to_be_visible(
            timeout=SECONDS
        )
        assert page.get_by_role("button", name="Pause").count() == 0
        names = page.get_by_role("navigation", name="Pages").get_by_role("link")
        assert not {"Users", "Audit"} & set(names.all_inner_texts())
        for path in ADMIN_PAGES:
            page.goto(f"{running.url}/dashboard{path}")
            expect(page.get_by_text("Only an admin may see this page.")).to_be_visible(
                timeout=SECONDS
            )
        # Others' failures are not among eve's.
        page.goto(f"{running.url}/dashboard/failures")
        expect(page.get_by_text("Nothing has failed")).to_be_visible(timeout=SECONDS)
        page.goto(f"{running.url}/dashboard/credits")
        expect(page.get_by_role("heading", name="Your credits")).to_be_visible(timeout=SECONDS)
        expect(page.get_by_text("By model")).to_have_count(0)


def test_a_user_redrives_their_own_failures(browser: Browser, running: Stack) -> None:
    gone = {"imageUrl": "http://127.0.0.1:9/gone.png", "scale": 2}
    with running.client("jim") as api:
        wait = {"Prefer": "wait=30"}
        job = api.post("/api/jobs/image-upscale", json=gone, headers=wait).json()
        assert job["error"]["code"] == "input_forbidden"
    with signed_in(browser, running, "jim", "/failures") as page:
        # A user can correct it, so it stands with the others.
        expect(page.locator("main > ul.work")).to_contain_text("1 failed still", timeout=SECONDS)
        page.get_by_role("button", name="Redrive…").click()
        expect(page.get_by_role("dialog")).to_contain_text("2 credits will be held")
        page.get_by_role("button", name="Redrive 1 job").click()
        expect(page.get_by_text("1 job started again.")).to_be_visible(timeout=SECONDS)


def test_several_jobs_are_replayed_after_their_cost_was_asked_for(
    browser: Browser, running: Stack
) -> None:
    with running.client("fay") as api:
        for number in range(2):
            request = {"prompt": f"a lake {number}", "options": {"width": 96, "height": 64}}
            wait = {"Prefer": "wait=30"}
            made = api.post("/api/jobs/image-generation", json=request, headers=wait).json()
            assert made["status"] == "COMPLETED"
    with signed_in(browser, running, "fay", "/jobs?status=COMPLETED") as page:
        rows = page.locator("tr[data-row]")
        expect(rows).to_have_count(2, timeout=SECONDS)
        page.get_by_role("button", name="Save this view…").click()
        page.get_by_label("Name").fill("Done")
        page.get_by_role("dialog").get_by_role("button", name="Save").click()
        page.get_by_label("Select all").check()
        page.get_by_role("button", name="Replay…").click()
        dialog = page.get_by_role("dialog", name="Replay 2 jobs")
        expect(dialog).to_contain_text("will be held", timeout=SECONDS)
        dialog.get_by_role("button", name="Replay 2 jobs").click()
        page.goto(f"{running.url}/dashboard/jobs")
        expect(rows).to_have_count(4, timeout=SECONDS)
        page.get_by_role("link", name="Done", exact=True).click()
        expect(page).to_have_url(f"{running.url}/dashboard/jobs?status=COMPLETED")


def test_every_job_that_matches_is_cancelled_after_a_dry_run(
    browser: Browser, running: Stack
) -> None:
    with running.client("gus") as api:
        for _ in range(45):  # more than a page
            assert api.post("/api/jobs/image-generation", json=LATER).status_code == 202
    with signed_in(browser, running, "gus", "/jobs?status=SCHEDULED") as page:
        expect(page.locator("tr[data-row]")).to_have_count(40, timeout=SECONDS)
        page.get_by_label("Select all").check()
        page.get_by_role("button", name="Every job that matches…").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("45 jobs will end", timeout=SECONDS)
        expect(dialog).to_contain_text("the rest of what they hold goes back")
        dialog.get_by_role("button", name="Cancel all").click()
        expect(dialog).to_contain_text("45 jobs changed", timeout=SECONDS)
        dialog.get_by_role("button", name="Done").click(timeout=SECONDS)
        expect(page.get_by_text("No job matches")).to_be_visible(timeout=SECONDS)


def test_a_projects_member_is_offered_what_the_role_permits(
    browser: Browser, running: Stack
) -> None:
    with running.client("ada") as api:
        request = LATER | {"projectId": "film"}
        job = api.post("/api/jobs/image-generation", json=request).json()["jobId"]
    for role, offered in (("viewer", 0), ("editor", 1)):
        roles = {"film": role}
        with signed_in(browser, running, "hal", f"/jobs/{job}", project_roles=roles) as page:
            expect(page.locator(".reason")).to_contain_text("submitted for later", timeout=SECONDS)
            expect(page.get_by_role("button", name="Cancel…")).to_have_count(offered)
