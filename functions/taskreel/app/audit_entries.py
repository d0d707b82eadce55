"""Build the entries of the audit log; `records.audit_log` reads them."""

from __future__ import annotations

from taskreel.app.caller import Caller
from taskreel.app.services import Services
from taskreel.domain.audit_log import AuditEntry
from taskreel.domain.ids import random_id
from taskreel.ports import Transaction
from taskreel.store_collections import AUDIT


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


def record_admin_act(
    services: Services,
    tx: Transaction,
    caller: Caller,
    action: str,
    *,
    subject: str,
    owner: str | None,
) -> None:
    """Record what an admin changes that is another's, in the transaction that changes it.

    With their own things an admin is a user like any other. `owner` is None for what belongs to
    nobody.
    """
    by = caller.ordered_by or caller.user_id
    if caller.admin and not caller.in_bulk and owner != by:
        entry = build_audit_entry(services, by, action, subject=subject)
        tx.create(AUDIT, entry.entry_id, entry)
