"""Projects on the dashboard: members, roles and caps, and what each role is offered."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from browser.signed_in_page import SECONDS, signed_in
from e2e.processes import Stack

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NAME = "The lighthouse film"


def test_an_owner_chooses_members_and_caps_and_names_another_owner(
    browser: Browser, running: Stack
) -> None:
    with signed_in(browser, running, "ivy", "/projects") as page:
        expect(page.get_by_text("No projects yet")).to_be_visible(timeout=SECONDS)
        page.get_by_role("button", name="New project").click()
        page.get_by_label("Name").fill(NAME)
        page.get_by_role("dialog").get_by_role("button", name="Create").click()
        expect(page.get_by_role("heading", name=NAME)).to_be_visible(timeout=SECONDS)

        for user, role in (("joe", "Editor"), ("kim", "Viewer")):
            page.get_by_label("User", exact=True).fill(user)
            page.get_by_role("combobox").select_option(role)
            page.get_by_role("button", name="Add", exact=True).click()
            expect(find_member(page, user)).to_contain_text(role.lower(), timeout=SECONDS)
        page.get_by_label("A day").fill("40")
        page.get_by_label("Reason").first.fill("a trial")
        page.get_by_role("button", name="Set the caps").click()
        expect(page.get_by_text("0 of 40 credits today")).to_be_visible(timeout=SECONDS)
        page.get_by_label("Jobs at a time").fill("3")
        page.get_by_label("Credits in all").fill("900")
        page.get_by_role("button", name="Set the limits").click()
        expect(page.get_by_text("0 of 900 credits in all")).to_be_visible(timeout=SECONDS)

        page.get_by_role("button", name="New key…").click()
        page.get_by_label("Name of the key").fill("render server")
        page.get_by_role("dialog").get_by_role("button", name="Create the key").click()
        expect(page.get_by_text("copy its token now")).to_contain_text("tk_", timeout=SECONDS)
        page.get_by_role("button", name="Hide").click()
        page.get_by_role("button", name="Revoke render server").click()
        page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
        expect(page.get_by_text("0 API keys")).to_be_visible(timeout=SECONDS)
        give_role(page, "kim", "Editor", "Set the role")
        expect(find_member(page, "kim")).to_contain_text("editor", timeout=SECONDS)
        page.get_by_role("button", name="Remove kim").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("Their own jobs stay theirs")
        dialog.get_by_role("button", name="Remove").click()
        expect(find_member(page, "kim")).to_have_count(0, timeout=SECONDS)
        give_role(page, "joe", "Owner", "Make the owner")
        expect(find_member(page, "joe")).to_contain_text("owner", timeout=SECONDS)
        expect(find_member(page, "ivy")).to_contain_text("admin")
        page.get_by_role("button", name="Leave…").click()
        page.get_by_role("dialog").get_by_role("button", name="Leave").click()
        expect(page.get_by_text("No projects yet")).to_be_visible(timeout=SECONDS)
    with signed_in(browser, running, "root", "/projects", role="admin") as page:
        row = page.get_by_role("row").filter(has_text=NAME)
        expect(row).to_contain_text("0 of 40", timeout=SECONDS)
        page.goto(f"{running.url}/dashboard/audit")
        caps = page.get_by_role("row").filter(has_text="project caps set")
        expect(caps).to_contain_text("a trial", timeout=SECONDS)
        caps.get_by_role("link").click()
        expect(page.get_by_role("heading", name=NAME)).to_be_visible(timeout=SECONDS)


def find_member(page: Page, user: str) -> Locator:
    row = page.get_by_role("row")
    return row.filter(has=page.get_by_role("rowheader", name=user))


def give_role(page: Page, user: str, role: str, verb: str) -> None:
    page.get_by_role("button", name=f"Change the role of {user}").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label(role).check()
    dialog.get_by_role("button", name=verb).click()


def test_a_member_is_offered_what_the_stored_role_permits(browser: Browser, running: Stack) -> None:
    with running.client("lea") as owner:
        project = owner.post("/api/projects", json={"name": NAME}).json()["projectId"]
        later = {"prompt": "dunes", "scheduleAt": "2030-01-01T00:00:00Z", "projectId": project}
        job = owner.post("/api/jobs/image-generation", json=later).json()["jobId"]
        for role, cancels in (("viewer", 0), ("editor", 1)):
            path = f"/api/projects/{project}/members/max"
            assert owner.put(path, json={"role": role}).is_success
            with signed_in(browser, running, "max", f"/jobs/{job}") as page:
                expect(page.locator(".reason")).to_contain_text("later", timeout=SECONDS)
                expect(page.get_by_role("button", name="Cancel…")).to_have_count(cancels)
                page.goto(f"{running.url}/dashboard/projects/{project}")
                expect(find_member(page, "max")).to_contain_text(role, timeout=SECONDS)
                expect(page.get_by_role("button", name="Set the caps")).to_have_count(0)
                expect(page.get_by_role("button", name="Remove lea")).to_have_count(0)
    with signed_in(browser, running, "eve", f"/projects/{project}") as page:
        expect(page.get_by_text("you are no member")).to_be_visible(timeout=SECONDS)
