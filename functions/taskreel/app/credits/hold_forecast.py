"""The holds that many jobs would make, one after another, with nothing stored."""

from __future__ import annotations

from taskreel.app.credits.balances import load_account
from taskreel.app.services import Services
from taskreel.domain.credits import Account
from taskreel.domain.errors import SpendCapError, TooFewCreditsError


class HoldForecast:
    """The accounts of the jobs' owners, each as the holds before would leave it."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._accounts: dict[str, Account] = {}

    async def hold(self, user_id: str, cost: int) -> str | None:
        """Count the hold against its owner; the reason if their account does not cover it."""
        services = self._services
        account = self._accounts.get(user_id)
        if account is None:
            account = await load_account(services, services.store, user_id)
            self._accounts[user_id] = account
        try:
            self._accounts[user_id] = account.hold(cost, services.clock.now())
        except TooFewCreditsError:
            return "its owner has too few credits"
        except SpendCapError as error:
            return f"its owner's {error.details['cap']} spend cap is reached"
        return None
