"""The record of what administrators did."""

from __future__ import annotations

from pydantic import AwareDatetime

from taskreel.domain.value import StoredValue


class AuditEntry(StoredValue):
    """One action of an administrator, with its reason; create-only."""

    entry_id: str
    at: AwareDatetime
    user_id: str
    action: str
    subject: str
    reason: str
