"""The studio: a provider of the dev stack that imitates generation services, and fails on request.

Pictures are drawn, clips and music composed, texts come from a grammar, speech from espeak-ng: all
from the prompt and a seed, with no network. `EXTRA_PROVIDERS=taskreel_local.studio:PROVIDERS`
registers it; the deploy unit does not know it.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from taskreel.adapters.media import IN_HOUSE
from taskreel.adapters.providers.in_process import InProcessProvider
from taskreel.ports import Capability, Clock, MediaWorkers, Provider
from taskreel_local.studio.fault_injection import FaultInjector, StudioOptions

_TEXT_OPTIONS = {
    "prompt",
    "seed",
    "kind",
    "schema",
    "title",
    "genre",
    "format",
    "sceneCount",
    "placeCount",
    "characterCount",
    "style",
    "language",
}
#: The options that it takes, by capability.
CAPABILITIES: Mapping[Capability, frozenset[str]] = {
    Capability.IMAGE: frozenset(
        {"prompt", "seed", "width", "height", "aspectRatio", "outputFormat"}
    ),
    Capability.VIDEO: frozenset(
        {"prompt", "seed", "width", "height", "aspectRatio", "fps", "duration"}
    ),
    Capability.UPSCALE: frozenset({"scale", "outputFormat"}),
    Capability.TEXT: frozenset(_TEXT_OPTIONS),
    Capability.SPEECH: frozenset({"text", "voice", "language", "outputFormat", "speed", "pitch"}),
    Capability.MUSIC: frozenset({"prompt", "seed", "duration", "outputFormat"}),
}


def build_studio(workers: MediaWorkers, clock: Clock) -> Provider:
    """The imitation, which fails on request."""
    from taskreel_local.studio.imitation import Studio

    return FaultInjector(Studio(workers), workers, clock)


def build_in_house(workers: MediaWorkers, clock: Clock) -> Provider:
    """The in-house provider as it is deployed, with a voice; it too fails on request."""
    from taskreel.adapters.media.in_house import InHouse
    from taskreel_local.studio.speech import speak_greeting

    return FaultInjector(InHouse(workers, speak=speak_greeting), workers, clock)


#: Named by EXTRA_PROVIDERS. The second one replaces the deploy unit's own of that name.
PROVIDERS = (
    InProcessProvider(
        name="studio",
        build=build_studio,
        capabilities=CAPABILITIES,
        aliases=frozenset({"local"}),
        imitation=True,
        job_options={"studio": StudioOptions},
    ),
    replace(IN_HOUSE, build=build_in_house, job_options={"studio": StudioOptions}),
)
