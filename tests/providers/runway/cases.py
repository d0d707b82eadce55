from __future__ import annotations

from providers.case import EFFECT, IMAGE, SPEECH, UPSCALE, VIDEO, VIDEO_EDIT, Case
from taskreel.ports import Capability

CASES = (
    Case(
        provider="runway",
        capability=Capability.VIDEO,
        model="runway-gen4",
        params=VIDEO,
        pictures=1,
        cancels=True,
    ),
    Case(provider="runway", capability=Capability.IMAGE, params=IMAGE, cancels=True),
    Case(provider="runway", capability=Capability.SPEECH, params=SPEECH, cancels=True),
    Case(provider="runway", capability=Capability.SOUND_EFFECT, params=EFFECT, cancels=True),
    Case(
        provider="runway", capability=Capability.UPSCALE, params=UPSCALE, pictures=1, cancels=True
    ),
    Case(
        provider="runway",
        capability=Capability.VIDEO_EDIT,
        params=VIDEO_EDIT,
        pictures=1,
        cancels=True,
    ),
)
