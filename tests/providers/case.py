"""A case of the shared tests: one capability of one provider; and the steps to run it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from providers.fake_provider import FakeProvider, Fault, build_png, build_wav
from providers.fakes import FAKES
from taskreel.adapters.providers import load_adapter
from taskreel.adapters.providers.model_row import ModelRow
from taskreel.domain.errors import TemporaryError
from taskreel.ports import Capability, Done, Generation, Input, Pending, Provider

#: Parameters to ask for.
IMAGE = {"prompt": "A lighthouse in a storm", "width": 1024, "height": 768, "seed": 7}
VIDEO = {
    "prompt": "Waves breaking",
    "width": 1280,
    "height": 720,
    "duration": 5.0,
    "fps": 30,
    "seed": 7,
}
UPSCALE = {"scale": 4.0}
TEXT = {
    "prompt": "A script about a lamp",
    "schema": {"type": "object", "properties": {"title": {"type": "string"}}},
}
SPEECH = {"text": "The lamp is lit."}
MUSIC = {"prompt": "a waltz", "duration": 10.0}
EFFECT = {"prompt": "a door closes", "duration": 4.0}
TRANSCRIPT = {"language": "en"}
CUTOUT = {"outputFormat": "png"}
VIDEO_EDIT = {"prompt": "the same scene in snow"}
LIP_SYNC = {"syncMode": "loop"}
#: The files that work starts from, in their order, where these are no pictures.
INPUT_TYPES: dict[Capability, tuple[str, ...]] = {
    Capability.TRANSCRIPTION: ("audio/wav",),
    Capability.VIDEO_EDIT: ("video/mp4",),
    Capability.LIP_SYNC: ("video/mp4", "audio/wav"),
}
FILES = {
    "audio/wav": build_wav(),
    "image/png": build_png(),
    "video/mp4": b"\0\0\0\x18ftypisom\0\0\0\0isommp42",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One capability of one provider."""

    provider: str
    capability: Capability
    params: Mapping[str, Any]
    #: "" asks for the provider's default.
    model: str = ""
    #: The number of pictures to start from.
    pictures: int = 0
    #: The adapter answers with an operation, which is polled.
    pending: bool = True
    #: An operation can be stopped.
    cancels: bool = False
    #: The provider reports a moderated request apart from others.
    moderates: bool = True
    #: An operation's failure has its own status, other than a server error's.
    fails: bool = True
    #: Where the API is, if not at the fake's `base_url`.
    base_url: str = ""
    #: Tells two cases of a provider and capability apart.
    variant: str = ""

    @property
    def name(self) -> str:
        return " ".join(filter(None, (self.provider, self.capability, self.variant)))

    @property
    def url(self) -> str:
        return self.base_url or FAKES[self.provider].base_url

    def fake(self, fault: Fault | None = None, polls: int = 1) -> FakeProvider:
        return FAKES[self.provider](fault=fault, polls=polls)

    def adapter(self, fake: FakeProvider, **settings: Any) -> Provider:
        settings = {
            "transport": fake.transport(),
            "key": fake.key,
            "base_url": self.url,
            **settings,
        }
        provider: Provider = load_adapter(self.provider)(**settings)
        return provider

    def request(self, folder: Path, **params: Any) -> Generation:
        model = params.pop("model", self.model)
        return build_generation(
            folder, self.capability, model, {**self.params, **params}, self.pictures
        )


def build_generation(
    folder: Path, capability: Capability, model: str, params: Mapping[str, Any], pictures: int = 0
) -> Generation:
    inputs = []
    kinds = INPUT_TYPES.get(capability, ("image/png",) * pictures)
    for number, kind in enumerate(kinds[:pictures]):
        path = folder / f"given-{number}.{kind.rpartition('/')[2]}"
        path.write_bytes(FILES[kind])
        url = f"https://ours.example.org/{path.name}"
        inputs.append(Input(path=path, url=url, content_type=kind, label=url))
    return Generation(
        capability=capability,
        model=model,
        params=params,
        inputs=tuple(inputs),
        open_folder=lambda: folder,
        name="unit-0",
    )


def count_least_inputs(row: ModelRow) -> int:
    """The number of files that a model cannot do without."""
    return len(INPUT_TYPES.get(row.capability, ("image/png",))) if row.needs_input else 0


async def run_until_done(provider: Provider, request: Generation, *, max_polls: int = 10) -> Done:
    """Start and poll; each operation passes through JSON, as it does when it is stored."""
    answer = await provider.start(request, idempotency_key="job-1.0.0")
    for _ in range(max_polls):
        if isinstance(answer, Done):
            return answer
        assert answer.poll_after.total_seconds() > 0
        answer = await provider.poll(json.loads(json.dumps(answer.operation)), request)
    raise TemporaryError(f"still pending after {max_polls} polls")


async def start_pending(provider: Provider, request: Generation) -> Pending:
    answer = await provider.start(request, idempotency_key="job-1.0.0")
    assert isinstance(answer, Pending)
    return answer


def require_live_key(variable: str) -> str:
    """The key for a test that calls the real service; skips the test where it is not set."""
    return os.environ.get(variable) or pytest.skip(f"set {variable} to call the real service")


async def buy_live(provider: Provider, request: Generation) -> Done:
    """Buy it at the real service, and wait until it is done."""
    answer = await provider.start(request, idempotency_key="live")
    while isinstance(answer, Pending):
        await asyncio.sleep(answer.poll_after.total_seconds())
        answer = await provider.poll(answer.operation, request)
    await provider.close()
    assert answer.outputs or answer.data
    return answer


async def fetch_result(fake: FakeProvider, url: str) -> httpx.Response:
    """Download a result from its address, without a key."""
    async with httpx.AsyncClient(transport=fake.transport()) as client:
        return await client.get(url)
