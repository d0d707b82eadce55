"""What each provider is asked for in the shared tests, and how to ask."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from taskreel.adapters.providers import load
from taskreel.domain.errors import TemporaryError
from taskreel.ports import Capability, Done, Generation, Input, Pending, Provider

from .fakes import FAKES, Fake, Mischief
from .fakes.fake import picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One capability of one provider."""

    name: str
    provider: str
    capability: Capability
    model: str
    params: Mapping[str, Any] = field(default_factory=dict)
    pictures: int = 0
    #: It goes on elsewhere and is polled.
    pending: bool = True
    cancels: bool = False

    def fake(self, mischief: Mischief | None = None, polls: int = 1) -> Fake:
        return FAKES[self.provider](mischief=mischief, polls=polls)

    def adapter(self, fake: Fake, **settings: Any) -> Provider:
        settings = {"transport": fake.transport(), "key": fake.key, **settings}
        settings.setdefault("base_url", self.base_url)
        provider: Provider = load(self.provider)(settings.pop("key"), **settings)
        return provider

    @property
    def base_url(self) -> str:
        return VERTEX_URL if self.name == "veo on vertex" else FAKES[self.provider].base_url

    def request(self, folder: Path, **params: Any) -> Generation:
        model = params.pop("model", self.model)
        return generation(folder, self.capability, model, {**self.params, **params}, self.pictures)


VERTEX_URL = (
    "https://us-central1-aiplatform.googleapis.com/v1beta1/projects/p1/locations/us-central1"
)
IMAGE = {"prompt": "A lighthouse in a storm", "width": 1024, "height": 768, "seed": 7}
VIDEO = {
    "prompt": "Waves breaking",
    "width": 1280,
    "height": 720,
    "duration": 5.0,
    "fps": 30,
    "seed": 7,
}
WORDS = {
    "prompt": "A script about a lamp",
    "schema": {"type": "object", "properties": {"title": {"type": "string"}}},
}
SAID = {"text": "The lamp is lit."}

CASES = (
    Case(
        name="bfl", provider="bfl", capability=Capability.IMAGE, model="flux-1.1-pro", params=IMAGE
    ),
    Case(
        name="runway",
        provider="runway",
        capability=Capability.VIDEO,
        model="runway-gen4",
        params=VIDEO,
        pictures=1,
        cancels=True,
    ),
    Case(
        name="stability",
        provider="stability",
        capability=Capability.IMAGE,
        model="core",
        params=IMAGE,
        pending=False,
    ),
    Case(
        name="stability upscale",
        provider="stability",
        capability=Capability.UPSCALE,
        model="creative",
        params={"scale": 4.0},
        pictures=1,
    ),
    Case(
        name="openai",
        provider="openai",
        capability=Capability.IMAGE,
        model="gpt-image-2",
        params=IMAGE,
        pending=False,
    ),
    Case(
        name="openai text",
        provider="openai",
        capability=Capability.TEXT,
        model="gpt",
        params=WORDS,
        cancels=True,
    ),
    Case(
        name="openai speech",
        provider="openai",
        capability=Capability.SPEECH,
        model="tts-1",
        params=SAID,
        pending=False,
    ),
    Case(
        name="gemini",
        provider="google",
        capability=Capability.IMAGE,
        model="nano-banana",
        params=IMAGE,
        pictures=1,
        pending=False,
    ),
    Case(
        name="gemini text",
        provider="google",
        capability=Capability.TEXT,
        model="",
        params=WORDS,
        pending=False,
    ),
    Case(
        name="veo",
        provider="google",
        capability=Capability.VIDEO,
        model="veo-3",
        params=VIDEO,
        pictures=2,
    ),
    Case(
        name="veo on vertex",
        provider="google",
        capability=Capability.VIDEO,
        model="veo-3",
        params=VIDEO,
    ),
    Case(
        name="elevenlabs",
        provider="elevenlabs",
        capability=Capability.SPEECH,
        model="",
        params=SAID,
        pending=False,
    ),
    Case(
        name="replicate",
        provider="replicate",
        capability=Capability.UPSCALE,
        model="real-esrgan",
        params={"scale": 4.0},
        pictures=1,
        cancels=True,
    ),
    Case(
        name="fal",
        provider="fal",
        capability=Capability.IMAGE,
        model="flux-dev",
        params=IMAGE,
        cancels=True,
    ),
    *(
        Case(
            name=f"{provider} {capability}",
            provider=provider,
            capability=capability,
            model="",
            params=params,
            pictures=int(capability is Capability.UPSCALE),
            pending=provider != "elevenlabs",
            cancels=provider != "elevenlabs",
        )
        for provider, capability, params in (
            ("runway", Capability.IMAGE, IMAGE),
            ("runway", Capability.SPEECH, SAID),
            ("runway", Capability.UPSCALE, {"scale": 4.0}),
            ("elevenlabs", Capability.MUSIC, {"prompt": "calm sea", "duration": 5.0}),
            ("replicate", Capability.IMAGE, IMAGE),
            ("fal", Capability.UPSCALE, {"scale": 4.0}),
        )
    ),
)


def generation(
    folder: Path, capability: Capability, model: str, params: Mapping[str, Any], pictures: int = 0
) -> Generation:
    inputs = []
    for number in range(pictures):
        path = folder / f"given-{number}.png"
        path.write_bytes(picture())
        url = f"https://ours.example.org/{path.name}"
        inputs.append(Input(path=path, url=url, content_type="image/png", label=url))
    return Generation(
        capability=capability,
        model=model,
        params=params,
        inputs=tuple(inputs),
        folder=folder,
        name="unit-0",
    )


async def run(provider: Provider, request: Generation, *, patience: int = 10) -> Done:
    """Start and poll until it is done; every operation must survive being stored."""
    answer = await provider.start(request, idempotency_key="job-1.0.0")
    for _ in range(patience):
        if isinstance(answer, Done):
            return answer
        assert answer.poll_after.total_seconds() > 0
        answer = await provider.poll(json.loads(json.dumps(answer.operation)), request)
    raise TemporaryError("it never ends")


async def begun(provider: Provider, request: Generation) -> Pending:
    answer = await provider.start(request, idempotency_key="job-1.0.0")
    assert isinstance(answer, Pending)
    return answer


def live_key(variable: str) -> str:
    """The key for a test that calls the real service, or a reason not to."""
    return os.environ.get(variable) or pytest.skip(f"set {variable} to call the real service")


async def bought_live(provider: Provider, request: Generation) -> Done:
    """Really buy it, and wait as long as it takes."""
    answer = await provider.start(request, idempotency_key="live")
    while isinstance(answer, Pending):
        await asyncio.sleep(answer.poll_after.total_seconds())
        answer = await provider.poll(answer.operation, request)
    await provider.close()
    assert answer.outputs or answer.data
    return answer


async def fetched(fake: Fake, url: str) -> httpx.Response:
    """What anyone gets at a result's address."""
    async with httpx.AsyncClient(transport=fake.transport()) as client:
        return await client.get(url)
