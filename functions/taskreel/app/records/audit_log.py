"""The audit log: read what administrators did."""

from __future__ import annotations

from taskreel.app.jobs.queries import Page, decode_cursor, query_page
from taskreel.app.services import Services
from taskreel.domain.audit_log import AuditEntry
from taskreel.ports import Query
from taskreel.store_collections import AUDIT


async def list_audit(
    services: Services, *, text: str | None, limit: int, cursor: str | None
) -> Page[AuditEntry]:
    """The entries, newest first; with `text` those that contain it in any field."""
    query = Query(
        collection=AUDIT,
        order=(("at", "desc"),),
        after=decode_cursor(cursor) if cursor else None,
    )
    wanted = text.casefold() if text else None
    return await query_page(
        services,
        query,
        limit=limit,
        matches=None if wanted is None else lambda entry: _mentions_text(entry, wanted),
    )


def _mentions_text(entry: AuditEntry, text: str) -> bool:
    fields = (entry.user_id, entry.action, entry.subject, entry.reason)
    return any(text in field.casefold() for field in fields)
