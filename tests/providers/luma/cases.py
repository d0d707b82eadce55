from __future__ import annotations

from providers.case import IMAGE, VIDEO, VIDEO_EDIT, Case
from taskreel.ports import Capability

CASES = (
    Case(provider="luma", capability=Capability.IMAGE, params=IMAGE),
    Case(provider="luma", capability=Capability.VIDEO, params=VIDEO, pictures=2),
    Case(provider="luma", capability=Capability.VIDEO_EDIT, params=VIDEO_EDIT, pictures=1),
)
