"""A world whose providers are the fakes: real adapters, in-process."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from functions.asking import IMAGE, read, submitted
from providers.fakes import FAKES, Fake
from simulation.world import World, running
from taskreel.adapters import providers
from taskreel.adapters.fetch import Fetcher

KITE = {
    "prompt": "a kite",
    "provider": "bfl",
    "model": "flux-1.1-pro",
    "options": {"width": 1024, "height": 768},
}
CLIP = {"prompt": "waves", "provider": "google", "model": "veo-3", "options": {"duration": 4}}


@dataclass
class Market:
    """The world with fakes in the providers' places."""

    world: World
    fakes: Mapping[str, Fake]

    def user(self, name: str = "ada", **claims: Any) -> httpx.AsyncClient:
        return self.world.as_user(name, **claims)

    async def ended(
        self, body: Mapping[str, Any], path: str = IMAGE, seconds: float = 120
    ) -> dict[str, Any]:
        """The job, once that much time has passed."""
        ada = self.user()
        job = await submitted(ada, dict(body), path)
        await self.world.advance(seconds)
        return await read(ada, job)


class _ByHost(httpx.AsyncBaseTransport):
    """Results: whichever fake has such an address."""

    def __init__(self, fakes: Mapping[str, Fake]) -> None:
        self._of = {
            httpx.URL(url).host: fake
            for fake in fakes.values()
            for url in (fake.delivery, fake.base_url)
        }

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.headers["host"].partition(":")[0]
        return await self._of[host].transport().handle_async_request(request)


@dataclass
class Fakes:
    """The fakes in the providers' places: the settings that give them keys, and what fetches their results."""

    fakes: dict[str, Fake]
    settings: dict[str, Any]
    fetch: Fetcher


def in_place_of_providers(patch: pytest.MonkeyPatch, *names: str) -> Fakes:
    """These providers are fakes from now on."""
    fakes = {name: FAKES[name]() for name in names}
    load = providers.load

    def with_fake(name: str) -> Callable[..., Any]:
        return (
            partial(load(name), transport=fakes[name].transport()) if name in fakes else load(name)
        )

    patch.setattr(providers, "load", with_fake)
    resolve = socket.getaddrinfo

    def public(host: Any, *rest: Any, **options: Any) -> Any:
        """An address that one may fetch from; this machine's own stays."""
        at = host if host in {"127.0.0.1", "localhost"} else "93.184.216.34"
        return resolve(at, *rest, **options)

    patch.setattr(socket, "getaddrinfo", public)
    keys = {"provider_keys": {name: fake.key for name, fake in fakes.items()}}
    return Fakes(fakes, keys, Fetcher(transport=_ByHost(fakes)))


@asynccontextmanager
async def market(
    folder: Path, patch: pytest.MonkeyPatch, *names: str, **settings: Any
) -> AsyncIterator[Market]:
    """A world where these providers have keys and are the fakes."""
    stand_ins = in_place_of_providers(patch, *names)
    async with running(
        folder,
        patch,
        change=lambda services: replace(services, fetch=stand_ins.fetch),
        **{**stand_ins.settings, **settings},
    ) as world:
        yield Market(world, stand_ins.fakes)
        await world.services.providers.close()
        await stand_ins.fetch.close()


Stalls = Callable[..., Awaitable[Market]]
