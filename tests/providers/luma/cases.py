from __future__ import annotations

from providers.case import IMAGE, VIDEO, Case
from taskreel.ports import Capability

CASES = (
    Case(provider="luma", capability=Capability.IMAGE, params=IMAGE),
    Case(provider="luma", capability=Capability.VIDEO, params=VIDEO, pictures=2),
)
