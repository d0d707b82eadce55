"""The holds that many jobs would make, one after another, with nothing stored."""

from __future__ import annotations

from taskreel.app.credits.balances import load_account
from taskreel.app.projects.rights import load_project
from taskreel.app.services import Services
from taskreel.domain.credits import Account
from taskreel.domain.errors import SpendCapError, TooFewCreditsError
from taskreel.domain.project import Project


class HoldForecast:
    """The accounts that pay the jobs, each as the holds before would leave it."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._accounts: dict[str, Account] = {}
        self._projects: dict[str, Project | None] = {}

    async def hold(self, user_id: str, cost: int, project_id: str | None) -> str | None:
        """Count the hold against its payer and project; the reason if one does not cover it."""
        services = self._services
        project = await self._find_project(project_id)
        of_project = None if project is None else project.account_id
        payer = of_project or user_id
        account = self._accounts.get(payer)
        if account is None:
            account = await load_account(services, payer)
            self._accounts[payer] = account
        now = services.clock.now()
        try:
            after = account.hold(cost, now)
        except TooFewCreditsError:
            return f"its {'owner' if of_project is None else 'project'} has too few credits"
        except SpendCapError as error:
            return f"its owner's {error.details['cap']} spend cap is reached"
        if project is not None and cost:
            try:
                self._projects[project.project_id] = project.hold(cost, now)
            except SpendCapError as error:
                return f"its project's {error.details['cap']} spend cap is reached"
        self._accounts[payer] = after
        return None

    async def _find_project(self, project_id: str | None) -> Project | None:
        if project_id is None:
            return None
        if project_id not in self._projects:
            self._projects[project_id] = await load_project(self._services.store, project_id)
        return self._projects[project_id]
