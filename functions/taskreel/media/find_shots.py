"""Find the shots of a video: its cuts, and the slow changes from one picture to another."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from taskreel.media.slow_changes import (
    Sample,
    is_plain,
    measure_change,
    measure_fade,
    measure_slide,
    measure_wipe,
)

#: Samples a second.
SAMPLE_FPS = 8
#: A cut is a mean change of brightness and colour between samples above the first value, and above
#: the second value times the usual change around it.
CUT_DIFFERENCE = 0.115
CUT_OVER_USUAL = 3.2
#: The least difference of the pictures before and after a slow change.
SLOW_DIFFERENCE = 0.08
#: A slow change has no jump between two samples above this part of it: that would be a cut.
MOST_JUMP = 0.6
#: The most that may remain unexplained of a fade, and of a wipe or slide, as a part of the
#: difference of its ends.
FADE_RESIDUAL = 0.22
WIPE_RESIDUAL = 0.28
SLIDE_RESIDUAL = 0.2
#: The samples from end to end of a fade: half a second, one second, a second and a half.
FADE_SPANS = (4, 8, 12)
#: Those of a wipe or a slide, which begins and ends within: at the ends the picture is at rest, or
#: moves at most so much of what it does between.
WIPE_SPANS = (6, 10, 14, 18)
SLIDE_SPANS = (10, 14)
MOST_MOTION_AT_ENDS = 0.65
#: A plain picture between two others is a dip: those are compared so many samples around it.
DIP_REACH = 9
#: Slow changes nearer to each other, or to a cut, are one change.
NEAREST_SAMPLES = 10
QUICK_SAMPLES = 2


class ShotFinder:
    """Finds the shots of samples that are added one after another; holds the last 19 of them."""

    def __init__(self) -> None:
        self._recent: deque[Sample] = deque(maxlen=WIPE_SPANS[-1] + 1)
        #: The change from each sample to the next; as many as the number of the newest sample.
        self.changes: list[float] = []
        self._slow: list[tuple[float, float]] = []  # (residual, middle in samples)
        self._dips = _DipFinder()

    def add_sample(self, sample: npt.NDArray[np.uint8]) -> None:
        """Add the next sample, an eighth of a second after the last."""
        now = sample.astype(np.int16)
        if self._recent:
            self.changes.append(measure_change(now, self._recent[-1]))
        self._recent.append(now)
        self._dips.add_sample(self._recent, len(self.changes))
        for span in FADE_SPANS:
            self._look_for_fade(span)
        for span in WIPE_SPANS:
            self._look_for_wipe(span)

    def list_shots(self, length: float) -> tuple[tuple[float, float], ...]:
        """Return (start, length) of each shot, in seconds; `length` is the video's."""
        changes = self._find_cuts()
        # The clearest first: a slow change is found by several spans, and around its middle.
        slow = [middle for _, middle in sorted(self._slow) if not self._dips.is_near(middle)]
        for middle in (*self._dips.middles, *slow):
            if all(abs(middle - change) >= NEAREST_SAMPLES for change in changes):
                changes.append(middle)
        starts = [0.0, *(change / SAMPLE_FPS for change in sorted(changes))]
        ends = [*starts[1:], length]
        return tuple(
            (round(start, 3), round(max(end - start, 0.0), 3))
            for start, end in zip(starts, ends, strict=True)
        )

    def _look_for_fade(self, span: int) -> None:
        difference = self._measure_difference(span)
        if difference is None:
            return
        first, middle, last = (self._recent[-1 - back] for back in (span, span // 2, 0))
        residual = measure_fade(first, middle, last) / difference
        if residual < FADE_RESIDUAL:
            self._slow.append((residual, len(self.changes) - span / 2))

    def _look_for_wipe(self, span: int) -> None:
        difference = self._measure_difference(span)
        if difference is None:
            return
        changes = np.array(self.changes[-span:])
        if max(changes[0], changes[-1]) > MOST_MOTION_AT_ENDS * changes.max():
            return
        window = [self._recent[index] for index in range(-1 - span, 0)]
        middle = float((changes * (np.arange(span) + 0.5)).sum() / changes.sum())
        residual, most = measure_wipe(window), WIPE_RESIDUAL
        if (residual is None or residual >= most) and span in SLIDE_SPANS:
            residual = measure_slide(window[0], window[round(middle)], window[-1])
            most = SLIDE_RESIDUAL
        if residual is not None and residual < most:
            self._slow.append((residual, len(self.changes) - span + middle))

    def _measure_difference(self, span: int) -> float | None:
        """The difference of the samples at the ends of a span; None where no change is slow."""
        if len(self._recent) <= span:
            return None
        difference = measure_change(self._recent[-1 - span], self._recent[-1])
        if difference <= SLOW_DIFFERENCE or max(self.changes[-span:]) > MOST_JUMP * difference:
            return None
        return difference

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


class _DipFinder:
    """Finds the plain pictures between two others that differ: a dip to black or white.

    Between two that are the same, a light went out. Fades to a plain picture and from it are a part
    of either.
    """

    def __init__(self) -> None:
        self.middles: list[float] = []
        self._before: Sample | None = None
        #: The numbers of the first and the last sample of each run of plain ones between others.
        self._runs: list[tuple[int, int]] = []
        self._is_open = False

    def is_near(self, middle: float) -> bool:
        """True for a change that is a part of a dip, or of a light that went out."""
        return any(start - DIP_REACH < middle < end + DIP_REACH for start, end in self._runs)

    def add_sample(self, recent: Sequence[Sample], number: int) -> None:
        """Compare the newest sample, which has that number, with those before it."""
        if is_plain(recent[-1]):
            if self._is_open:
                self._runs[-1] = (self._runs[-1][0], number)
            else:
                self._before = recent[max(-1 - DIP_REACH, -len(recent))]
                self._is_open = True
                self._runs.append((number, number))
        elif self._is_open and number >= self._runs[-1][1] + DIP_REACH:
            self._is_open = False
            before, (start, end) = self._before, self._runs[-1]
            if before is None or is_plain(before):
                # The film began plain, or has shots of one colour: no dip.
                self._runs.pop()
            elif measure_change(before, recent[-1]) > SLOW_DIFFERENCE:
                self.middles.append((start + end) / 2)
