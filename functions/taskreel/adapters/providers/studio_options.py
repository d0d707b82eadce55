"""The options of the local provider, which makes things itself and so has no row of a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from taskreel.adapters.providers.model_row import TEXT_OPTIONS
from taskreel.ports import Capability

#: The options that it takes, by capability.
STUDIO_OPTIONS: Mapping[Capability, frozenset[str]] = {
    Capability.IMAGE: frozenset({"prompt", "seed", "width", "height", "outputFormat"}),
    Capability.VIDEO: frozenset({"prompt", "seed", "width", "height", "fps", "duration"}),
    Capability.UPSCALE: frozenset({"scale", "outputFormat"}),
    Capability.TEXT: (TEXT_OPTIONS - {"tone", "audience"}) | {"prompt", "seed"},
    Capability.SPEECH: frozenset({"text", "voice", "language", "outputFormat", "speed", "pitch"}),
    Capability.MUSIC: frozenset({"prompt", "seed", "duration", "outputFormat"}),
}


def list_options_studio_ignores(
    capability: Capability, params: Mapping[str, Any], given: Iterable[str]
) -> dict[str, str]:
    """`list_ignored_options` of the local provider; it takes all options of other capabilities."""
    able = STUDIO_OPTIONS.get(capability, frozenset(params)) | {"studio", "providerOptions"}
    found = {
        name: "the local provider has no such option"
        for name in given
        if name in params and name not in able
    }
    sent = params.get("providerOptions") or {}
    return found | dict.fromkeys(sent, "the local provider sends nothing to a service")
