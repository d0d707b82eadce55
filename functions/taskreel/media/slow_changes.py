"""Measures of slow changes from one picture to another: fades, wipes and slides.

Each measure is the part of the change that such a transition would not explain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

#: A small picture in the planes Y, U and V, one below the other; its bytes as signed numbers.
Sample: TypeAlias = npt.NDArray[np.int16]

#: The contrast (standard deviation of brightness) below which a picture is plain.
PLAIN_CONTRAST = 5.0
#: A wipe or a slide changes nearly the whole picture: the least part of its cells, and the least
#: change of a cell that counts (of 255). An object that comes into the picture changes less.
CHANGED_PART = 0.85
CHANGED_BY = 6.0
CELLS = 6
#: Half way, each cell of a wipe shows one of the two pictures, which a moving camera does not
#: bring about: the least part that is of one of them, over all cells.
LEAST_PURITY = 0.7
FINE_CELLS = 12
#: New parts of a wipe stay new, but for so much.
MOST_STEP_BACK = 0.04
#: Sides of the picture in which slides are searched.
_SLIDE_WIDTH = 48


def measure_change(one: Sample, other: Sample) -> float:
    """The mean change of brightness and colour, 0 to 1."""
    return float(np.abs(one - other).mean()) / 255


def is_plain(sample: Sample) -> bool:
    """True for a picture of one colour."""
    return float(_brightness(sample).std()) < PLAIN_CONTRAST


def measure_fade(first: Sample, middle: Sample, last: Sample) -> float:
    """The change of a fade's middle from the mean of its ends."""
    return measure_change(2 * middle, first + last) / 2


def measure_wipe(window: Sequence[Sample]) -> float | None:
    """The most that a sample between differs from a patchwork of the ends.

    None where the new part does not grow from nothing to all.
    """
    # Every other pixel of every other row is enough, and all planes have both.
    small = [sample[::2, ::2] for sample in window]
    first, last = small[0], small[-1]
    weights = np.abs(last - first)
    if not _changes_everywhere(weights):
        return None
    total = float(weights.sum())
    shares, residuals = [0.0], []
    purest, nearest = 0.0, 1.0
    for sample in small[1:-1]:
        to_first, to_last = np.abs(sample - first), np.abs(sample - last)
        new = np.where(to_last < to_first, weights, 0)
        shares.append(float(new.sum()) / total)
        residuals.append(float(np.minimum(to_first, to_last).sum()) / total)
        if abs(shares[-1] - 0.5) < nearest:
            nearest, purest = abs(shares[-1] - 0.5), _measure_purity(new, weights)
    shares.append(1.0)
    grows = all(after >= before - MOST_STEP_BACK for before, after in pairwise(shares))
    return max(residuals) if grows and purest >= LEAST_PURITY else None


def measure_slide(first: Sample, middle: Sample, last: Sample) -> float | None:
    """The difference of a sample from the nearest that a slide could show.

    The old picture moves out, the new one in, or both, to any side.
    """
    old, now, new = (_shrink(sample) for sample in (first, middle, last))
    weights = np.abs(new - old)
    if not _changes_everywhere(weights):
        return None
    turned = zip(*(_turn_picture(picture) for picture in (old, now, new)), strict=True)
    best = min(_measure_slide_left(*pictures) for pictures in turned)
    return best / float(weights.mean())


def _turn_picture(picture: Sample) -> tuple[Sample, Sample, Sample, Sample]:
    """The picture as a slide to the left, to the right, up and down becomes one to the left."""
    return picture, picture[:, ::-1], picture.T, picture[::-1].T


def _measure_slide_left(old: Sample, now: Sample, new: Sample) -> float:
    """The least mean difference of `now` from `old` moved to the left and `new` behind it."""
    height, width = now.shape
    # At each edge: the differences of the columns before it from a picture that rests.
    rests_old = np.abs(now - old).sum(axis=0).cumsum()
    rests_new = np.abs(now - new).sum(axis=0)[::-1].cumsum()
    best = math.inf
    # About half way: nearer to a side, a camera that pans would explain nearly all.
    for edge in range(width * 3 // 10, width * 7 // 10):
        moved = width - edge
        old_part = np.abs(now[:, :edge] - old[:, moved:]).sum()
        new_part = np.abs(now[:, edge:] - new[:, :moved]).sum()
        # One of the two moves at least: both at rest are a wipe.
        found = min(
            old_part + new_part, old_part + rests_new[moved - 1], rests_old[edge - 1] + new_part
        )
        best = min(best, float(found))
    mean: float = best / (height * width)
    return mean


def _changes_everywhere(weights: Sample) -> bool:
    """True if nearly every part of the picture changes."""
    means = _sum_cells(weights, CELLS) / (weights.size / CELLS**2)
    return float(np.mean(means > CHANGED_BY)) >= CHANGED_PART


def _measure_purity(new: Sample, weights: Sample) -> float:
    """The part of the change that is in the majority in its cell, 0 (half and half) to 1."""
    of_new, of_all = (_sum_cells(one, FINE_CELLS) for one in (new, weights))
    return float(np.abs(2 * of_new - of_all).sum() / max(of_all.sum(), 1.0))


def _sum_cells(plane: Sample, cells: int) -> npt.NDArray[np.float64]:
    """The sums of the cells of a picture, as many across as down."""
    marks = [np.arange(cells) * side // cells for side in plane.shape]
    rows = np.add.reduceat(plane.astype(np.float64), marks[0], axis=0)
    summed: npt.NDArray[np.float64] = np.add.reduceat(rows, marks[1], axis=1)
    return summed


def _shrink(sample: Sample) -> Sample:
    """The brightness of a sample in a few pixels, each the mean of those that it stands for."""
    plane = _brightness(sample)
    step = max(1, max(plane.shape) // _SLIDE_WIDTH)
    height, width = (side // step * step for side in plane.shape)
    blocks = plane[:height, :width].reshape(height // step, step, width // step, step)
    small: Sample = blocks.mean(axis=(1, 3)).astype(np.int16)
    return small


def _brightness(sample: Sample) -> Sample:
    return sample[: sample.shape[0] * 2 // 3]
