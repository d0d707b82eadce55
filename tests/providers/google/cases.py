from __future__ import annotations

from providers.case import IMAGE, TEXT, VIDEO, Case
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
)
