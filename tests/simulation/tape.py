"""One tape of choices: everything that a simulation decides at random, in order.

A run is a function of its tape. A recorded tape repeats the run; a smaller tape (shorter, or with
smaller numbers) is a simpler run, so a failure is shrunk without knowing what the choices mean.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Self

#: Numbers of that many bits are ids.
_ID_BITS = 64


class Tape:
    """Draws numbers from a seed, or from the recorded choices of an earlier run.

    Behind the end of recorded choices every draw is 0, which stands for the simplest choice.
    """

    def __init__(self, seed: int | None = None, choices: Sequence[int] | None = None) -> None:
        self._random = Random(seed)
        self._given = choices
        self.choices: list[int] = []

    def draw(self, count: int) -> int:
        """A number from 0 to `count` - 1."""
        place = len(self.choices)
        if self._given is None:
            choice = self._random.randrange(count)
        else:
            choice = self._given[place] % count if place < len(self._given) else 0
        self.choices.append(choice)
        return choice

    def happens(self, per_mille: int) -> bool:
        """True in so many of a thousand cases; 0 on the tape says no."""
        return per_mille > 0 and self.draw(1000) >= 1000 - per_mille

    def between(self, least: float, most: float) -> float:
        """A number from `least` on, in thousand steps."""
        return least + (most - least) * self.draw(1001) / 1000


class TapeRandom(Random):
    """`Random` of the services, whose numbers come from the tape: ids, jitter, samples."""

    def __new__(cls, *_: object) -> Self:
        return super().__new__(cls)

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._ids = 0
        super().__init__(0)

    def random(self) -> float:
        """A number from 0 to below 1."""
        return self._tape.draw(1 << 30) / (1 << 30)

    def getrandbits(self, count: int, /) -> int:
        """A number of so many bits; long ones differ from each other whatever the tape says."""
        if count <= _ID_BITS // 2:
            return self._tape.draw(1 << count)
        self._ids += 1
        digest = hashlib.sha256(b"%d %d" % (self._ids, self._tape.draw(1 << 30))).digest()
        while 8 * len(digest) < count:
            digest += hashlib.sha256(digest).digest()
        return int.from_bytes(digest) % (1 << count)


def shrink_tape(
    choices: Sequence[int], fails: Callable[[Sequence[int]], bool], *, tries: int
) -> list[int]:
    """Make a failing tape smaller while it still fails: cut its end, cut blocks, zero choices."""
    best = list(choices)
    left = tries

    def accept_if_fails(candidate: list[int]) -> bool:
        nonlocal best, left
        if left <= 0 or len(candidate) > len(best) or candidate == best:
            return False
        left -= 1
        if not fails(candidate):
            return False
        best = candidate
        return True

    size = len(best) // 2
    while size and left > 0:
        if not accept_if_fails(best[: len(best) - size]):
            size //= 2
    block = max(1, len(best) // 4)
    while block and left > 0:
        start = 0
        while start < len(best) and left > 0:
            without = best[:start] + best[start + block :]
            zeroed = best[:start] + [0] * len(best[start : start + block]) + best[start + block :]
            if not accept_if_fails(without) and not accept_if_fails(zeroed):
                start += block
        block //= 2
    return best
