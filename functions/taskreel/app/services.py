"""What every use case is given: the ports, built once by `wiring`, and the rules that deployments may set."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from random import Random, SystemRandom
from typing import Any, Protocol

from taskreel.app.breakers import Breakers
from taskreel.app.scratch import Scratch
from taskreel.domain.choice import Offer
from taskreel.domain.errors import InvalidError
from taskreel.media.workers import Workers
from taskreel.ports import Blobs, Capability, Clock, Fetch, Provider, Store, TaskQueue

WAKE_SHARDS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Times and amounts that a deployment may set."""

    initial_credits: int = 0
    lease: timedelta = timedelta(seconds=30)
    heartbeat: timedelta = timedelta(seconds=5)
    #: A queued job whose task has not come by then gets another.
    rescue_after: timedelta = timedelta(minutes=2)
    signed_url_lifetime: timedelta = timedelta(hours=1)
    max_input_bytes: int = 200 << 20
    input_timeout: timedelta = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Asked:
    """One unit's work, as a provider is looked for that can do it."""

    capability: Capability
    #: As the caller called it; "" is any.
    model: str
    params: Mapping[str, Any]
    #: How many files it starts from.
    inputs: int
    now: datetime


class Catalogue(Protocol):
    """What the real providers can be asked for: the model table, as the use cases see it."""

    def provider_name(self, word: str, /) -> str:
        """The provider that a caller's word means."""

    def makes(self, provider: str, capability: Capability, /) -> bool:
        """Whether it has any model for that."""

    def offers(self, provider: str, asked: Asked, /, *, every: bool = False) -> list[Offer]:
        """How it would serve the work: by the model asked for, else its default, else with `every` by all it has.

        Raises InvalidError for a model that it does not have, or no longer has.
        """

    def estimate(self, provider: str, asked: Asked, /) -> float | None:
        """About what it costs in US dollars there."""

    def ignored(self, provider: str, asked: Asked, given: Collection[str], /) -> Mapping[str, str]:
        """Which of the options `given` it does not take as they are, and why."""

    def models(self, provider: str, on: datetime, /) -> Sequence[Mapping[str, Any]]:
        """Every model, as callers may see it; `name` is what its breaker is called by."""


#: Raises UnauthenticatedError for a webhook that does not hold; the operation's id of one that does.
VerifyWebhook = Callable[[Mapping[str, str], bytes, datetime], str]


class Providers:
    """The generation services: which exist, which are configured, and who stands in for the others.

    A provider is built when it is first used, and so is the catalogue.
    """

    def __init__(
        self,
        configured: Mapping[str, Callable[[], Provider]],
        *,
        key_names: Mapping[str, str],
        catalogue: Callable[[], Catalogue],
        stand_in: str | None = None,
        webhooks: Mapping[str, VerifyWebhook] | None = None,
    ) -> None:
        self._configured = configured
        self._key_names = key_names
        self._catalogue = catalogue
        self.stand_in = stand_in
        self.webhooks = webhooks or {}
        self._built: dict[str, Provider] = {}

    @cached_property
    def catalogue(self) -> Catalogue:
        """What they offer."""
        return self._catalogue()

    @property
    def real(self) -> list[str]:
        """Those configured here whose work is paid for."""
        return [name for name in self._key_names if name in self._configured]

    @property
    def names(self) -> list[str]:
        """All there are."""
        return [*self._key_names, *(name for name in self._configured if name not in self._key_names)]

    def configured(self, name: str) -> bool:
        """Whether it can serve here."""
        return name in self._configured

    def buys(self, name: str) -> bool:
        """Whether its work is paid for: never begun twice, and watched by a breaker."""
        return name in self._key_names

    def keys_for(self, capability: Capability) -> list[str]:
        """The variables of which any one would configure a service for that."""
        return [key for name, key in self._key_names.items() if self.catalogue.makes(name, capability)]

    def choose(self, wanted: str) -> str:
        """Who serves a job that names `wanted`; InvalidError says what is missing."""
        wanted = self.catalogue.provider_name(wanted)
        if wanted in self._configured:
            return wanted
        if wanted not in self._key_names:
            names = ", ".join(sorted(self.names))
            text = f"There is no provider {wanted!r}. There are: {names}."
            raise InvalidError.at("provider", f"one of: {names}", text=text)
        if self.stand_in is not None:
            return self.stand_in
        message = (
            f"Provider {wanted} is not configured here: set {self._key_names[wanted]}, "
            f'or use "provider": "studio", the local provider.'
        )
        raise InvalidError.at("provider", message, text=message, code="provider_not_configured")

    def get(self, name: str) -> Provider:
        """The provider that serves."""
        if name not in self._built:
            self._built[name] = self._configured[name]()
        return self._built[name]

    async def close(self) -> None:
        """Let go of all that were built."""
        for provider in self._built.values():
            await provider.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The ports and the rules."""

    store: Store
    tasks: TaskQueue
    blobs: Blobs
    providers: Providers
    workers: Workers
    fetch: Fetch
    clock: Clock
    rules: Rules
    scratch: Scratch
    breakers: Breakers = field(default_factory=Breakers)
    random: Random = field(default_factory=SystemRandom)
