"""The generation services as strict, misbehaving applications on this machine, one file each."""

from __future__ import annotations

from .bfl import FakeBfl
from .elevenlabs import FakeElevenLabs
from .fake import CHATTER, RETRY_AFTER, SECRETS, Fake, Mischief, served
from .fal import FakeFal
from .google import FakeGoogle
from .openai import FakeOpenAI
from .replicate import FakeReplicate
from .runway import FakeRunway
from .stability import FakeStability

FAKES: dict[str, type[Fake]] = {
    fake.name: fake
    for fake in (
        FakeBfl,
        FakeRunway,
        FakeStability,
        FakeOpenAI,
        FakeGoogle,
        FakeElevenLabs,
        FakeReplicate,
        FakeFal,
    )
}

__all__ = [
    "CHATTER",
    "FAKES",
    "RETRY_AFTER",
    "SECRETS",
    "Fake",
    "FakeBfl",
    "FakeElevenLabs",
    "FakeFal",
    "FakeGoogle",
    "FakeOpenAI",
    "FakeReplicate",
    "FakeRunway",
    "FakeStability",
    "Mischief",
    "served",
]
