from __future__ import annotations

from providers.case import IMAGE, SPEECH, TEXT, TRANSCRIPT, Case
from taskreel.ports import Capability

CASES = (
    Case(
        provider="openai",
        capability=Capability.IMAGE,
        model="gpt-image-2",
        params=IMAGE,
        pending=False,
    ),
    Case(provider="openai", capability=Capability.TEXT, model="gpt", params=TEXT, cancels=True),
    Case(
        provider="openai",
        capability=Capability.SPEECH,
        model="tts-1",
        params=SPEECH,
        pending=False,
        moderates=False,
    ),
    Case(
        provider="openai",
        capability=Capability.TRANSCRIPTION,
        params=TRANSCRIPT,
        pictures=1,
        pending=False,
        moderates=False,
    ),
)
