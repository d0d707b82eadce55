"""The mark of tests that take too long for the day; `.ci/nightly` runs them."""

from __future__ import annotations

import os

import pytest


def skip_by_day(reason: str) -> pytest.MarkDecorator:
    """Return the mark that skips a test unless NIGHTLY is set, with the reason."""
    return pytest.mark.skipif(not os.environ.get("NIGHTLY"), reason=f"{reason}: NIGHTLY=1 runs it")
