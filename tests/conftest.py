"""For every test: no network but loopback, no settings from outside, Hypothesis without a clock."""

from __future__ import annotations

import os

import pytest
import pytest_socket
from hypothesis import settings

from taskreel.config import Settings
from taskreel.wiring import KEY_NAMES

LOOPBACK = ["127.0.0.1", "::1", "localhost"]

for name in [*map(str.upper, Settings.model_fields), *KEY_NAMES.values()]:
    os.environ.pop(name, None)

settings.register_profile("dev", deadline=None, max_examples=60)
settings.register_profile("ci", deadline=None, max_examples=100, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("live") is None:
        pytest_socket.socket_allow_hosts(LOOPBACK, allow_unix_socket=True)
