"""The API of the audit log, for administrators."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.requests import Request
from fastapi.responses import Response

from taskreel.app.records.audit_log import list_audit
from taskreel.domain.audit_log import AuditEntry
from taskreel.web.http import JsonResponse, View, check_query
from taskreel.web.openapi_problems import document_problems
from taskreel.web.route_parameters import AuthenticatedAdmin

router = APIRouter(prefix="/api", tags=["audit"])


class AuditEntryView(View):
    """An act of an administrator: `userId` did `action` to `subject`, for `reason`."""

    entry_id: str
    at: datetime
    user_id: str
    action: str
    subject: str
    reason: str


class AuditPage(View):
    """Entries, newest first; pass `nextCursor` as `cursor` to get the next page."""

    entries: list[AuditEntryView]
    next_cursor: str | None


@router.get(
    "/audit",
    summary="The acts of administrators, newest first (admin)",
    response_model=AuditPage,
    responses=document_problems("forbidden"),
)
async def read_audit(
    request: Request,
    context: AuthenticatedAdmin,
    text: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: str | None = None,
) -> Response:
    """Orders to queues, circuit breakers and limits. `text` may be in any field."""
    check_query(request, "text", "limit", "cursor")
    page = await list_audit(context.services, text=text, limit=limit, cursor=cursor)
    entries = [build_entry_view(entry) for entry in page.rows]
    return JsonResponse(AuditPage(entries=entries, next_cursor=page.cursor))


def build_entry_view(entry: AuditEntry) -> AuditEntryView:
    """The entry as it is sent."""
    return AuditEntryView(**dict(entry))
