"""The cases of every provider in the table, from its `cases.py`."""

from __future__ import annotations

import importlib

from providers.case import Case
from taskreel.adapters.providers import PROVIDERS


def load_cases(name: str) -> tuple[Case, ...]:
    cases: tuple[Case, ...] = importlib.import_module(f"providers.{name}.cases").CASES
    return cases


CASES = tuple(case for name in PROVIDERS for case in load_cases(name))
