from __future__ import annotations

from providers.case import IMAGE, UPSCALE, Case
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
)
