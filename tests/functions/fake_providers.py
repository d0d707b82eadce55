"""A world with fake providers: the real adapters, over in-process HTTP servers."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from functions.job_requests import IMAGE, read_job, submit_job
from providers.fake_provider import FakeProvider
from providers.fakes import FAKES
from providers.google.fake import FakeGoogle
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
class ProviderSetup:
    """A running world, and the fake of each provider in it by name."""

    world: World
    fakes: Mapping[str, FakeProvider]

    def user(self, name: str = "ada", **claims: Any) -> httpx.AsyncClient:
        return self.world.as_user(name, **claims)

    async def run_job(
        self, body: Mapping[str, Any], path: str = IMAGE, seconds: float = 120
    ) -> dict[str, Any]:
        """Submit a job, let virtual time pass, and return the job as it is then."""
        ada = self.user()
        job = await submit_job(ada, dict(body), path)
        await self.world.advance(seconds)
        return await read_job(ada, job)


class _RouteByHost(httpx.AsyncBaseTransport):
    """Sends each download to the fake that serves this host."""

    def __init__(self, fakes: Mapping[str, FakeProvider]) -> None:
        self._of = {
            httpx.URL(url).host: fake
            for fake in fakes.values()
            for url in (fake.delivery, fake.base_url)
        }

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.headers["host"].partition(":")[0]
        return await self._of[host].transport().handle_async_request(request)


@dataclass
class FakeProviders:
    """Fakes by name, the settings with their keys, and a fetcher of their results."""

    by_name: dict[str, FakeProvider]
    settings: dict[str, Any]
    fetch: Fetcher


def replace_providers(patch: pytest.MonkeyPatch, *names: str) -> FakeProviders:
    """Make the adapters of these providers call fakes, until the test ends."""
    fakes = {name: FAKES[name]() for name in names}
    load = providers.load_adapter

    def with_fake(name: str) -> Callable[..., Any]:
        return (
            partial(load(name), transport=fakes[name].transport()) if name in fakes else load(name)
        )

    patch.setattr(providers, "load_adapter", with_fake)
    # Where a test sets GOOGLE_VERTEX_PROJECT: the fake's own token, not the metadata server's.
    patch.setattr(
        providers,
        "build_keyless_options",
        lambda name, _settings: {"key": fakes[name].key, "base_url": FakeGoogle.vertex_url},
    )
    resolve = socket.getaddrinfo

    def public(host: Any, *rest: Any, **options: Any) -> Any:
        """Resolve every host but this machine to a public address: the fetcher allows no other."""
        at = host if host in {"127.0.0.1", "localhost"} else "93.184.216.34"
        return resolve(at, *rest, **options)

    patch.setattr(socket, "getaddrinfo", public)
    keys = {"provider_keys": {name: fake.key for name, fake in fakes.items()}}
    return FakeProviders(fakes, keys, Fetcher(transport=_RouteByHost(fakes)))


@asynccontextmanager
async def running_with_fakes(
    folder: Path, patch: pytest.MonkeyPatch, *names: str, **settings: Any
) -> AsyncIterator[ProviderSetup]:
    """Run a world in which these providers have keys and are fakes."""
    replaced = replace_providers(patch, *names)
    async with running(
        folder,
        patch,
        change=lambda services: replace(services, fetch=replaced.fetch),
        **{**replaced.settings, **settings},
    ) as world:
        yield ProviderSetup(world, replaced.by_name)
        await world.services.providers.close()
        await replaced.fetch.close()


#: The `start_providers` fixture.
StartProviders = Callable[..., Awaitable[ProviderSetup]]
