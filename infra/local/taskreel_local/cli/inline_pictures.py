"""Pictures in the terminal, by the protocol that it knows: kitty's, iTerm2's, or sixels."""

from __future__ import annotations

import base64
import io
import os
import re
import select
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

#: A picture is shown at most this large, in pixels.
_SHOWN = (640, 400)
_SIXEL_COLOURS = 128
#: Kitty takes an escape code of this length.
_CHUNK = 4096
_ANSWER_SECONDS = 0.3


class PictureProtocol(StrEnum):
    """The way in which a terminal takes pictures."""

    KITTY = "kitty"
    ITERM = "iterm"
    SIXEL = "sixel"
    NONE = "none"


def find_protocol(
    environ: Mapping[str, str], ask_terminal: Callable[[], str] | None
) -> PictureProtocol:
    """The protocol of the terminal, or the one that TASKREEL_PICTURES names.

    `ask_terminal` returns its answer to a query of its attributes; without it, it is not asked.
    """
    wanted = environ.get("TASKREEL_PICTURES", "")
    if wanted in set(PictureProtocol):
        return PictureProtocol(wanted)
    if environ.get("TMUX") or environ.get("STY"):
        return PictureProtocol.NONE  # they pass none of them on
    term, program = environ.get("TERM", ""), environ.get("TERM_PROGRAM", "")
    if environ.get("KITTY_WINDOW_ID") or term in {"xterm-kitty", "xterm-ghostty"}:
        return PictureProtocol.KITTY
    if environ.get("LC_TERMINAL") == "iTerm2" or program in {"iTerm.app", "WezTerm", "mintty"}:
        return PictureProtocol.ITERM
    if ask_terminal is not None and _has_sixels(ask_terminal()):
        return PictureProtocol.SIXEL
    return PictureProtocol.NONE


def _has_sixels(attributes: str) -> bool:
    """True if the primary device attributes, `ESC [ ? 62 ; 4 ; … c`, have a 4."""
    found = re.search(r"\[\?([\d;]+)c", attributes)
    return found is not None and "4" in found[1].split(";")


def ask_terminal() -> str:
    """The terminal's attributes; empty if it does not answer."""
    import termios
    import tty

    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return ""
    before = termios.tcgetattr(terminal)
    answer = b""
    try:
        tty.setcbreak(terminal)
        os.write(terminal, b"\x1b[c")
        while not answer.endswith(b"c") and select.select([terminal], [], [], _ANSWER_SECONDS)[0]:
            answer += os.read(terminal, 64)
    finally:
        termios.tcsetattr(terminal, termios.TCSANOW, before)
        os.close(terminal)
    return answer.decode("ascii", "replace")


def encode_picture(content: bytes, protocol: PictureProtocol) -> str | None:
    """The codes that show a picture; None if it cannot be read or the terminal shows none."""
    from PIL import Image

    if protocol is PictureProtocol.NONE:
        return None
    with suppress(OSError, Image.DecompressionBombError):
        picture = Image.open(io.BytesIO(content)).convert("RGBA")
        picture.thumbnail(_SHOWN)
        match protocol:
            case PictureProtocol.KITTY:
                return "".join(_encode_kitty(_write_png(picture)))
            case PictureProtocol.ITERM:
                return _encode_iterm(_write_png(picture))
            case PictureProtocol.SIXEL:
                return encode_sixel(picture)
    return None


def _write_png(picture: Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _encode_kitty(png: bytes) -> Iterator[str]:
    """Transmit and show; the parts are marked with `m=1` but for the last."""
    text = base64.b64encode(png).decode()
    for start in range(0, len(text), _CHUNK):
        more = int(start + _CHUNK < len(text))
        keys = f"a=T,f=100,q=2,m={more}" if start == 0 else f"m={more}"
        yield f"\x1b_G{keys};{text[start : start + _CHUNK]}\x1b\\"


def _encode_iterm(png: bytes) -> str:
    keys = f"inline=1;preserveAspectRatio=1;size={len(png)}"
    return f"\x1b]1337;File={keys}:{base64.b64encode(png).decode()}\x07"


def encode_sixel(picture: Image) -> str:
    """Sixels: bands of six rows, in which each colour is drawn over the others."""
    import numpy as np
    from PIL import Image

    flat = Image.new("RGB", picture.size, "white")
    flat.paste(picture, mask=picture.getchannel("A"))
    indexed = flat.quantize(_SIXEL_COLOURS)
    width, height = indexed.size
    pixels = np.asarray(indexed)
    palette = indexed.getpalette() or []
    codes = [f'\x1bP0;1q"1;1;{width};{height}']
    for colour in np.unique(pixels).tolist():
        # Its parts in hundredths.
        red, green, blue = (round(part / 2.55) for part in palette[3 * colour : 3 * colour + 3])
        codes.append(f"#{colour};2;{red};{green};{blue}")
    for top in range(0, height, 6):
        band = pixels[top : top + 6]
        places = (1 << np.arange(len(band)))[:, None]
        lines = [
            f"#{colour}{_encode_runs(((band == colour) * places).sum(axis=0))}"
            for colour in np.unique(band).tolist()
        ]
        codes.append("$".join(lines) + "-")
    return "".join([*codes, "\x1b\\"])


def _encode_runs(line: object) -> str:
    """A line of six-pixel columns, each a letter from `?` on; runs are counted."""
    import numpy as np

    values = np.asarray(line)
    starts = np.flatnonzero(np.diff(values, prepend=-1))
    lengths = np.diff(starts, append=len(values))
    return "".join(
        f"!{length}{chr(63 + values[start])}" if length > 3 else chr(63 + values[start]) * length
        for start, length in zip(starts.tolist(), lengths.tolist(), strict=True)
    )
