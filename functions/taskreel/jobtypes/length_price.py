"""The price of work whose provider bills by the length of the file that it is given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from taskreel.domain.credits import format_credits

#: Encoders pad the end of a sound: a file of ten minutes plays a little longer.
FREE_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthPrice:
    """`credits` for each `block_seconds` that are begun.

    The length of a file is rarely known at submission: the price of `maxSeconds` of the request is
    held, or else that of `usual_seconds`, and the price of the real length is charged. A longer
    file is refused before anything is bought.
    """

    credits: int
    block_seconds: int
    usual_seconds: int
    #: The greatest `maxSeconds` of a request.
    most_seconds: int
    #: The one of several files by whose length the provider bills.
    billed_file: Literal["longest", "shortest"] = "longest"

    def price_seconds(self, seconds: float) -> int:
        """The credits of a file of that length."""
        blocks = math.ceil((seconds - FREE_SECONDS) / self.block_seconds)
        return max(blocks, 1) * self.credits

    def limit_seconds(self, max_seconds: int | None) -> int:
        """The longest file that a request with that `maxSeconds` pays for."""
        return max_seconds or self.usual_seconds

    def price_limit(self, max_seconds: int | None) -> int:
        """The credits to hold for a request with that `maxSeconds`."""
        return self.price_seconds(self.limit_seconds(max_seconds))

    def choose_seconds(self, lengths: Sequence[float]) -> float:
        """The length that is billed, of the lengths of all files."""
        return min(lengths) if self.billed_file == "shortest" else max(lengths)

    def describe(self) -> str:
        """The price in words, with the sum that a request without `maxSeconds` holds."""
        held = format_credits(self.price_limit(None))
        return (
            f"{format_credits(self.credits)} for each {_format_time(self.block_seconds)} begun; "
            f"held at first: {held}, for {_format_time(self.usual_seconds)}, "
            "or those of options.maxSeconds"
        )


def _format_time(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} minutes"
