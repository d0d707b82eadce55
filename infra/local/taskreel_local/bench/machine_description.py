"""The description of a machine, for the head of a report."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime


def describe_machine() -> tuple[str, str, str]:
    """The time, the machine with its load now, and the version of Python."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    machine = f"{os.cpu_count()} × {platform.machine()}{load}"
    return now, machine, f"Python {platform.python_version()}"
