"""The faults from outside of a simulated cloud: deaths, outages, full disks, leaked slots."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from simulation.fault_plan import Fault
from simulation.simulated_cloud import SimulatedCloud
from simulation.simulated_instance import Instance
from taskreel.ports import Increment, Transaction
from taskreel.store_collections import ACCOUNTS

_LONGEST_FREEZE = 90.0


@dataclass
class Environment:
    """Draws one fault after the other, of those that are switched on."""

    cloud: SimulatedCloud

    async def disturb_until(self, end: float) -> None:
        """Let faults happen until the end."""
        cloud = self.cloud
        faults: dict[Fault, Callable[[], Coroutine[Any, Any, None]]] = {
            Fault.KILL: self.kill,
            Fault.STOP: self.stop,
            Fault.FREEZE: self.freeze,
            Fault.STORE_AWAY: self.break_store,
            Fault.STORE_ANSWER_LOST: self.lose_answers,
            Fault.QUEUE_AWAY: self.break_queues,
            Fault.TASKS_PURGED: self.purge,
            Fault.DISK_FULL: self.fill_disk,
            Fault.SLOT_LEAKED: self.leak_slot,
        }
        enabled = [fault for fault in faults if fault in cloud.plan.enabled]
        while cloud.loop.time() < end and enabled:
            await asyncio.sleep(cloud.tape.between(0, 2 * cloud.shape.fault_seconds))
            await faults[enabled[cloud.tape.draw(len(enabled))]]()

    def _choose(self) -> Instance | None:
        return self.cloud.choose_instance()

    async def kill(self) -> None:
        """Kill an instance, at any of its calls; another starts some seconds later."""
        instance = self._choose()
        if instance is not None:
            self.cloud.plan.note(Fault.KILL)
            self.cloud.kill(instance)
            await self.cloud.start_later()

    async def stop(self) -> None:
        """Stop an instance in order, as a deployment does."""
        instance = self._choose()
        if instance is not None:
            self.cloud.plan.note(Fault.STOP)
            self.cloud.start_instance()
            await self.cloud.stop(instance)

    async def freeze(self) -> None:
        """Freeze an instance for as long as a lease or three."""
        instance = self._choose()
        if instance is None:
            return
        self.cloud.plan.note(Fault.FREEZE)
        instance.machine.frozen = True
        await asyncio.sleep(self.cloud.tape.between(1, _LONGEST_FREEZE))
        instance.machine.frozen = False

    async def break_store(self) -> None:
        """No instance reaches the store for seconds to minutes."""
        self._break_store(loses_answers=False)

    async def lose_answers(self) -> None:
        """The store carries out what it is asked, and its answers are lost."""
        self._break_store(loses_answers=True)

    def _break_store(self, *, loses_answers: bool) -> None:
        outage = self.cloud.store_outage
        seconds = (0.5, 4.0, 20.0, 100.0)[self.cloud.tape.draw(4)]
        outage.loses_answers = loses_answers
        outage.until = self.cloud.loop.time() + seconds

    async def break_queues(self) -> None:
        """No instance reaches the queues."""
        seconds = self.cloud.tape.between(1, 200)
        self.cloud.queue_outage.until = self.cloud.loop.time() + seconds

    async def purge(self) -> None:
        """All tasks of a queue are lost."""
        names = ("image-generation-queue", "provider-poll-queue", "batch-generation-queue")
        self.cloud.plan.note(Fault.TASKS_PURGED)
        await self.cloud.queues.purge(names[self.cloud.tape.draw(len(names))])

    async def fill_disk(self) -> None:
        """The disk of an instance is full for some minutes."""
        instance = self._choose()
        if instance is not None:
            seconds = self.cloud.tape.between(10, 600)
            instance.machine.disk_full_until = self.cloud.loop.time() + seconds

    async def leak_slot(self) -> None:
        """An account counts an active job that does not exist."""
        accounts = self.cloud.watch.accounts
        ids = sorted(accounts)
        if not ids:
            return
        account_id = ids[self.cloud.tape.draw(len(ids))]
        self.cloud.watch.leak_slot(accounts[account_id].user_id)
        self.cloud.plan.note(Fault.SLOT_LEAKED)

        async def leak(tx: Transaction) -> None:
            tx.update(ACCOUNTS, account_id, {"active": Increment(1)})

        await self.cloud.store.transaction(leak)
