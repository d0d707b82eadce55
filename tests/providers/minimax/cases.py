from __future__ import annotations

from providers.case import VIDEO, Case
from taskreel.ports import Capability

CASES = (Case(provider="minimax", capability=Capability.VIDEO, params=VIDEO, pictures=2),)
