from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest

from taskreel.adapters.providers import PROVIDERS, ProviderEntry, WebhookKind, load_adapter
from taskreel.config import Settings

each_entry = pytest.mark.parametrize("entry", PROVIDERS.values(), ids=lambda entry: entry.name)


@each_entry
def test_a_row_names_the_adapter_in_its_folder(entry: ProviderEntry) -> None:
    assert load_adapter(entry.name).name == entry.name


@each_entry
def test_a_folder_verifies_webhooks_if_its_row_says_so(entry: ProviderEntry) -> None:
    module = f"taskreel.adapters.providers.{entry.name}.webhook"
    if entry.webhook is WebhookKind.NONE:
        assert importlib.util.find_spec(module) is None
    else:
        assert callable(importlib.import_module(module).verify_webhook)


@each_entry
def test_an_adapter_takes_the_webhook_address_if_each_job_has_its_own(entry: ProviderEntry) -> None:
    parameters = inspect.signature(load_adapter(entry.name)).parameters
    assert ("webhook" in parameters) is (entry.webhook is WebhookKind.PER_JOB)


@each_entry
def test_what_replaces_a_key_is_a_setting(entry: ProviderEntry) -> None:
    if entry.keyless_variable:
        assert entry.keyless_variable.lower() in Settings.model_fields
        module = f"taskreel.adapters.providers.{entry.name}.settings"
        assert callable(importlib.import_module(module).build_options)


def test_names_and_aliases_are_unique_and_in_lower_case() -> None:
    names = [name for entry in PROVIDERS.values() for name in (entry.name, *entry.aliases)]
    assert len(set(names)) == len(names)
    assert all(name == name.lower() for name in names)


def test_the_table_is_read_without_any_package_and_without_any_provider() -> None:
    """infra/ reads it too, and a process starts faster without what it does not call."""
    program = (
        "import sys; before = set(sys.modules); import taskreel.adapters.providers; "
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = done.stdout.split()
    ours = [name for name in loaded if name.startswith("taskreel")]
    assert ours == ["taskreel", "taskreel.adapters", "taskreel.adapters.providers"]
    assert {name.partition(".")[0] for name in loaded} <= {*sys.stdlib_module_names, "taskreel"}
