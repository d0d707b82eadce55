from __future__ import annotations

from providers.case import (
    CUTOUT,
    EFFECT,
    IMAGE,
    LIP_SYNC,
    MUSIC,
    SPEECH,
    TRANSCRIPT,
    UPSCALE,
    VIDEO,
    VIDEO_EDIT,
    Case,
)
from taskreel.ports import Capability

CASES = (
    Case(provider="fal", capability=Capability.IMAGE, model="flux-dev", params=IMAGE, cancels=True),
    Case(provider="fal", capability=Capability.UPSCALE, params=UPSCALE, pictures=1, cancels=True),
    Case(provider="fal", capability=Capability.VIDEO, params=VIDEO, pictures=1, cancels=True),
    Case(provider="fal", capability=Capability.SPEECH, params=SPEECH, cancels=True),
    Case(provider="fal", capability=Capability.MUSIC, params=MUSIC, cancels=True),
    Case(provider="fal", capability=Capability.SOUND_EFFECT, params=EFFECT, cancels=True),
    Case(
        provider="fal",
        capability=Capability.TRANSCRIPTION,
        params=TRANSCRIPT,
        pictures=1,
        cancels=True,
    ),
    Case(provider="fal", capability=Capability.CUTOUT, params=CUTOUT, pictures=1, cancels=True),
    Case(
        provider="fal",
        capability=Capability.VIDEO_EDIT,
        params=VIDEO_EDIT,
        pictures=1,
        cancels=True,
    ),
    Case(provider="fal", capability=Capability.LIP_SYNC, params=LIP_SYNC, pictures=2, cancels=True),
)
