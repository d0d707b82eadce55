from __future__ import annotations

from providers.case import IMAGE, Case
from taskreel.ports import Capability

CASES = (Case(provider="bfl", capability=Capability.IMAGE, model="flux-1.1-pro", params=IMAGE),)
