"""Fakes on a port of this machine, for the providers' own clients."""

from __future__ import annotations

import pytest

from providers.fake_provider import FakeProvider, Fault, build_png, build_wav

SOUND = ("given.wav", build_wav(), "audio/wav")
PICTURE = ("given.png", build_png(), "image/png")


class Served:
    """A fake on a port of this machine."""

    def __init__(self, fake: FakeProvider, url: str) -> None:
        self.fake = fake
        self.url = url


def serving(name: str, fault: Fault | None = None) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("served", [(name, fault)], indirect=True, ids=[name])
