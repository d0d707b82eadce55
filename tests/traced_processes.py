"""The processes whose lines coverage counts: those that run tests, and the simulations they start.

Workers for media, commands and servers add nothing to what is counted, and would be slowed down.
"""

from __future__ import annotations

import os

#: Coverage's own variable, by which a new process of Python begins to trace itself.
_VARIABLE = "COVERAGE_PROCESS_CONFIG"
_settings: dict[str, str] = {}


def stop_tracing_children() -> None:
    """Let no process be traced that this one starts from now on; this one goes on to be."""
    if _VARIABLE in os.environ:
        _settings[_VARIABLE] = os.environ.pop(_VARIABLE)


def trace_child() -> dict[str, str]:
    """Return the variables with which a process is traced after all, if this one is."""
    return dict(_settings)
