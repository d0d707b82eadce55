"""Decoded video: one frame at a time or at its end, and clips brought to one size, rate and colour."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import av.error
import av.filter
import numpy as np
from PIL import Image

from taskreel.domain.errors import PermanentError
from taskreel.media.encode import THREADS, Picture, Size
from taskreel.media.image_output import save_picture
from taskreel.media.open_media import open_stream, picture_stream
from taskreel.media.probe import MediaInfo, probe_file
from taskreel.media.truncation import check_not_truncated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.container import InputContainer
    from av.video.stream import VideoStream

LOOK_BACK_SECONDS = (
    1.0,
    12.0,
)  # how far before the end the last frame is sought, before decoding everything
TURNS = {90: ("cclock",), 180: ("clock", "clock"), 270: ("clock",)}


def extract_frame(video: Path, *, out: Path, at_seconds: float | None = None) -> MediaInfo:
    """The frame shown at a time, or the very last one, as .png, .jpg or .webp.

    Raises PermanentError for a time outside the video and for one without a decodable frame.
    """
    frame = _last(video) if at_seconds is None else _at(video, at_seconds)
    image = Image.fromarray(frame.to_ndarray(format="rgb24"))
    if frame.rotation:
        image = image.rotate(frame.rotation, expand=True)
    save_picture(image, out, note=f"frame of {video.name} at {frame.time or 0:.3f} s")
    return probe_file(out)


def _last(video: Path) -> av.VideoFrame:
    last: av.VideoFrame | None = None
    for back in (*LOOK_BACK_SECONDS, None):
        with open_stream(video, need="video") as container:
            stream = _video(container)
            if back is not None:
                if not container.duration:
                    continue
                container.seek(max(0, container.duration - int(back * av.time_base)))
            for frame in check_not_truncated(video, container, stream, container.decode(stream)):
                last = frame
        if last is not None:
            return last
    raise _no_frames(video)


def _at(video: Path, seconds: float) -> av.VideoFrame:
    if seconds < 0:
        raise PermanentError(
            f"The time must not be negative; it is {seconds:g} s.", code="bad_parameters"
        )
    shown: av.VideoFrame | None = None
    with open_stream(video, need="video") as container:
        stream = _video(container)
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


def _no_frames(video: Path) -> PermanentError:
    message = (
        f"{video.name} has a video track without a frame that can be decoded; export it again."
    )
    return PermanentError(message, code="no_video", file=video.name)


def _video(container: InputContainer) -> VideoStream:
    stream = picture_stream(container)
    assert stream is not None  # `need` has seen to it  # noqa: S101
    stream.thread_type = "AUTO"
    return stream


@dataclass(frozen=True, slots=True)
class FrameShape:
    """What every clip of a film is brought to; `fill` crops to fill the frame, else bars surround the picture."""

    size: Size
    fps: int
    fill: bool = False


def read_clip_frames(path: Path, shape: FrameShape) -> Iterator[av.VideoFrame]:
    """A clip's frames, upright, in the shape, at its rate, 4:2:0 BT.709 limited range. Streams: any length."""
    found = False
    with open_stream(path, need="video") as container:
        stream = _video(container)
        graph: av.filter.Graph | None = None
        for frame in check_not_truncated(path, container, stream, container.decode(stream)):
            graph = graph or _normaliser(stream, frame, shape)
            graph.push(frame)
            for ready in _pulled(graph):
                found = True
                yield ready
        if graph is not None:
            graph.push(None)
            for ready in _pulled(graph):
                found = True
                yield ready
    if not found:
        raise _no_frames(path)


def read_clip_pictures(path: Path, shape: FrameShape) -> Iterator[Picture]:
    """The same as arrays."""
    for frame in read_clip_frames(path, shape):
        yield np.asarray(frame.to_ndarray(), np.uint8)


def _normaliser(stream: VideoStream, first: av.VideoFrame, shape: FrameShape) -> av.filter.Graph:
    width, height = shape.size
    graph = av.filter.Graph()
    graph.threads = THREADS
    source = graph.add_buffer(
        width=first.width,
        height=first.height,
        format=first.format,
        time_base=stream.time_base,
        name="in",
    )
    turns = [graph.add("transpose", turn) for turn in TURNS.get(first.rotation % 360, ())]
    fit = "increase" if shape.fill else "decrease"
    scale = f"{width}:{height}:force_original_aspect_ratio={fit}:force_divisible_by=2:out_range=tv:out_color_matrix=bt709"
    place = (
        ("crop", f"{width}:{height}")
        if shape.fill
        else ("pad", f"{width}:{height}:(ow-iw)/2:(oh-ih)/2")
    )
    nodes = [
        graph.add("scale", scale + ":flags=bicubic"),
        graph.add(*place),
        graph.add("setsar", "1"),
        graph.add("fps", f"{shape.fps}"),
        graph.add("format", "yuv420p"),
        graph.add("buffersink"),
    ]
    graph.link_nodes(source, *turns, *nodes).configure()
    return graph


def _pulled(graph: av.filter.Graph) -> Iterator[av.VideoFrame]:
    while True:
        try:
            frame = graph.pull()
        except (BlockingIOError, av.error.EOFError):  # nothing yet, or nothing more
            return
        if isinstance(frame, av.VideoFrame):
            yield frame
