"""The account of a project, which pays the jobs of its members from a grant to it on."""

from __future__ import annotations

from taskreel.app.audit_entries import build_audit_entry
from taskreel.app.caller import Caller
from taskreel.app.credits.balances import load_account
from taskreel.app.credits.grants import (
    GrantOrder,
    build_grant_entry,
    build_grant_record,
    write_grant,
)
from taskreel.app.jobs.queries import Page, list_ledger
from taskreel.app.projects.members import find_project
from taskreel.app.projects.rights import load_project
from taskreel.app.services import Services
from taskreel.domain.credits import Account, LedgerEntry
from taskreel.domain.errors import ConflictError, NotFoundError
from taskreel.domain.ids import project_account_id
from taskreel.domain.project import Project
from taskreel.ports import Transaction
from taskreel.store_collections import ACCOUNTS, AUDIT, PROJECTS


async def grant_to_project(services: Services, project_id: str, order: GrantOrder) -> Account:
    """Add credits to the project's account, which from then on pays all new jobs of the project.

    Holds that members have made go on to be theirs. Raises what `grant_credits` does, and
    NotFoundError.
    """
    entry = build_grant_entry(services, project_account_id(project_id), order)
    opening = build_grant_record(services, project_id, "project account opened", order)
    # Unlike a user's: an erasure replaces the subject of that.
    granted = f"project credits granted: {order.amount}"
    record = build_grant_record(services, project_id, granted, order)

    async def write(tx: Transaction) -> Account:
        project = await _require_project(tx, project_id)
        account, is_new = await write_grant(services, tx, entry, record)
        # Not of a grant that is repeated: the payer may have changed since.
        if is_new and not project.has_account:
            # In the commit of the grant: a project never pays from an account that has nothing.
            tx.set(PROJECTS, project_id, project.model_copy(update={"has_account": True}))
            tx.create(AUDIT, opening.entry_id, opening)
        return account

    return await services.store.transaction(write)


async def set_payer(
    services: Services, caller: Caller, project_id: str, *, pays: bool, reason: str
) -> Project:
    """Have the project's account pay its new jobs, or its members theirs.

    What is held and what is left of its credits stays in its account. Raises NotFoundError, and
    ConflictError for a project that was never granted any.
    """
    payer = "project" if pays else "members"
    action = f"project payer set: {payer}"
    entry = build_audit_entry(services, caller.user_id, action, subject=project_id, reason=reason)

    async def write(tx: Transaction) -> Project:
        project = await _require_project(tx, project_id)
        if pays and await tx.get(ACCOUNTS, project_account_id(project_id)) is None:
            raise ConflictError(
                f"Project {project_id} has no account: POST /api/projects/{project_id}/grants "
                "gives it credits, and it pays from then on."
            )
        changed = project.model_copy(update={"has_account": pays, "updated_at": entry.at})
        tx.set(PROJECTS, project_id, changed)
        tx.create(AUDIT, entry.entry_id, entry)
        return changed

    return await services.store.transaction(write)


async def load_project_account(services: Services, caller: Caller, project_id: str) -> Account:
    """The account of a project, for its members and admins. Raises NotFoundError."""
    await find_project(services, caller, project_id)
    return await load_account(services, project_account_id(project_id))


async def list_project_ledger(
    services: Services, caller: Caller, project_id: str, *, limit: int, cursor: str | None
) -> Page[LedgerEntry]:
    """The ledger of a project's account, newest first. Raises NotFoundError."""
    await find_project(services, caller, project_id)
    account_id = project_account_id(project_id)
    return await list_ledger(services, account_id, limit=limit, cursor=cursor)


async def _require_project(tx: Transaction, project_id: str) -> Project:
    project = await load_project(tx, project_id)
    if project is None:
        raise NotFoundError(f"There is no project {project_id}: POST /api/projects makes one.")
    return project
