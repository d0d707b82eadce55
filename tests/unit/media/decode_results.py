"""Decode the files that tests have made, and compare what is in them."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

from taskreel.media.audio_io import SoundWriter, read_audio_frames, to_samples
from taskreel.media.probe import MediaInfo, probe_file


def read_video_frames(path: Path) -> list[npt.NDArray[np.uint8]]:
    """All frames as RGB, each of shape (height, width, 3)."""
    with av.open(str(path)) as container:
        return [
            np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
            for frame in container.decode(video=0)
        ]


def read_picture(path: Path) -> npt.NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def read_sound(path: Path) -> npt.NDArray[np.float32]:
    """All of the sound: shape (2, n) at 48 kHz."""
    return np.concatenate([to_samples(frame) for frame in read_audio_frames(path)], axis=1)


def measure_level(samples: npt.NDArray[np.float32]) -> float:
    """The root mean square of the samples, 0 to 1."""
    return float(np.sqrt(np.mean(np.square(samples))))


def has_colour(
    frame: npt.NDArray[np.uint8], colour: tuple[int, int, int], within: int = 14
) -> bool:
    """Compare the average of the frame's middle 8x8 pixels with a colour."""
    height, width, _ = frame.shape
    middle = (
        frame[height // 2 - 4 : height // 2 + 4, width // 2 - 4 : width // 2 + 4]
        .reshape(-1, 3)
        .mean(0)
    )
    return bool(np.all(np.abs(middle - np.array(colour)) <= within))


def convert_sound(source: Path, *, out: Path) -> MediaInfo:
    """Decode a file's first audio track and write it in the format of `out`'s suffix."""
    with SoundWriter(out) as writer:
        writer.add_frames(read_audio_frames(source))
    return probe_file(out)
