"""The faults of one simulation: which are switched on, how often, and how often each happened."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from simulation.tape import Tape


class Fault(StrEnum):
    """The faults, by the names that a report shows."""

    KILL = "process killed"
    STOP = "process stopped"
    FREEZE = "process frozen"
    STORE_AWAY = "store away"
    STORE_ANSWER_LOST = "commit acknowledged, answer lost"
    STORE_CONTENDED = "store contended"
    QUEUE_AWAY = "queue away"
    TASK_REFUSED = "CreateTask failed before storing"
    TASK_ANSWER_LOST = "CreateTask failed after storing"
    TASK_LOST = "task lost"
    TASK_DOUBLED = "delivery doubled"
    TASK_LATE = "delivery late"
    TASKS_PURGED = "queue purged"
    BLOB_HALF_WRITTEN = "blob write failed half-way"
    BLOB_ANSWER_LOST = "blob stored, answer lost"
    DISK_FULL = "disk full"
    PROVIDER_DOWN = "provider down"
    PROVIDER_LIMITS = "provider limits the rate"
    PROVIDER_REFUSES = "provider refuses"
    PROVIDER_SLOW = "provider slow"
    PROVIDER_HANGS = "provider hangs, then succeeds late"
    PROVIDER_ANSWER_LOST = "accepted, answer lost"
    PROVIDER_CRASHES = "provider's adapter crashes after acceptance"
    PROVIDER_DROPS = "accepted, then dropped"
    PROVIDER_BILLS_AND_FAILS = "billed, then failed"
    PROVIDER_POLL_FAILS = "poll failed"
    PROVIDER_CANCEL_FAILS = "cancel failed"
    CODE_CRASHES = "a run crashes by a bug"
    CLOCK_SKEW = "clocks differ"
    TWO_REVISIONS = "two revisions at once"
    SLOT_LEAKED = "slot leaked"
    WEBHOOK_FAILS = "webhook failed"
    WEBHOOK_ANSWER_LOST = "webhook received, answer lost"
    CLIENT_ANSWER_LOST = "client lost the answer"


#: Faults of a single call, and in how many of a thousand calls each happens where it is on.
_PER_MILLE = {
    # At any call of an instance, beside the faults of the environment.
    Fault.KILL: 3,
    Fault.STORE_CONTENDED: 20,
    Fault.TASK_REFUSED: 30,
    Fault.TASK_ANSWER_LOST: 30,
    Fault.TASK_LOST: 100,
    Fault.CODE_CRASHES: 30,
    Fault.TASK_DOUBLED: 60,
    Fault.TASK_LATE: 60,
    Fault.BLOB_HALF_WRITTEN: 30,
    Fault.BLOB_ANSWER_LOST: 30,
    Fault.PROVIDER_DOWN: 100,
    Fault.PROVIDER_LIMITS: 80,
    Fault.PROVIDER_REFUSES: 40,
    Fault.PROVIDER_SLOW: 120,
    Fault.PROVIDER_HANGS: 15,
    Fault.PROVIDER_ANSWER_LOST: 50,
    Fault.PROVIDER_CRASHES: 30,
    Fault.PROVIDER_DROPS: 60,
    Fault.PROVIDER_BILLS_AND_FAILS: 40,
    Fault.PROVIDER_POLL_FAILS: 60,
    Fault.PROVIDER_CANCEL_FAILS: 250,
    Fault.WEBHOOK_FAILS: 150,
    Fault.WEBHOOK_ANSWER_LOST: 60,
    Fault.CLIENT_ANSWER_LOST: 60,
}


#: Between a purchase and its record these may part a run from what it has bought.
_DISTURBING = frozenset(
    {
        Fault.KILL,
        Fault.STOP,
        Fault.FREEZE,
        Fault.STORE_AWAY,
        Fault.STORE_ANSWER_LOST,
        Fault.BLOB_HALF_WRITTEN,
        Fault.BLOB_ANSWER_LOST,
        Fault.DISK_FULL,
        Fault.PROVIDER_HANGS,
        Fault.PROVIDER_ANSWER_LOST,
        Fault.PROVIDER_CRASHES,
        Fault.CODE_CRASHES,
        Fault.CLOCK_SKEW,
    }
)


@dataclass
class FaultPlan:
    """The faults that this seed has: a random half of them, so that rare ones are not drowned.

    A few seeds have none, and a few only those in which no answer of a provider can be lost.
    """

    tape: Tape
    enabled: frozenset[Fault]
    #: How often each fault, and each rare branch of the product, has really happened.
    happened: Counter[str] = field(default_factory=Counter)
    is_calm: bool = False
    #: Faults that a scenario orders: so many of the next calls meet each.
    ordered: Counter[Fault] = field(default_factory=Counter)

    @classmethod
    def draw(cls, tape: Tape) -> FaultPlan:
        """Switch each fault on or off."""
        kind = tape.draw(12)
        if kind == 11:
            return cls(tape, frozenset())
        chosen = frozenset(fault for fault in Fault if tape.draw(2))
        return cls(tape, chosen - _DISTURBING) if kind >= 9 else cls(tape, chosen)

    @property
    def loses_no_answer(self) -> bool:
        """True if a run hears every answer that a provider gives."""
        return not self.enabled & _DISTURBING

    def strikes(self, fault: Fault) -> bool:
        """True if the fault happens to this call; it is counted."""
        if self.ordered[fault] > 0:
            self.ordered[fault] -= 1
            self.happened[fault] += 1
            return True
        if self.is_calm or fault not in self.enabled:
            return False
        struck = self.tape.happens(_PER_MILLE[fault])
        if struck:
            self.happened[fault] += 1
        return struck

    def note(self, name: str) -> None:
        """Count a fault, or a rare branch, that has happened."""
        self.happened[name] += 1
