"""A page of the dashboard with a user signed in, and what every test of it expects."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, ViewportSize, expect

from e2e.processes import Stack

#: A picture takes a second or two; the machine of a test run is busy.
SECONDS = 60_000
PHONE = ViewportSize(width=390, height=844)
DESKTOP = ViewportSize(width=1280, height=860)


@contextmanager
def signed_in(
    browser: Browser,
    running: Stack,
    user: str,
    path: str = "",
    **claims: Any,
) -> Iterator[Page]:
    """A page of that user. It must ask no other host, and its console must stay clean."""
    context = browser.new_context(viewport=DESKTOP)
    context.set_default_timeout(SECONDS)
    page = context.new_page()
    page.set_default_timeout(SECONDS)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    foreign: list[str] = []
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith((running.url, "data:")) else foreign.append(request.url)
        ),
    )
    page.goto(f"{running.url}/dashboard{path}#token={running.token(user, **claims)}")
    expect(page.get_by_role("navigation", name="Pages")).to_be_visible(timeout=SECONDS)
    try:
        yield page
        assert errors == []
        assert foreign == []
    finally:
        context.close()


def store_picture(page: Page, name: str, *, height: int = 860) -> None:
    """Store the top of what the page shows as `name`.jpg in the folder of SCREENSHOTS, if set.

    The pictures in README.md and infra/README.md are made so.
    """
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        path = Path(folder) / f"{name}.jpg"
        top = {"x": 0.0, "y": 0.0, "width": 1280.0, "height": float(height)}
        page.screenshot(path=path, type="jpeg", quality=82, clip=top)  # type: ignore[arg-type]


def store_page(page: Page, path: str, variant: str) -> None:
    """Store all of a page in the folder of SCREENSHOTS, if set, to be looked at."""
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        name = re.sub(r"\W+", "_", path.partition("?")[0].strip("/")) or "overview"
        view = "_sheet" if "view=sheet" in path else ""
        page.screenshot(path=Path(folder) / f"{name}{view}.{variant}.png", full_page=True)
