from __future__ import annotations

from providers.case import SPEECH, VIDEO, Case
from taskreel.ports import Capability

CASES = (
    Case(provider="minimax", capability=Capability.VIDEO, params=VIDEO, pictures=2),
    Case(
        provider="minimax",
        capability=Capability.VIDEO,
        params=VIDEO,
        model="minimax-hailuo-2.3",
        pictures=1,
        variant="of version 1",
    ),
    Case(provider="minimax", capability=Capability.SPEECH, params=SPEECH, pending=False),
)
