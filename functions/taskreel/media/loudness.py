"""Loudness as broadcasters measure it (EBU R 128, ITU-R BS.1770), and a limiter of peaks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import av.error
import av.filter

from taskreel.media.audio_io import Samples, read_audio_frames, to_samples
from taskreel.media.sound_track import SOUND_RATE, make_sound_frame

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SILENT_LUFS = -70.0  # the absolute gate: what is quieter counts as silence
TARGET_LUFS = -16.0
CEILING_DB = -1.5
MOST_GAIN_DB = 30.0


@dataclass(frozen=True, slots=True)
class Loudness:
    """Loudness of a sound: `integrated_lufs` is -70 for silence, `true_peak_db` then -120.

    `range_lu` is the spread between soft and loud parts.
    """

    integrated_lufs: float
    range_lu: float
    true_peak_db: float

    def gain_to(self, target_lufs: float) -> float:
        """Return the factor that brings the sound to a target; 1 for silence."""
        if self.integrated_lufs <= SILENT_LUFS + 0.5:
            return 1.0
        return float(10 ** (min(target_lufs - self.integrated_lufs, MOST_GAIN_DB) / 20))


class LoudnessMeter:
    """Measures a sound as a stream; memory does not grow with its length."""

    def __init__(self, *, peaks: bool = False) -> None:
        """Measure true peaks too with `peaks`: they take four times as long as the rest."""
        self._graph = build_graph(
            "ebur128", f"metadata=1:peak={'true' if peaks else 'none'}:framelog=quiet"
        )
        self._last: dict[str, str] = {}
        self._samples = 0

    def add_samples(self, samples: Samples) -> None:
        """Measure samples of shape (2, n)."""
        frame = make_sound_frame(samples)
        frame.pts, frame.time_base = self._samples, Fraction(1, SOUND_RATE)
        self._samples += samples.shape[1]
        self._graph.push(frame)
        self._read_metadata()

    def compute_loudness(self) -> Loudness:
        """Return the loudness of all samples; the meter takes no more."""
        self._graph.push(None)
        self._read_metadata()
        peaks = (
            float(self._last.get(f"lavfi.r128.true_peaks_ch{channel}", 0)) for channel in (0, 1)
        )
        peak = max(peaks)
        return Loudness(
            integrated_lufs=max(float(self._last.get("lavfi.r128.I", SILENT_LUFS)), SILENT_LUFS),
            range_lu=float(self._last.get("lavfi.r128.LRA", 0)),
            true_peak_db=round(20 * math.log10(peak), 2) if peak > 0 else -120.0,
        )

    def _read_metadata(self) -> None:
        for frame in pull_frames(self._graph):
            self._last = dict(frame.metadata) or self._last


def measure_loudness(path: Path) -> Loudness:
    """Measure a file's first audio track; raises PermanentError where there is none."""
    meter = LoudnessMeter(peaks=True)
    for frame in read_audio_frames(path):
        meter.add_samples(to_samples(frame))
    return meter.compute_loudness()


class Limiter:
    """Limits peaks to a ceiling without clipping and without delay."""

    def __init__(self, ceiling_db: float = CEILING_DB) -> None:
        ceiling = 10 ** (ceiling_db / 20)
        self._graph = build_graph(
            "alimiter", f"limit={ceiling:.4f}:attack=5:release=60:level=0:latency=1"
        )
        self._samples = 0

    def limit_samples(self, samples: Samples) -> Iterator[av.AudioFrame]:
        """Take samples and return the frames that are ready."""
        frame = make_sound_frame(samples)
        frame.pts, frame.time_base = self._samples, Fraction(1, SOUND_RATE)
        self._samples += samples.shape[1]
        self._graph.push(frame)
        yield from pull_frames(self._graph)

    def flush_frames(self) -> Iterator[av.AudioFrame]:
        """Return the remaining frames."""
        self._graph.push(None)
        yield from pull_frames(self._graph)


def pull_frames(graph: av.filter.Graph) -> Iterator[av.AudioFrame]:
    """Return all sound frames that a filter graph has ready."""
    while True:
        try:
            frame = graph.pull()
        except (BlockingIOError, av.error.EOFError):  # it wants more input, or has ended
            return
        if isinstance(frame, av.AudioFrame):
            yield frame


def build_graph(name: str, arguments: str) -> av.filter.Graph:
    """Build the graph of one filter that takes and gives sound of our rate in stereo."""
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
