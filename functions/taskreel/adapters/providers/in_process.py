"""Providers that work in this process: Taskreel's own, and those that EXTRA_PROVIDERS names."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from taskreel.domain.provider_choice import Offer
from taskreel.domain.value import Value
from taskreel.ports import Capability, Clock, MediaWorkers, Provider, WorkRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class InProcessProvider:
    """A provider that calls no service: it needs no key, costs nothing and has no breaker."""

    name: str
    build: Callable[[MediaWorkers, Clock], Provider]
    #: Each capability that it serves, with the options that it takes; None takes every option.
    capabilities: Mapping[Capability, frozenset[str] | None]
    #: Other words by which callers name it, in lower case.
    aliases: frozenset[str] = frozenset()
    #: It only imitates services: STAND_IN_PROVIDER may name it.
    imitation: bool = False
    #: What it adds to every job's `options`, by field name.
    job_options: Mapping[str, type[Value]] = field(default_factory=dict)

    def build_offer(self, request: WorkRequest) -> Offer:
        """An offer of what it serves. Costs nothing and is always admitted."""
        return Offer(
            provider=self.name,
            model="",
            usd=0.0,
            admits_at=request.now,
            stand_in=self.imitation,
        )

    def explain_ignored_options(
        self, capability: Capability, params: Mapping[str, Any], given: Collection[str]
    ) -> dict[str, str]:
        """The options among `given` that it does not take, each with the reason."""
        taken = self.capabilities.get(capability)
        found: dict[str, str] = {}
        if taken is not None:
            known = {*taken, *self.job_options, "providerOptions"}
            message = f"the provider {self.name} has no such option"
            found = {name: message for name in given if name in params and name not in known}
        sent = params.get("providerOptions") or {}
        return found | dict.fromkeys(sent, f"{self.name} sends nothing to a service")


def load_in_process_providers(path: str) -> Sequence[InProcessProvider]:
    """The providers at `module:ATTRIBUTE`. Raises ValueError, ImportError or AttributeError."""
    module, separator, attribute = path.partition(":")
    if not separator:
        raise ValueError(f"{path!r} is not of the form module:ATTRIBUTE")
    found: Sequence[InProcessProvider] = getattr(importlib.import_module(module), attribute)
    return found
