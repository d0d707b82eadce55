"""The dashboard as a person uses it: in Chromium, on a running stack."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from browser.signed_in_page import SECONDS, signed_in
from e2e.processes import Stack, stack

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_person_makes_a_picture_replays_it_with_another_prompt_and_compares(
    browser: Browser, running: Stack
) -> None:
    with signed_in(browser, running, "ada", "/new") as page:
        assert "token" not in page.url  # it is out of the address, and of the history
        page.get_by_label("Prompt", exact=False).first.fill("a lighthouse at dawn")
        page.get_by_label("Width").fill("96")
        page.get_by_label("Height").fill("64")
        expect(page.get_by_text("1 credit", exact=True)).to_be_visible(timeout=SECONDS)
        page.get_by_role("button", name="Create job").click()

        expect(page.get_by_role("heading", name="a lighthouse at dawn")).to_be_visible(
            timeout=SECONDS
        )
        picture = page.get_by_role("img", name="a lighthouse at dawn")
        expect(picture).to_be_visible(timeout=SECONDS)  # it came without a reload
        expect(page.get_by_text("It was made by studio")).to_be_visible()
        assert picture.evaluate("one => one.decode().then(() => one.naturalWidth)") == 96

        page.get_by_role("button", name="Replay with changes…").click()
        dialog = page.get_by_role("dialog", name="Replay with changes")
        dialog.get_by_label("Prompt", exact=False).first.fill("a lighthouse at night")
        expect(dialog.get_by_text('"prompt": "a lighthouse at night"')).to_be_visible()
        replay = dialog.get_by_role("button", name="Replay", exact=True)
        expect(replay).to_be_enabled(timeout=SECONDS)
        replay.click()

        expect(page.get_by_role("heading", name="Compare")).to_be_visible(timeout=SECONDS)
        expect(page.get_by_label("How much of A is seen")).to_be_visible(timeout=SECONDS)
        row = page.get_by_role("row").filter(has_text="prompt")
        expect(row).to_contain_text("a lighthouse at night")


PIPELINE = {
    "steps": {
        "picture": {
            "type": "image-generation",
            "payload": {"prompt": "a lighthouse", "options": {"width": 96, "height": 64}},
        },
        "larger": {
            "type": "image-upscale",
            "payload": {"imageUrl": "{{steps.picture.artifacts[0].ref}}", "scale": 2},
        },
    }
}


def test_a_pipelines_graph_shows_each_step_while_it_runs(browser: Browser, running: Stack) -> None:
    order = {"reason": "to see the graph"}
    with running.client("root", role="admin") as root, running.client("ned") as api:
        # It stops between its steps for as long as one looks.
        assert root.post("/api/jobs/queues/image-upscale/pause", json=order).is_success
        job = api.post("/api/jobs/pipeline", json=PIPELINE).json()["jobId"]
        with signed_in(browser, running, "ned", f"/jobs/{job}") as page:
            picture, larger = (page.locator(f"[data-step={one}]") for one in ("picture", "larger"))
            expect(picture).to_contain_text("Done", timeout=SECONDS)
            expect(picture).to_contain_text("1 credit")
            expect(picture.get_by_role("link", name="Job 1 of picture")).to_be_visible()
            expect(picture.locator("img")).to_be_visible(timeout=SECONDS)
            expect(larger).to_contain_text("Running", timeout=SECONDS)
            expect(page.locator(".graph > svg path")).to_have_count(1)
            assert root.post("/api/jobs/queues/image-upscale/resume", json=order).is_success
            expect(larger).to_contain_text("Done", timeout=SECONDS)  # without a reload
            expect(page.locator(".reason")).to_contain_text("Completed", timeout=SECONDS)
            preview = page.locator(".preview img").first
            expect(preview).to_be_visible(timeout=SECONDS)


def test_new_jobs_appear_in_the_list_and_several_are_cancelled_at_once(
    browser: Browser, running: Stack
) -> None:
    with signed_in(browser, running, "bob", "/jobs") as page, running.client("bob") as api:
        expect(page.get_by_text("No jobs yet")).to_be_visible(timeout=SECONDS)
        later = {"prompt": "dunes under a wide sky", "scheduleAt": "2030-01-01T00:00:00Z"}
        for _ in range(3):
            assert api.post("/api/jobs/image-generation", json=later).status_code == 202
        rows = page.locator("tr[data-row]")
        expect(rows).to_have_count(3, timeout=SECONDS)
        page.keyboard.press("j")
        page.keyboard.press("x")
        page.keyboard.press("j")
        page.keyboard.press("x")
        page.get_by_role("button", name="Cancel…").click()
        expect(page.get_by_role("dialog")).to_contain_text("the rest of 2 credits held goes back")
        page.get_by_role("button", name="Cancel 2 jobs").click()
        expect(rows.filter(has_text="Cancelled")).to_have_count(2, timeout=SECONDS)
        page.get_by_role("button", name="Stopped").click()
        expect(page).to_have_url(f"{running.url}/dashboard/jobs?status=CANCELLED,EXPIRED")
        expect(rows).to_have_count(2, timeout=SECONDS)
        page.get_by_role("button", name="Contact sheet").click()
        expect(page.locator("li.card")).to_have_count(2)


def test_only_an_admin_is_offered_what_only_an_admin_may_do(
    browser: Browser, running: Stack
) -> None:
    path = "/providers?text=bfl+flux-2-pro"
    with signed_in(browser, running, "ada", path) as page:
        expect(page.get_by_role("rowheader", name="flux-2-pro")).to_be_visible(timeout=SECONDS)
        expect(page.get_by_role("button", name="Change flux-2-pro")).to_have_count(0)
    with signed_in(browser, running, "root", path, role="admin") as page:
        page.get_by_role("button", name="Change flux-2-pro").first.click()
        page.get_by_label("Reason, for the audit log").fill("a rehearsal")
        page.get_by_role("button", name="Apply").click()
        expect(page.get_by_text("stopped", exact=True)).to_be_visible(timeout=SECONDS)
        page.goto(f"{running.url}/dashboard")
        expect(page.get_by_text("bfl: 1 model stopped")).to_be_visible(timeout=SECONDS)


def test_failed_jobs_are_redriven_after_a_dry_run_that_says_the_cost(
    browser: Browser, running: Stack
) -> None:
    fails = {"prompt": "a red kite", "options": {"studio": {"mode": "fail-permanent"}}}
    with running.client("zoe") as api:
        job = api.post(
            "/api/jobs/image-generation", json=fails, headers={"Prefer": "wait=30"}
        ).json()
        assert job["status"] == "FAILED"
    with signed_in(browser, running, "root", "/failures", role="admin") as page:
        page.get_by_role("button", name="Redrive…").first.click()
        expect(page.get_by_role("dialog")).to_contain_text("1 credit will be held")
        page.get_by_role("button", name="Redrive 1 job").click()
        expect(page.get_by_text("1 job started again.")).to_be_visible(timeout=SECONDS)
        page.goto(f"{running.url}/dashboard/jobs/{job['jobId']}")
        # `studio` fails the first attempt of each round, so the second one is there to read.
        failed = page.locator(".timeline li").filter(has_text="Failed call")
        expect(failed).to_have_count(2, timeout=SECONDS)


def test_a_form_begins_with_the_documents_fields_in_their_order(
    browser: Browser, running: Stack
) -> None:
    with running.client("ivy") as api:
        project = api.post("/api/projects", json={"name": "The film"}).json()["projectId"]
    with signed_in(browser, running, "ivy", "/new?type=image-generation") as page:
        labels = page.locator(".schema-form > .grid").first.locator("label[for]")
        expect(labels.first).to_be_visible(timeout=SECONDS)
        names = labels.evaluate_all("all => all.map(one => one.htmlFor.replace('field-', ''))")
        assert names == ["prompt", "model", "provider", "imageUrls", "numImages"]
        page.get_by_text("More settings").click()
        expect(page.get_by_label("Project")).to_be_visible()
        offered = page.locator("#field-projectId-list option")
        expect(offered).to_have_attribute("value", project, timeout=SECONDS)
        # The example's `num_sequences` is the form's field.
        page.goto(f"{running.url}/dashboard/new?type=movie-creation")
        expect(page.get_by_label("Number of scenes")).to_have_value("4", timeout=SECONDS)


def test_what_its_request_explains_needs_the_user_and_not_the_operator(
    browser: Browser, running: Stack
) -> None:
    gone = {"imageUrl": "http://127.0.0.1:9/gone.png", "scale": 2}
    with running.client("kay") as api:
        wait = {"Prefer": "wait=30"}
        job = api.post("/api/jobs/image-upscale", json=gone, headers=wait).json()
        assert job["error"]["code"] == "input_forbidden"
    with signed_in(browser, running, "kay") as page:
        expect(page.locator("ul.work")).to_contain_text("private address", timeout=SECONDS)
    with signed_in(browser, running, "root", role="admin") as page:
        told = page.get_by_text("failed by what their own requests ask for")
        expect(told).to_be_visible(timeout=SECONDS)
        expect(page.locator("ul.work").filter(has_text="private address")).to_have_count(0)
        told.get_by_role("link").click()
        kind = page.locator("details[open] ul.work")
        expect(kind).to_contain_text("input_forbidden", timeout=SECONDS)


def test_the_overview_draws_what_ended_and_how_long_it_waited(
    browser: Browser, running: Stack
) -> None:
    with running.client("ida") as api:
        picture = {"prompt": "a pier", "options": {"width": 96, "height": 64}}
        wait = {"Prefer": "wait=30"}
        assert api.post("/api/jobs/image-generation", json=picture, headers=wait).is_success
    with signed_in(browser, running, "ida") as page:
        row = page.locator("table.types tr").filter(has_text="Image generation")
        for name in (r"^Ended in each ten minutes.*[1-9]", r"^Mean wait .* \d.* m?s"):
            drawn = row.get_by_role("img", name=re.compile(name))
            expect(drawn.locator("polyline, line").first).to_be_attached(timeout=SECONDS)
        # Types without jobs come when one asks for them.
        idle = page.locator("table.types tr").filter(has_text="World building")
        expect(idle).to_have_count(0)
        page.get_by_role("button", name="without jobs").click()
        expect(idle).to_have_count(1)


def test_another_users_job_is_refused_in_plain_words(browser: Browser, running: Stack) -> None:
    with running.client("ada") as api:
        request = {"prompt": "a red kite", "scheduleAt": "2030-01-01T00:00:00Z"}
        job = api.post("/api/jobs/image-generation", json=request).json()["jobId"]
    with signed_in(browser, running, "eve", f"/jobs/{job}") as page:
        expect(page.get_by_text("It is not there, or not yours")).to_be_visible(timeout=SECONDS)


def test_without_a_valid_token_the_page_asks_for_one(browser: Browser, running: Stack) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{running.url}/dashboard#token=not.a.token")
    expect(page.get_by_text("Your token has expired or was refused")).to_be_visible(timeout=SECONDS)
    page.get_by_label("Token").fill(running.token("ada"))
    expect(page.get_by_text("It signs in ada.")).to_be_visible()
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible(timeout=SECONDS)
    context.close()


def test_the_page_goes_on_by_itself_when_the_server_is_back(
    browser: Browser, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    with stack(data) as first:
        port = int(first.url.rpartition(":")[2])
        with signed_in(browser, first, "ada", "/jobs") as page:
            expect(page.get_by_text("No jobs yet")).to_be_visible(timeout=SECONDS)
            expect(page.get_by_text("Live", exact=True)).to_be_visible(timeout=SECONDS)
            # A second tab, whose list was just being opened when the server went away.
            opening = open_tab_without(page, "jobs.js")
            first.kill()
            expect(page.get_by_text("What you see may be old")).to_be_visible(timeout=SECONDS)
            expect(opening.get_by_text("What you see may be old")).to_be_visible(timeout=SECONDS)
            opening.unroute_all()
            with stack(data, port=port) as second, second.client("ada") as api:
                request = {"prompt": "a red kite", "scheduleAt": "2030-01-01T00:00:00Z"}
                assert api.post("/api/jobs/image-generation", json=request).status_code == 202
                for tab in (page, opening):
                    expect(tab.locator("tr[data-row]")).to_have_count(1, timeout=SECONDS)
                    expect(tab.get_by_role("alert")).to_have_count(0, timeout=SECONDS)


def open_tab_without(page: Page, script: str) -> Page:
    """The same address in another tab, where a script of the page cannot be loaded."""
    tab = page.context.new_page()
    tab.route(f"**/pages/{script}", lambda route: route.abort("connectionreset"))
    tab.goto(page.url)
    expect(tab.get_by_text("could not be loaded")).to_be_visible(timeout=SECONDS)
    expect(tab.get_by_text("Live", exact=True)).to_be_visible(timeout=SECONDS)
    return tab
