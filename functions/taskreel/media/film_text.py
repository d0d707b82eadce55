"""The text inside a film's file: its title, chapters, and subtitles that the viewer can turn on."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, cast

from av.subtitles.subtitle import SubtitleSet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from av.container import OutputContainer
    from av.container.core import Chapter
    from av.packet import Packet
    from av.subtitles.stream import SubtitleStream

    from taskreel.media.subtitles import Cue

_MILLISECOND = Fraction(1, 1000)
_STYLE = {
    "Name": "Default",
    "Fontname": "Arial",
    "Fontsize": "16",
    "PrimaryColour": "&Hffffff",
    "Alignment": "2",
}
#: What libav's encoders of text read a track's style from; players use their own.
_HEADER = "\r\n".join(
    [
        "[Script Info]",
        "ScriptType: v4.00+",
        "",
        "[V4+ Styles]",
        f"Format: {', '.join(_STYLE)}",
        f"Style: {','.join(_STYLE.values())}",
        "",
        "[Events]",
        "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text",
        "",
    ]
).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmText:
    """A film's text: its title, chapters as (first second, title), and subtitles to turn on."""

    title: str = ""
    chapters: Sequence[tuple[float, str]] = ()
    seconds: float = 0.0  # of the film: where the last chapter ends
    subtitles: Sequence[Cue] = ()


def write_text(container: OutputContainer, text: FilmText, codec: str) -> None:
    """Write the text into a container whose other streams have been added.

    `codec` is the container's for subtitles: "mov_text" or "webvtt".
    """
    if text.title:
        container.metadata["title"] = text.title
    if text.chapters:
        container.set_chapters(_list_chapters(text))
    if text.subtitles:
        # All at once: the muxer sorts them in by time, and a text is small.
        container.mux(_encode_subtitles(container, codec, text.subtitles))


def _list_chapters(text: FilmText) -> list[Chapter]:
    ends = [start for start, _ in text.chapters[1:]] + [text.seconds]
    return [
        {
            "id": number,
            "start": round(start * 1000),
            "end": round(end * 1000),
            "time_base": Fraction(1, 1000),
            "metadata": {"title": title},
        }
        for number, ((start, title), end) in enumerate(zip(text.chapters, ends, strict=True), 1)
    ]


def _encode_subtitles(
    container: OutputContainer, codec: str, cues: Sequence[Cue]
) -> list[Packet[SubtitleStream]]:
    stream = cast("SubtitleStream", container.add_stream(codec))
    stream.time_base = stream.codec_context.time_base = _MILLISECOND
    stream.codec_context.subtitle_header = _HEADER
    stream.codec_context.open()
    return [_encode_cue(stream, number, cue) for number, cue in enumerate(cues)]


def _encode_cue(stream: SubtitleStream, number: int, cue: Cue) -> Packet[SubtitleStream]:
    start, end = round(cue.start * 1000), round(cue.end * 1000)
    # A backslash begins a code, as of a line break; between word joiners it is only shown.
    text = cue.text.replace("\\", "\u2060\\\u2060").replace("\n", "\\N")
    line = f"{number},0,Default,,0,0,0,,{text}".encode()
    packet = stream.codec_context.encode_subtitle(SubtitleSet.create(line, 0, end - start))
    packet.stream = stream
    packet.time_base = _MILLISECOND
    packet.pts = packet.dts = start
    packet.duration = end - start
    return packet
