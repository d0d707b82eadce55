"""What every use case is given: the ports, built once by `wiring`, and the rules that deployments may set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random, SystemRandom

from taskreel.app.scratch import Scratch
from taskreel.domain.errors import InvalidError
from taskreel.media.workers import Workers
from taskreel.ports import Blobs, Clock, Fetch, Provider, Store, TaskQueue

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


class Providers:
    """The generation services: which exist, which are configured, and who stands in for the others.

    A provider is built when it is first used.
    """

    def __init__(
        self,
        configured: Mapping[str, Callable[[], Provider]],
        *,
        key_names: Mapping[str, str],
        aliases: Mapping[str, str] | None = None,
        stand_in: str | None = None,
        default: str = "studio",
    ) -> None:
        self._configured = configured
        self._key_names = key_names
        self._aliases = aliases or {}
        self._stand_in = stand_in
        self._default = default
        self._built: dict[str, Provider] = {}

    def choose(self, wanted: str | None) -> str:
        """Who serves a job that names `wanted`; InvalidError says what is missing."""
        if wanted is None:
            return self._default
        wanted = self._aliases.get(wanted, wanted)
        if wanted in self._configured:
            return wanted
        if wanted not in self._key_names:
            names = ", ".join(sorted({*self._key_names, *self._configured}))
            raise InvalidError(_unknown(wanted, names), errors=[{"path": "provider", "message": f"one of: {names}"}])
        if self._stand_in is not None:
            return self._stand_in
        message = (
            f"Provider {wanted} is not configured here: set {self._key_names[wanted]}, "
            f'or use "provider": "studio", the local provider.'
        )
        raise InvalidError(message, code="provider_not_configured", errors=[{"path": "provider", "message": message}])

    def get(self, name: str) -> Provider:
        """The provider that serves."""
        if name not in self._built:
            self._built[name] = self._configured[name]()
        return self._built[name]

    async def close(self) -> None:
        """Let go of all that were built."""
        for provider in self._built.values():
            await provider.close()


def _unknown(wanted: str, names: str) -> str:
    return f"There is no provider {wanted!r}. There are: {names}."


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
    random: Random = field(default_factory=SystemRandom)
