"""Find the shots of a video: where it cuts, and where one picture fades into another."""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

#: A small picture, its bytes as signed numbers.
Sample: TypeAlias = npt.NDArray[np.int16]

#: Samples a second.
SAMPLE_FPS = 8
#: A cut is a mean change of brightness and colour between samples above the first value, and above
#: the second value times the usual change around it.
CUT_DIFFERENCE = 0.115
CUT_OVER_USUAL = 3.2
#: A fade's middle is nearly the mean of its ends, which motion is not: the difference of the ends
#: is above the first value, and that of the middle from the mean below the second value times it.
FADE_DIFFERENCE = 0.08
FADE_RESIDUAL = 0.22
#: The samples from end to end of a fade: half a second, one second, a second and a half.
FADE_SPANS = (4, 8, 12)
#: Fades nearer to each other, or to a cut, are one change.
NEAREST_SAMPLES = 10
QUICK_SAMPLES = 2


class ShotFinder:
    """Finds the shots of samples that are added one after another; holds the last 13 of them."""

    def __init__(self) -> None:
        self._recent: deque[Sample] = deque(maxlen=FADE_SPANS[-1] + 1)
        #: The change from each sample to the next.
        self.changes: list[float] = []
        self._fades: list[tuple[float, float]] = []  # (residual, middle in samples)
        self._count = 0

    def add_sample(self, sample: npt.NDArray[np.uint8]) -> None:
        """Add the next sample, an eighth of a second after the last."""
        now = sample.astype(np.int16)
        if self._recent:
            self.changes.append(_measure_change(now, self._recent[-1]))
        self._recent.append(now)
        self._count += 1
        self._look_for_fade()

    def list_shots(self, length: float) -> tuple[tuple[float, float], ...]:
        """Return (start, length) of each shot, in seconds; `length` is the video's."""
        changes = self._find_cuts()
        # The clearest first: a slow fade is found by several spans, and around its middle.
        for _, middle in sorted(self._fades):
            if all(abs(middle - change) >= NEAREST_SAMPLES for change in changes):
                changes.append(middle)
        starts = [0.0, *(change / SAMPLE_FPS for change in sorted(changes))]
        ends = [*starts[1:], length]
        return tuple(
            (round(start, 3), round(max(end - start, 0.0), 3))
            for start, end in zip(starts, ends, strict=True)
        )

    def _look_for_fade(self) -> None:
        for span in FADE_SPANS:
            if len(self._recent) <= span:
                return
            first, middle, last = (self._recent[-1 - back] for back in (span, span // 2, 0))
            difference = _measure_change(first, last)
            # Without a jump between two samples: that would be a cut.
            if difference <= FADE_DIFFERENCE or max(self.changes[-span:]) > 0.6 * difference:
                continue
            residual = _measure_change(2 * middle, first + last) / 2 / difference
            if residual < FADE_RESIDUAL:
                self._fades.append((residual, self._count - 1 - span / 2))

    def _find_cuts(self) -> list[float]:
        """Find changes far above those in the second before and after."""
        groups: list[list[int]] = []
        for index, change in enumerate(self.changes):
            before = self.changes[max(0, index - SAMPLE_FPS) : index]
            around = before + self.changes[index + 1 : index + 1 + SAMPLE_FPS]
            usual = float(np.median(around)) if around else 0.0
            if change > CUT_DIFFERENCE and change > CUT_OVER_USUAL * usual:
                # A quick slide or dip to black makes several: it is one change.
                if groups and index + 1 - groups[-1][-1] <= QUICK_SAMPLES:
                    groups[-1].append(index + 1)
                else:
                    groups.append([index + 1])
        return [(group[0] + group[-1]) / 2 for group in groups]


def _measure_change(one: Sample, other: Sample) -> float:
    return float(np.abs(one - other).mean()) / 255
