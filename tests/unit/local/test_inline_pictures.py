"""Pictures for terminals: the protocol that is chosen, and sixels as a terminal draws them."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from taskreel_local.cli.inline_pictures import (
    PictureProtocol,
    encode_picture,
    encode_sixel,
    find_protocol,
)


@pytest.mark.parametrize(
    ("environ", "answer", "protocol"),
    [
        ({"TERM": "xterm-kitty"}, "", "kitty"),
        ({"KITTY_WINDOW_ID": "1", "TERM": "xterm"}, "", "kitty"),
        ({"TERM_PROGRAM": "WezTerm"}, "", "iterm"),
        ({"LC_TERMINAL": "iTerm2"}, "", "iterm"),
        ({"TERM": "xterm"}, "\x1b[?62;4;6c", "sixel"),
        ({"TERM": "xterm"}, "\x1b[?64;14c", "none"),
        ({"TERM": "xterm"}, "", "none"),
        ({"TERM": "xterm-kitty", "TMUX": "/x"}, "\x1b[?4c", "none"),
        ({"TERM": "xterm-kitty", "TASKREEL_PICTURES": "none"}, "", "none"),
        ({"TMUX": "/x", "TASKREEL_PICTURES": "sixel"}, "", "sixel"),
    ],
)
def test_the_protocol_is_the_terminals_or_the_users(
    environ: dict[str, str], answer: str, protocol: str
) -> None:
    assert find_protocol(environ, lambda: answer) == protocol


def draw_sixels(codes: str) -> Any:
    """The picture that a terminal draws, by the rules of the VT340's manual."""
    found = re.fullmatch(r'\x1bP0;1q"1;1;(\d+);(\d+)(.*)\x1b\\', codes, re.DOTALL)
    assert found is not None
    picture = np.zeros((int(found[2]) + 6, int(found[1]), 3))
    palette: dict[str, tuple[float, ...]] = {}
    colour, x, top = "", 0, 0
    for token in re.finditer(r"#(\d+)((?:;\d+)*)|!(\d+)(.)|([?-~])|([$-])", found[3]):
        number, definition, count, repeated, single, move = token.groups()
        if definition:
            palette[number] = tuple(int(part) * 2.55 for part in definition.split(";")[2:])
        elif number is not None:
            colour = number
        elif move == "$":
            x = 0
        elif move == "-":
            x, top = 0, top + 6
        else:
            size = int(count or 1)
            bits = ord(repeated or single) - 63
            for row in range(6):
                if bits >> row & 1:
                    picture[top + row, x : x + size] = palette[colour]
            x += size
    return picture[: int(found[2])]


def test_sixels_draw_the_picture() -> None:
    across = np.linspace(0, 255, 50, dtype=np.uint8)
    wanted = np.stack(
        [np.tile(across, (31, 1)), np.full((31, 50), 90, np.uint8), np.tile(across[::-1], (31, 1))],
        axis=2,
    )
    drawn = draw_sixels(encode_sixel(Image.fromarray(wanted).convert("RGBA")))
    assert drawn.shape == wanted.shape
    assert abs(drawn - wanted).max() < 12


def test_what_shines_through_is_white() -> None:
    drawn = draw_sixels(encode_sixel(Image.new("RGBA", (8, 7), (255, 0, 0, 0))))
    assert (drawn > 254).all()


def test_a_large_picture_is_made_smaller_and_a_broken_one_omitted() -> None:
    file = io.BytesIO()
    Image.new("RGB", (3000, 1500), "navy").save(file, "JPEG")
    shown = encode_picture(file.getvalue(), PictureProtocol.SIXEL)
    assert shown is not None
    assert '"1;1;640;320' in shown
    assert encode_picture(b"no picture", PictureProtocol.KITTY) is None
    assert encode_picture(file.getvalue(), PictureProtocol.NONE) is None
