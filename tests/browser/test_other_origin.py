"""A page on another origin submits a job, follows it, and shows its picture, in Chromium."""

from __future__ import annotations

from pathlib import Path

import pytest

from browser.chromium import run_page
from e2e.processes import stack

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PAGE = Path(__file__).with_name("gallery.html")


def test_a_page_on_another_origin_submits_follows_and_shows_a_picture(tmp_path: Path) -> None:
    with stack(tmp_path / "data") as running:
        values = {"api": running.url, "token": running.token("ada")}
        found = run_page(PAGE.read_text(), values, tmp_path / "profile")
    assert "error" not in found, found
    assert found["created"] == 202
    assert found["location"].startswith(running.url)
    assert found["replayed"] == "true"
    assert found["statuses"][-1] == "COMPLETED"
    assert found["size"] == [96, 64]
    assert found["type"].startswith("image/")
    assert (found["listed"], found["refused"]) == (1, "invalid_request")


def test_a_page_that_is_not_named_can_not_read_the_api(tmp_path: Path) -> None:
    with stack(tmp_path / "data", settings={"CORS_ORIGINS": "https://app.example.com"}) as running:
        values = {"api": running.url, "token": running.token("ada")}
        found = run_page(PAGE.read_text(), values, tmp_path / "profile")
    assert "Failed to fetch" in found["error"]
