"""Drain a location of the queues: new tasks go to the others, and those on it are delivered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from taskreel.app.audit_entries import build_audit_entry
from taskreel.app.caller import Caller
from taskreel.app.messages.job_task import POLL_QUEUE, WEBHOOK_QUEUE, queue_of_type
from taskreel.app.queues.pause_queue import LOCATION_PREFIX
from taskreel.app.services import Services
from taskreel.domain.errors import ConflictError, NotFoundError
from taskreel.domain.queue_control import QueueControl
from taskreel.jobtypes import JOB_TYPES
from taskreel.ports import Query, Store, Transaction
from taskreel.store_collections import AUDIT, QUEUE_CONTROLS

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationState:
    """A location; `depth` counts its tasks that wait or run, None if it does not answer."""

    location: str
    drained: bool
    depth: int | None
    control: QueueControl | None


async def list_drained(store: Store) -> Sequence[str]:
    """The locations that get no new tasks. One read each, and at least one."""
    query = Query(collection=QUEUE_CONTROLS, where=(("paused", "==", True),))
    rows = await store.query(query)
    return [
        row.id.removeprefix(LOCATION_PREFIX) for row in rows if row.id.startswith(LOCATION_PREFIX)
    ]


async def read_locations(services: Services) -> list[LocationState]:
    """The locations of the queues, the preferred one first; none for queues in a process.

    Costs a call of each queue in each location, and a read each.
    """
    names = services.tasks.list_locations()
    if not names:
        return []
    queues = [*map(queue_of_type, JOB_TYPES), POLL_QUEUE, WEBHOOK_QUEUE]
    stats, controls = await asyncio.gather(
        asyncio.gather(*map(services.tasks.stats, queues)),
        asyncio.gather(*(_read_order(services.store, name) for name in names)),
    )
    states = []
    for name, control in zip(names, controls, strict=True):
        # Queues in one location have no states by location.
        found = [one.locations.get(name) if one.locations else one for one in stats]
        depths = [one.depth for one in found if one is not None]
        states.append(
            LocationState(
                location=name,
                drained=control is not None and control.paused,
                depth=sum(depths) if len(depths) == len(found) else None,
                control=control,
            )
        )
    return states


async def set_drain(
    services: Services, caller: Caller, location: str, *, drained: bool, reason: str
) -> LocationState:
    """Send no new tasks to a location, or send them again. Repeating it changes nothing.

    Every process follows within some seconds. The tasks that are there are delivered, and what is
    not is sent again by the sweep. Recorded in the audit log. Raises NotFoundError for a location
    that the queues are not in, and ConflictError for the last one that gets tasks.
    """
    names = services.tasks.list_locations()
    if location not in names:
        if not names:
            raise NotFoundError("The queues are in the memory of a process, which has no location.")
        raise NotFoundError(
            f"The queues have no location {location!r}; they have {', '.join(names)}. Further ones "
            "are declared as `locations` in infra/queues.yaml."
        )
    action = "location drained" if drained else "location resumed"
    entry = build_audit_entry(services, caller.user_id, action, subject=location, reason=reason)
    wanted = QueueControl(
        queue=LOCATION_PREFIX + location,
        paused=drained,
        user_id=caller.user_id,
        at=entry.at,
        reason=reason,
    )

    async def write(tx: Transaction) -> None:
        controls = {name: await _read_order(tx, name) for name in names}
        stored = controls[location]
        if (stored is not None and stored.paused) is drained:
            return
        others = [control for name, control in controls.items() if name != location]
        if drained and all(control is not None and control.paused for control in others):
            raise ConflictError(
                f"{location} is the only location that gets tasks. Resume another one first, or "
                "pause the queues (`taskreel queues pause TYPE`)."
            )
        control = wanted if stored is None else stored.with_fields_of(wanted)
        tx.set(QUEUE_CONTROLS, control.queue, control)
        tx.create(AUDIT, entry.entry_id, entry)

    await services.store.transaction(write)
    log.info(
        "a location is %s by an administrator",
        "drained" if drained else "resumed",
        extra={"action": "location_ordered", "location": location, "user_id": caller.user_id},
    )
    return next(state for state in await read_locations(services) if state.location == location)


async def _read_order(reader: Store | Transaction, location: str) -> QueueControl | None:
    return await reader.get(QUEUE_CONTROLS, LOCATION_PREFIX + location)
