from __future__ import annotations

from providers.case import IMAGE, SPEECH, TEXT, VIDEO, Case
from taskreel.ports import Capability

CASES = (
    Case(provider="xai", capability=Capability.IMAGE, params=IMAGE, pending=False),
    Case(provider="xai", capability=Capability.VIDEO, params=VIDEO, pictures=1),
    Case(provider="xai", capability=Capability.TEXT, params=TEXT, pending=False),
    Case(
        provider="xai", capability=Capability.SPEECH, params=SPEECH, pending=False, moderates=False
    ),
)
