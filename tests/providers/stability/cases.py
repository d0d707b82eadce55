from __future__ import annotations

from providers.case import CUTOUT, EFFECT, IMAGE, MUSIC, UPSCALE, Case
from taskreel.ports import Capability

CASES = (
    Case(
        provider="stability", capability=Capability.IMAGE, model="core", params=IMAGE, pending=False
    ),
    Case(
        provider="stability",
        capability=Capability.UPSCALE,
        model="creative",
        params=UPSCALE,
        pictures=1,
        fails=False,
    ),
    Case(
        provider="stability",
        capability=Capability.CUTOUT,
        params=CUTOUT,
        pictures=1,
        pending=False,
    ),
    Case(provider="stability", capability=Capability.MUSIC, params=MUSIC, pending=False),
    Case(provider="stability", capability=Capability.SOUND_EFFECT, params=EFFECT, pending=False),
)
