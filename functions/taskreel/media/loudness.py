"""How loud a sound is, as broadcasters measure it (EBU R 128 / ITU-R BS.1770), and bringing it to a target."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import av.error
import av.filter
import numpy as np

from taskreel.media.audio_io import Samples, read_audio_frames, to_samples
from taskreel.media.encode import SOUND_RATE, make_sound_frame

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SILENT_LUFS = -70.0  # the absolute gate: what is quieter counts as silence
TARGET_LUFS = -16.0
CEILING_DB = -1.5
MOST_GAIN_DB = 30.0


@dataclass(frozen=True, slots=True)
class Loudness:
    """`integrated_lufs` is -70 for silence; `range_lu` is the spread between soft and loud parts; no peak is -120."""

    integrated_lufs: float
    range_lu: float
    true_peak_db: float

    def gain_to(self, target_lufs: float) -> float:
        """The factor that brings the sound to a target; 1 for silence."""
        if self.integrated_lufs <= SILENT_LUFS + 0.5:
            return 1.0
        return float(10 ** (min(target_lufs - self.integrated_lufs, MOST_GAIN_DB) / 20))


class LoudnessMeter:
    """Measures a sound that passes by; memory does not grow with its length."""

    def __init__(self, *, peaks: bool = False) -> None:
        """With `peaks`, true peaks too: they cost four times the rest."""
        self._graph = _graph(
            "ebur128", f"metadata=1:peak={'true' if peaks else 'none'}:framelog=quiet"
        )
        self._last: dict[str, str] = {}
        self._samples = 0

    def hear(self, samples: Samples) -> None:
        """Take `(2, n)` samples into account."""
        frame = make_sound_frame(samples)
        frame.pts, frame.time_base = self._samples, Fraction(1, SOUND_RATE)
        self._samples += samples.shape[1]
        self._graph.push(frame)
        self._drain()

    def result(self) -> Loudness:
        """The loudness of all that was heard."""
        self._graph.push(None)
        self._drain()
        peaks = (
            float(self._last.get(f"lavfi.r128.true_peaks_ch{channel}", 0)) for channel in (0, 1)
        )
        peak = max(peaks)
        return Loudness(
            integrated_lufs=max(float(self._last.get("lavfi.r128.I", SILENT_LUFS)), SILENT_LUFS),
            range_lu=float(self._last.get("lavfi.r128.LRA", 0)),
            true_peak_db=round(20 * math.log10(peak), 2) if peak > 0 else -120.0,
        )

    def _drain(self) -> None:
        for frame in pull_frames(self._graph):
            self._last = dict(frame.metadata) or self._last


def measure_loudness(path: Path) -> Loudness:
    """The loudness of a file's first audio track; raises PermanentError where there is none."""
    meter = LoudnessMeter(peaks=True)
    for frame in read_audio_frames(path):
        meter.hear(to_samples(frame))
    return meter.result()


class Limiter:
    """Keeps peaks under the ceiling without clipping; delays nothing."""

    def __init__(self, ceiling_db: float = CEILING_DB) -> None:
        ceiling = 10 ** (ceiling_db / 20)
        self._graph = _graph(
            "alimiter", f"limit={ceiling:.4f}:attack=5:release=60:level=0:latency=1"
        )
        self._samples = 0

    def limit(self, samples: Samples) -> Iterator[av.AudioFrame]:
        """Frames that are ready once these samples have gone in."""
        frame = make_sound_frame(samples)
        frame.pts, frame.time_base = self._samples, Fraction(1, SOUND_RATE)
        self._samples += samples.shape[1]
        self._graph.push(frame)
        yield from pull_frames(self._graph)

    def rest(self) -> Iterator[av.AudioFrame]:
        """The frames still inside."""
        self._graph.push(None)
        yield from pull_frames(self._graph)


def pull_frames(graph: av.filter.Graph) -> Iterator[av.AudioFrame]:
    """All sound frames a graph has ready."""
    while True:
        try:
            frame = graph.pull()
        except (BlockingIOError, av.error.EOFError):  # nothing yet, or nothing more
            return
        if isinstance(frame, av.AudioFrame):
            yield frame


def _graph(name: str, arguments: str) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_abuffer(
        sample_rate=SOUND_RATE, format="fltp", layout="stereo", time_base=Fraction(1, SOUND_RATE)
    )
    plain = graph.add(
        "aformat", f"sample_fmts=fltp:channel_layouts=stereo:sample_rates={SOUND_RATE}"
    )
    graph.link_nodes(
        source, graph.add(name, arguments), plain, graph.add("abuffersink")
    ).configure()
    return graph


def decibels(samples: Samples) -> float:
    """RMS level in dBFS, -120 for silence."""
    power = float(np.mean(np.square(samples, dtype=np.float64))) if samples.size else 0.0
    return 10 * math.log10(power) if power > 1e-12 else -120.0
