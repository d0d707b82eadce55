from __future__ import annotations

from providers.case import TEXT, Case
from taskreel.ports import Capability

CASES = (Case(provider="openrouter", capability=Capability.TEXT, params=TEXT, pending=False),)
