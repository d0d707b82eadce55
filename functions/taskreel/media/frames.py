"""Decode video: a single frame, or clips converted to one size, rate and colour space."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
from PIL import Image

from taskreel.domain.errors import PermanentError
from taskreel.media.encode import Picture
from taskreel.media.frame_filters import (
    FrameShape,
    build_frame_filters,
    convert_to_rgb,
    pull_pictures,
)
from taskreel.media.image_output import save_picture
from taskreel.media.open_media import find_video_stream, open_stream
from taskreel.media.probe import MediaInfo, probe_file
from taskreel.media.truncation import check_not_truncated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.container import InputContainer
    from av.video.stream import VideoStream

#: The last frame is searched so far before the end, before the whole video is decoded.
SEEK_BACK_SECONDS = (1.0, 12.0)
#: Rates that cameras mean when they write one nearly the same: telephones' vary a little.
USUAL_RATES = (
    *(Fraction(rate) for rate in (24, 25, 30, 48, 50, 60)),
    *(Fraction(rate * 1000, 1001) for rate in (24, 30, 60)),
)
FASTEST, USUAL = Fraction(60), Fraction(30)


def extract_frame(video: Path, *, out: Path, at_seconds: float | None = None) -> MediaInfo:
    """Write the frame shown at a time, or the last one, as .png, .jpg or .webp.

    Raises PermanentError for a time outside the video and for one without a decodable frame.
    """
    frame = _decode_last_frame(video) if at_seconds is None else _decode_frame_at(video, at_seconds)
    with open_stream(video, need="video") as container:
        shown = convert_to_rgb(_select_video_stream(container), frame)
    image = Image.fromarray(shown.to_ndarray())
    save_picture(image, out, note=f"frame of {video.name} at {frame.time or 0:.3f} s")
    return probe_file(out)


def _decode_last_frame(video: Path) -> av.VideoFrame:
    last: av.VideoFrame | None = None
    for back in (*SEEK_BACK_SECONDS, None):
        with open_stream(video, need="video") as container:
            stream = _select_video_stream(container)
            if back is not None:
                if not container.duration:
                    continue
                container.seek(max(0, container.duration - int(back * av.time_base)))
            for frame in check_not_truncated(video, container, stream, container.decode(stream)):
                last = frame
        if last is not None:
            return last
    raise _no_frames_error(video)


def _decode_frame_at(video: Path, seconds: float) -> av.VideoFrame:
    if seconds < 0:
        raise PermanentError(
            f"atSeconds is {seconds:g}; it must be 0 or more.", code="bad_parameters"
        )
    shown: av.VideoFrame | None = None
    with open_stream(video, need="video") as container:
        stream = _select_video_stream(container)
        begin = float((stream.start_time or 0) * (stream.time_base or Fraction(1)))
        container.seek(int((seconds + begin) * av.time_base))
        for frame in check_not_truncated(video, container, stream, container.decode(stream)):
            if shown is not None and (frame.time or 0.0) - begin > seconds + 1e-6:
                return shown
            shown = frame
        length = container.duration / av.time_base if container.duration else None
    if shown is None or (length is not None and seconds > length + 0.05):
        message = f"{video.name} is {length or 0:.2f} s long; there is no frame at {seconds:g} s."
        raise PermanentError(message, code="bad_parameters")
    return shown


def _no_frames_error(video: Path) -> PermanentError:
    message = (
        f"{video.name} has a video track without a frame that can be decoded; export it again."
    )
    return PermanentError(message, code="no_video", file=video.name)


def _select_video_stream(container: InputContainer) -> VideoStream:
    stream = find_video_stream(container)
    assert stream is not None  # open_stream(need="video") has checked it  # noqa: S101
    stream.thread_type = "AUTO"
    return stream


def read_clip_frames(path: Path, shape: FrameShape) -> Iterator[av.VideoFrame]:
    """Decode a clip upright, in a size and rate, as 4:2:0 BT.709 of limited range.

    Works as a stream: memory does not grow with the length.
    """
    found = False
    with open_stream(path, need="video") as container:
        stream = _select_video_stream(container)
        graph: av.filter.Graph | None = None
        for frame in check_not_truncated(path, container, stream, container.decode(stream)):
            graph = graph or build_frame_filters(stream, frame, shape)
            graph.push(frame)
            for ready in pull_pictures(graph):
                found = True
                yield ready
        if graph is not None:
            graph.push(None)
            for ready in pull_pictures(graph):
                found = True
                yield ready
    if not found:
        raise _no_frames_error(path)


def read_clip_pictures(path: Path, shape: FrameShape) -> Iterator[Picture]:
    """Decode a clip like `read_clip_frames`, as arrays."""
    for frame in read_clip_frames(path, shape):
        yield np.asarray(frame.to_ndarray(), np.uint8)


def read_frame_rate(video: Path) -> Fraction:
    """The rate to show a clip at: its own, at most 60 frames a second; 30 where it tells none."""
    with open_stream(video, need="video") as container:
        rate = _select_video_stream(container).average_rate
    if not rate or not 1 <= rate <= 1000:
        return USUAL
    nearest = min(USUAL_RATES, key=lambda usual: abs(usual - rate))
    if abs(nearest - rate) <= nearest / 1000 * 4:
        return nearest
    # Slow motion of 120 or 240 frames a second shows every second or fourth of them.
    while rate > FASTEST:
        rate /= 2
    return Fraction(rate).limit_denominator(1001)
