"""The filters that bring decoded video to one size, rate and colour space."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

import av
import av.error
import av.filter

from taskreel.media.encode import THREADS, Size
from taskreel.media.tone_map import HLG, PQ, write_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.filter.context import FilterContext
    from av.video.stream import VideoStream

Fit = Literal["cover", "contain", "blur"]

#: Arguments of the transpose filter by the rotation that the file asks for.
TURNS = {90: ("cclock",), 180: ("clock", "clock"), 270: ("clock",)}
#: Matrix coefficients, ITU-T H.273.
_UNKNOWN_MATRIX = 2
#: Untagged pictures so high are BT.709, smaller ones BT.601: as players show them.
_HD_ROWS = 720
_BLUR_SHARE = 30  # of the shorter side


@dataclass(frozen=True, slots=True)
class FrameShape:
    """The size and rate that clips are converted to.

    A clip of another shape fills it and is cropped (`cover`), gets black bars (`contain`), or its
    own blurred picture behind it (`blur`).
    """

    size: Size
    fps: Fraction
    fit: Fit = "contain"


def build_frame_filters(
    stream: VideoStream, first: av.VideoFrame, shape: FrameShape
) -> av.filter.Graph:
    """The filters of a clip: 4:2:0 BT.709 of limited range, upright, in square pixels."""
    graph = av.filter.Graph()
    graph.threads = THREADS
    tail = _add_source(graph, stream, first)
    tail = _add_fit(graph, tail, first, shape)
    for name, arguments in (("setsar", "1"), ("fps", str(shape.fps)), ("format", "yuv420p")):
        tail = _append(graph, tail, name, arguments)
    _append(graph, tail, "buffersink", "")
    graph.configure()
    return graph


def convert_to_rgb(stream: VideoStream, frame: av.VideoFrame) -> av.VideoFrame:
    """One frame as it is shown, as RGB: upright, square pixels, HDR tone-mapped."""
    graph = av.filter.Graph()
    tail = _add_source(graph, stream, frame)
    if _is_hdr(frame):
        tail = _add_tone_map(graph, tail, frame)
    tail = _append(graph, tail, "scale", "iw:ih" + _input_matrix(frame))
    tail = _append(graph, tail, "format", "rgb24")
    _append(graph, tail, "buffersink", "")
    graph.configure()
    graph.push(frame)
    graph.push(None)
    return next(pull_pictures(graph))


def pull_pictures(graph: av.filter.Graph) -> Iterator[av.VideoFrame]:
    """Return all frames that the filters have ready."""
    while True:
        try:
            frame = graph.pull()
        except (BlockingIOError, av.error.EOFError):  # it wants more input, or has ended
            return
        if isinstance(frame, av.VideoFrame):
            yield frame


def read_pixel_aspect(stream: VideoStream) -> Fraction:
    """The width of a pixel in its heights; 1 for what is not plausible."""
    given = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    return given if given and Fraction(1, 4) <= given <= 4 else Fraction(1)


def _add_source(graph: av.filter.Graph, stream: VideoStream, first: av.VideoFrame) -> FilterContext:
    tail = graph.add_buffer(
        width=first.width,
        height=first.height,
        format=first.format,
        time_base=stream.time_base,
        name="in",
    )
    if first.interlaced_frame:
        tail = _append(graph, tail, "bwdif", "mode=send_frame:deint=interlaced")
    for turn in TURNS.get(first.rotation % 360, ()):
        tail = _append(graph, tail, "transpose", turn)
    aspect = read_pixel_aspect(stream)
    if aspect != 1:
        sides = _widen("iw", "ih", aspect if first.rotation % 180 == 0 else 1 / aspect)
        tail = _append(graph, tail, "scale", f"{sides}:flags=bicubic")
    return tail


def _widen(width: str, height: str, aspect: Fraction) -> str:
    """The side lengths that make pixels square, by enlarging."""
    if aspect > 1:
        return f"trunc({width}*{aspect.numerator}/{aspect.denominator}/2+0.5)*2:{height}"
    return f"{width}:trunc({height}*{aspect.denominator}/{aspect.numerator}/2+0.5)*2"


def _add_fit(
    graph: av.filter.Graph, tail: FilterContext, first: av.VideoFrame, shape: FrameShape
) -> FilterContext:
    width, height = shape.size
    if shape.fit == "blur":
        split = _append(graph, tail, "split", "2")
        behind = _add_scaled(graph, split, first, shape.size, "increase", output=1)
        behind = _append(graph, behind, "crop", f"{width}:{height}")
        sigma = max(min(width, height) / _BLUR_SHARE, 1)
        behind = _append(graph, behind, "gblur", f"sigma={sigma:.2f}:steps=2")
        front = _add_scaled(graph, split, first, shape.size, "decrease")
        overlay = graph.add("overlay", "(W-w)/2:(H-h)/2:format=yuv420")
        behind.link_to(overlay, 0, 0)
        front.link_to(overlay, 0, 1)
        return overlay
    fit = "increase" if shape.fit == "cover" else "decrease"
    tail = _add_scaled(graph, tail, first, shape.size, fit)
    if shape.fit == "cover":
        return _append(graph, tail, "crop", f"{width}:{height}")
    return _append(graph, tail, "pad", f"{width}:{height}:(ow-iw)/2:(oh-ih)/2")


def _add_scaled(
    graph: av.filter.Graph,
    tail: FilterContext,
    first: av.VideoFrame,
    size: Size,
    fit: str,
    *,
    output: int = 0,
) -> FilterContext:
    """Scale into a size; even sides for 4:2:0, the matrix and range that the encoder states."""
    sides = f"{size[0]}:{size[1]}:force_original_aspect_ratio={fit}:force_divisible_by=2"
    target = ":out_range=tv:out_color_matrix=bt709:flags=bicubic"
    if _is_hdr(first):
        small = _append(graph, tail, "scale", f"{sides}:flags=bicubic", output=output)
        tail = _add_tone_map(graph, small, first)
        return _append(graph, tail, "scale", f"iw:ih{target}")
    return _append(graph, tail, "scale", sides + _input_matrix(first) + target, output=output)


def _add_tone_map(
    graph: av.filter.Graph, tail: FilterContext, first: av.VideoFrame
) -> FilterContext:
    transfer = PQ if first.color_trc == PQ else HLG
    tail = _append(graph, tail, "scale", "iw:ih:in_color_matrix=bt2020")
    tail = _append(graph, tail, "format", "gbrp16le")
    return _append(graph, tail, "lut3d", f"file={write_table(transfer)}")


def _is_hdr(frame: av.VideoFrame) -> bool:
    return frame.color_trc in (PQ, HLG)


def _input_matrix(frame: av.VideoFrame) -> str:
    """The matrix of a frame that does not tell its own."""
    if frame.colorspace != _UNKNOWN_MATRIX or frame.format.is_rgb:
        return ""
    return f":in_color_matrix={'bt709' if frame.height >= _HD_ROWS else 'bt601'}"


def _append(
    graph: av.filter.Graph, tail: FilterContext, name: str, arguments: str, *, output: int = 0
) -> FilterContext:
    node = graph.add(name, arguments) if arguments else graph.add(name)
    tail.link_to(node, output, 0)
    return node
