"""Fault injection: faults that Google documents, seeded and decided per task."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

_DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Probabilities from 0 to 1. A decision depends only on seed, task number and attempt."""

    seed: int = 0
    duplicate: float = 0.0
    """A task that succeeded is delivered again ("99.999 % … only once", common-pitfalls)."""
    delay: float = 0.0
    """A delivery comes `delay_s` late ("usually lasting a few minutes", common-pitfalls)."""
    delay_s: float = 180.0
    reorder: float = 0.0
    """A due task is delayed by up to `reorder_s`: delivery order is not guaranteed."""
    reorder_s: float = 1.0
    create_deadline: float = 0.0
    """CreateTask stores the task and answers DEADLINE_EXCEEDED."""
    lose_before: float = 0.0
    """The connection is lost before the handler sees the request."""
    lose_after: float = 0.0
    """The connection is lost after the handler ran, before its response arrives."""

    def __post_init__(self) -> None:
        for name in (
            "duplicate",
            "delay",
            "reorder",
            "create_deadline",
            "lose_before",
            "lose_after",
        ):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"the probability '{name}' must be between 0 and 1")
        for name in ("delay_s", "reorder_s"):
            if not 0 <= getattr(self, name) <= _DAY_S:
                raise ValueError(f"'{name}' must be between 0 and a day, in seconds")

    def should_inject(self, name: str, number: int, attempt: int = 0) -> bool:
        """Return True if the fault `name` applies to this attempt."""
        chance: float = getattr(self, name)
        return chance > 0 and self._draw_fraction(name, number, attempt) < chance

    def extra_delay_s(self, number: int, attempt: int) -> float:
        """Return the seconds by which this delivery starts late."""
        if not self.delay and not self.reorder:
            return 0.0
        late = self.delay_s if self.should_inject("delay", number, attempt) else 0.0
        if self.should_inject("reorder", number, attempt):
            late += self.reorder_s * self._draw_fraction("place", number, attempt)
        return late

    def _draw_fraction(self, name: str, number: int, attempt: int) -> float:
        text = f"{self.seed}/{name}/{number}/{attempt}"
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        return int.from_bytes(digest) / 2**64


NO_FAULTS = Faults()
