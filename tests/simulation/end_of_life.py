"""The end of all data: a user is erased, then everything else expires. No file may be left.

It comes after all other checks, and takes no virtual time.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from msgspec.structs import replace

from simulation.file_rules import NO_FILE_OUTLIVES
from simulation.invariant_watch import ViolationError
from simulation.simulated_cloud import SimulatedCloud
from simulation.simulated_ports import SimulatedClock
from taskreel.app.caller import Caller
from taskreel.app.erasure.erase_user import erase_user
from taskreel.app.services import Services
from taskreel.app.worker.expiry import remove_expired
from taskreel.domain.erasure import ErasurePhase
from taskreel.domain.errors import NotFoundError

#: What a pipeline has adopted is retained for a day longer than itself.
_AFTER_RETENTION = timedelta(days=3)
#: A replay goes before the job that it replays, so each pass may remove one of a line.
_MOST_PASSES = 50


async def check_end_of_life(cloud: SimulatedCloud, erased: str) -> None:
    """Erase that user, let the rest expire, and look at the bucket. Raises ViolationError."""
    # From here on documents disappear, and with the person their books.
    cloud.loop.after_step = lambda: None
    asked = cloud.watch.removed | cloud.watch.reuse.removed_uploads
    services = cloud.instances[-1].services
    mine = [id_ for id_, owner in cloud.watch.reuse.owners.items() if owner == erased]
    with suppress(NotFoundError):  # they have never done anything
        await _erase(services, erased)
    _require_no_files(cloud, asked.__contains__, f"{erased} was erased")
    if left := [id_ for id_ in mine if id_ in cloud.watch.jobs]:
        raise ViolationError(f"erasure: job {left[0]} of {erased} is still stored")
    await _expire_all(services)
    _require_no_files(cloud, asked.__contains__, "all that referred to it has expired")
    for job in cloud.watch.jobs.values():
        raise ViolationError(f"retention: job {job.job_id} ({job.status}) never expires")


async def _erase(services: Services, user: str) -> None:
    root = Caller(user_id="root", admin=True)
    for _ in range(_MOST_PASSES):
        erasure = await erase_user(services, root, user, "the end of the simulation")
        if erasure.phase is ErasurePhase.DONE:
            return
    raise ViolationError(f"erasure: that of {user} does not come to its end: {erasure!r}")


async def _expire_all(services: Services) -> None:
    clock = services.clock
    assert isinstance(clock, SimulatedClock)
    later = SimulatedClock(clock.loop)
    later.skew = services.rules.retention.longest + _AFTER_RETENTION
    for _ in range(_MOST_PASSES):
        if not await remove_expired(replace(services, clock=later)):
            return
    raise ViolationError("retention: what has expired is not removed in fifty passes")


def _require_no_files(
    cloud: SimulatedCloud, was_removed: Callable[[str], bool], reason: str
) -> None:
    for path in cloud.files.list_left(was_removed):
        raise ViolationError(f"{NO_FILE_OUTLIVES}: {path} is left, and {reason}")
