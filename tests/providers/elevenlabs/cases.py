from __future__ import annotations

from providers.case import EFFECT, SPEECH, TRANSCRIPT, Case
from taskreel.ports import Capability

CASES = (
    Case(provider="elevenlabs", capability=Capability.SPEECH, params=SPEECH, pending=False),
    Case(
        provider="elevenlabs",
        capability=Capability.MUSIC,
        params={"prompt": "calm sea", "duration": 5.0},
        pending=False,
    ),
    Case(provider="elevenlabs", capability=Capability.SOUND_EFFECT, params=EFFECT, pending=False),
    Case(
        provider="elevenlabs",
        capability=Capability.TRANSCRIPTION,
        params=TRANSCRIPT,
        pictures=1,
        pending=False,
        moderates=False,
    ),
)
