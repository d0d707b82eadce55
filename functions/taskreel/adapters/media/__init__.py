"""Taskreel's own work on files and texts, behind the Provider port: no service is called."""

from __future__ import annotations

from collections.abc import Mapping

from taskreel.adapters.providers.in_process import InProcessProvider
from taskreel.ports import Capability, Clock, MediaWorkers, Provider

#: The name by which jobs say that Taskreel itself did the work.
NAME = "taskreel"
#: Each capability, with the options that it takes; None takes every option of its job types.
CAPABILITIES: Mapping[Capability, frozenset[str] | None] = {
    Capability.COMPOSE: None,
    Capability.ASSEMBLE: None,
    Capability.PROCESS: None,
    Capability.ANALYSE: None,
    Capability.PERSONALIZE: None,
    # Resampling, for those who ask for it by name; `auto` chooses a service.
    Capability.UPSCALE: frozenset({"scale", "outputFormat"}),
}


def build_in_house(workers: MediaWorkers, _clock: Clock) -> Provider:
    """The provider; its module is imported now."""
    from taskreel.adapters.media.in_house import InHouse

    return InHouse(workers)


IN_HOUSE = InProcessProvider(name=NAME, build=build_in_house, capabilities=CAPABILITIES)
