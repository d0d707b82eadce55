from __future__ import annotations

from providers.case import CUTOUT, IMAGE, MUSIC, SPEECH, UPSCALE, VIDEO, Case
from taskreel.ports import Capability

CASES = (
    Case(
        provider="replicate",
        capability=Capability.UPSCALE,
        model="real-esrgan",
        params=UPSCALE,
        pictures=1,
        cancels=True,
    ),
    Case(provider="replicate", capability=Capability.IMAGE, params=IMAGE, cancels=True),
    Case(provider="replicate", capability=Capability.VIDEO, params=VIDEO, pictures=2, cancels=True),
    Case(provider="replicate", capability=Capability.SPEECH, params=SPEECH, cancels=True),
    Case(provider="replicate", capability=Capability.MUSIC, params=MUSIC, cancels=True),
    Case(
        provider="replicate",
        capability=Capability.CUTOUT,
        params=CUTOUT,
        pictures=1,
        cancels=True,
    ),
)
