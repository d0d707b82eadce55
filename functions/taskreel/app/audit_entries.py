"""Build the entries of the audit log; `records.audit_log` reads them."""

from __future__ import annotations

from taskreel.app.services import Services
from taskreel.domain.audit_log import AuditEntry
from taskreel.domain.ids import random_id


def build_audit_entry(
    services: Services, by: str, action: str, *, subject: str, reason: str = ""
) -> AuditEntry:
    """The entry of what the user `by` does now; to be created in the transaction that does it."""
    return AuditEntry(
        entry_id=f"audit.{random_id(services.random)}",
        at=services.clock.now(),
        user_id=by,
        action=action,
        subject=subject,
        reason=reason,
    )
