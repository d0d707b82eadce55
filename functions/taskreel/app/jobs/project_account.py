"""The account of a project, which pays the jobs of its members from the first grant to it on."""

from __future__ import annotations

from taskreel.app.caller import Caller
from taskreel.app.credits.balances import load_account
from taskreel.app.credits.grants import GrantOrder, build_grant_entry, write_grant
from taskreel.app.jobs.queries import Page, list_ledger
from taskreel.app.projects.members import find_project
from taskreel.app.projects.rights import load_project
from taskreel.app.services import Services
from taskreel.domain.audit import AuditEntry
from taskreel.domain.credits import Account, LedgerEntry
from taskreel.domain.errors import NotFoundError
from taskreel.domain.ids import project_account_id, random_id
from taskreel.ports import Transaction
from taskreel.store_collections import AUDIT, PROJECTS


async def grant_to_project(services: Services, project_id: str, order: GrantOrder) -> Account:
    """Add credits to the project's account; from the first on it pays all new jobs of the project.

    Holds that members have made go on to be theirs. Raises what `grant_credits` does, and
    NotFoundError.
    """
    entry = build_grant_entry(services, project_account_id(project_id), order)
    opening = AuditEntry(
        entry_id=f"audit.{random_id(services.random)}",
        at=entry.created_at,
        user_id=order.granted_by,
        action="project account opened",
        subject=project_id,
        reason=order.reason or "",
    )

    async def write(tx: Transaction) -> Account:
        project = await load_project(tx, project_id)
        if project is None:
            raise NotFoundError(f"There is no project {project_id}: POST /api/projects makes one.")
        account = await write_grant(services, tx, entry)
        if not project.has_account:
            # In the commit of the grant: a project never pays from an account that has nothing.
            tx.set(PROJECTS, project_id, project.model_copy(update={"has_account": True}))
            tx.create(AUDIT, opening.entry_id, opening)
        return account

    return await services.store.transaction(write)


async def load_project_account(services: Services, caller: Caller, project_id: str) -> Account:
    """The account of a project, for its members and admins. Raises NotFoundError."""
    await find_project(services, caller, project_id)
    return await load_account(services, services.store, project_account_id(project_id))


async def list_project_ledger(
    services: Services, caller: Caller, project_id: str, *, limit: int, cursor: str | None
) -> Page[LedgerEntry]:
    """The ledger of a project's account, newest first. Raises NotFoundError."""
    await find_project(services, caller, project_id)
    account_id = project_account_id(project_id)
    return await list_ledger(services, account_id, limit=limit, cursor=cursor)
