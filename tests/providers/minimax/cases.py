from __future__ import annotations

from providers.case import SPEECH, VIDEO, Case
from taskreel.ports import Capability

CASES = (
    Case(provider="minimax", capability=Capability.VIDEO, params=VIDEO, pictures=2),
    Case(provider="minimax", capability=Capability.SPEECH, params=SPEECH, pending=False),
)
