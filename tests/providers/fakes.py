"""The fake of each provider in the table, found as the subclass in its `fake.py`."""

from __future__ import annotations

import importlib

from providers.fake_provider import FakeProvider
from taskreel.adapters.providers import PROVIDERS


def load_fake(name: str) -> type[FakeProvider]:
    module = importlib.import_module(f"providers.{name}.fake")
    (fake,) = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, FakeProvider) and value is not FakeProvider
    ]
    return fake


FAKES = {name: load_fake(name) for name in PROVIDERS}
