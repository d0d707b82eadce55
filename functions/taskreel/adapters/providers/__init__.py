"""Generation services behind the Provider port: one file each, imported when first asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

#: name → "module:Class"
PROVIDERS = {
    "studio": "taskreel.adapters.providers.studio:Studio",
    "bfl": "taskreel.adapters.providers.bfl:BlackForestLabs",
    "runway": "taskreel.adapters.providers.runway:Runway",
    "stability": "taskreel.adapters.providers.stability:Stability",
    "openai": "taskreel.adapters.providers.openai:OpenAI",
    "google": "taskreel.adapters.providers.google:Google",
    "elevenlabs": "taskreel.adapters.providers.elevenlabs:ElevenLabs",
    "replicate": "taskreel.adapters.providers.replicate:Replicate",
    "fal": "taskreel.adapters.providers.fal:Fal",
}


def webhook_operation(
    name: str, headers: Mapping[str, str], body: bytes, secret: str, now: datetime
) -> str:
    """The operation that a webhook names, once the provider's signature holds; UnauthenticatedError otherwise."""
    module, _, _ = PROVIDERS[name].partition(":")
    verified: str = importlib.import_module(module).verify_webhook(headers, body, secret, now)
    return verified


def load(name: str) -> Any:
    """The provider's class; KeyError when the table has no such name."""
    module, _, class_ = PROVIDERS[name].partition(":")
    return getattr(importlib.import_module(module), class_)
