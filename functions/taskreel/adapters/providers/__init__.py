"""The generation services behind the Provider port: one folder and one row of `PROVIDERS` each.

A provider's folder is named as its row and holds

    adapter.py    the class that the row names
    models.py     MODELS: its rows of the model table; PRICE_PAGES; RESERVED_OPTIONS
    webhook.py    verify_webhook(…), where the row says that it signs webhooks

This module imports nothing but the standard library, and a folder only when it is first used: a
process pays at its start for no provider that it does not call, and infra/ reads the table too.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskreel.adapters.providers.model_row import ModelRow, PricePage


class WebhookKind(StrEnum):
    """The way in which a provider learns the address of its webhooks."""

    NONE = "none"
    #: Each request carries an address that names the job; the adapter takes `webhook=`.
    PER_JOB = "per job"
    #: One address for all of an account's work, which an operator sets at the provider.
    PER_ACCOUNT = "per account"


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """One provider. No `Record`: the scripts of infra/ read the table without any package."""

    #: As jobs, settings and stored documents call it; its folder has the same name.
    name: str
    #: The class in its `adapter.py`.
    adapter: str
    #: The environment variable of its key; in the cloud, the key of ACME_API_KEY is the secret
    #: taskreel-acme-api-key.
    key_variable: str
    webhook: WebhookKind = WebhookKind.NONE
    #: Other names by which callers may ask for it, in lower case.
    aliases: tuple[str, ...] = ()
    #: It also runs models that are not in its `models.py`, by their owners' names and at a price
    #: that is unknown here.
    any_model: bool = False
    #: The setting that configures it without a key. Then `settings.py` in its folder has
    #: `build_options(settings)`: the adapter's arguments in place of `key`.
    keyless_variable: str = ""
    #: Other variables of its key, as its own SDK and documents name them; `key_variable` wins.
    other_key_variables: tuple[str, ...] = ()


#: Real services only; a provider that works in this process is not in the table (in_process.py).
PROVIDERS: Mapping[str, ProviderEntry] = {
    entry.name: entry
    for entry in (
        ProviderEntry(
            "bfl",
            "BlackForestLabs",
            "BFL_API_KEY",
            WebhookKind.PER_JOB,
            aliases=("black-forest-labs", "flux"),
        ),
        ProviderEntry(
            "runway",
            "Runway",
            "RUNWAY_API_KEY",
            aliases=("runwayml",),
            other_key_variables=("RUNWAYML_API_SECRET",),
        ),
        ProviderEntry(
            "stability",
            "Stability",
            "STABILITY_API_KEY",
            aliases=("stability-ai", "stabilityai"),
        ),
        ProviderEntry(
            "openai",
            "OpenAI",
            "OPENAI_API_KEY",
            WebhookKind.PER_ACCOUNT,
            aliases=("dall-e", "dalle"),
        ),
        ProviderEntry(
            "google",
            "Google",
            "GOOGLE_API_KEY",
            aliases=("gemini", "vertex", "vertex-ai", "veo"),
            keyless_variable="GOOGLE_VERTEX_PROJECT",
            other_key_variables=("GEMINI_API_KEY",),
        ),
        ProviderEntry("elevenlabs", "ElevenLabs", "ELEVENLABS_API_KEY"),
        ProviderEntry(
            "replicate",
            "Replicate",
            "REPLICATE_API_TOKEN",
            WebhookKind.PER_JOB,
            # Some callers ask for "upscale" by name; Real-ESRGAN at Replicate is meant.
            aliases=("upscale",),
            any_model=True,
        ),
        ProviderEntry(
            "luma",
            "Luma",
            "LUMA_API_KEY",
            aliases=("lumalabs", "luma-ai"),
            other_key_variables=("LUMA_AGENTS_API_KEY",),
        ),
        ProviderEntry("minimax", "MiniMax", "MINIMAX_API_KEY"),
        ProviderEntry("openrouter", "OpenRouter", "OPENROUTER_API_KEY", aliases=("open-router",)),
        ProviderEntry("xai", "XAI", "XAI_API_KEY", aliases=("grok", "x-ai")),
        ProviderEntry(
            "fal", "Fal", "FAL_KEY", WebhookKind.PER_JOB, aliases=("fal-ai",), any_model=True
        ),
    )
}

#: The environment variable of each provider's key.
KEY_VARIABLES: Mapping[str, str] = {name: entry.key_variable for name, entry in PROVIDERS.items()}


def rename_keys(environ: Mapping[str, str]) -> Mapping[str, str]:
    """The environment with each key under Taskreel's own variable, whatever it was named."""
    found = dict(environ)
    for entry in PROVIDERS.values():
        given = [found[name] for name in entry.other_key_variables if found.get(name)]
        if given and not found.get(entry.key_variable):
            found[entry.key_variable] = given[0]
    return found


def load_adapter(name: str) -> Any:
    """Import a provider's adapter class; KeyError for a name that is not in the table."""
    return getattr(_load_module(name, "adapter"), PROVIDERS[name].adapter)


def load_models(name: str) -> tuple[ModelRow, ...]:
    """Import a provider's rows of the model table; the first of a capability is its default."""
    rows: tuple[ModelRow, ...] = _load_module(name, "models").MODELS
    return rows


def load_reserved_options(name: str) -> frozenset[str]:
    """The `providerOptions` that no caller may send to this provider (reserved_options.py)."""
    names: frozenset[str] = _load_module(name, "models").RESERVED_OPTIONS
    return names


def load_price_pages(name: str) -> tuple[PricePage, ...]:
    """The pages that the prices of a provider's models come from."""
    pages: tuple[PricePage, ...] = _load_module(name, "models").PRICE_PAGES
    return pages


def build_keyless_options(name: str, settings: Any) -> dict[str, Any]:
    """The arguments of the adapter of a provider that `settings` configure without a key."""
    options: dict[str, Any] = _load_module(name, "settings").build_options(settings)
    return options


def verify_webhook(
    name: str, headers: Mapping[str, str], body: bytes, secret: str, now: datetime
) -> str:
    """The operation's id in a webhook of a provider.

    Raises UnauthenticatedError unless the provider's signature is valid.
    """
    operation: str = _load_module(name, "webhook").verify_webhook(headers, body, secret, now)
    return operation


def _load_module(name: str, part: str) -> Any:
    return importlib.import_module(f"{__name__}.{PROVIDERS[name].name}.{part}")
