from __future__ import annotations

from providers.case import IMAGE, MUSIC, SPEECH, TEXT, VIDEO, Case
from providers.google.fake import FakeGoogle
from taskreel.ports import Capability

CASES = (
    Case(
        provider="google",
        capability=Capability.IMAGE,
        model="nano-banana",
        params=IMAGE,
        pictures=1,
        pending=False,
    ),
    Case(provider="google", capability=Capability.TEXT, params=TEXT, pending=False),
    Case(
        provider="google",
        capability=Capability.VIDEO,
        model="veo-3",
        params=VIDEO,
        pictures=2,
        base_url=FakeGoogle.vertex_url,
        variant="on vertex",
    ),
    Case(
        provider="google",
        capability=Capability.VIDEO,
        model="omni",
        params=VIDEO,
        pictures=1,
        cancels=True,
        variant="by key",
    ),
    Case(
        provider="google",
        capability=Capability.SPEECH,
        params=SPEECH,
        pending=False,
    ),
    Case(provider="google", capability=Capability.MUSIC, params=MUSIC, cancels=True),
)
