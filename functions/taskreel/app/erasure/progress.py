"""The progress of an erasure that runs: read and stored by each of its steps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from taskreel.app.services import Services
from taskreel.domain.erasure import Erasure, running_erasure_id
from taskreel.domain.errors import ConflictError
from taskreel.ports import Transaction
from taskreel.store_collections import ERASURES


async def change_running(
    services: Services, user_id: str, change: Callable[[Erasure, datetime], Erasure]
) -> Erasure:
    """Store the running erasure, changed; repeated until nothing else has changed it."""

    async def write(tx: Transaction) -> Erasure:
        changed = change(await load_running(tx, user_id), services.clock.now())
        tx.set(ERASURES, running_erasure_id(user_id), changed)
        return changed

    return await services.store.transaction(write)


async def load_running(tx: Transaction, user_id: str) -> Erasure:
    """The running erasure. Raises ConflictError if there is none any more."""
    found = await tx.get(ERASURES, running_erasure_id(user_id))
    if found is None:
        raise ConflictError("The erasure has ended meanwhile, by another request.")
    return found
