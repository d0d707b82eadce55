"""Moods: the colours of an hour, a weather, a place."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from taskreel_local.studio.drawing.noise import Field, ramp, smooth

if TYPE_CHECKING:
    from taskreel_local.studio.drawing.canvas import Colour


@dataclass(frozen=True)
class Mood:
    """Colours of one atmosphere, as hex; `sky` from the zenith to the horizon."""

    sky: tuple[str, ...]
    light: str  # of the sun or moon, and what it touches
    land: str  # the nearest ground, in shade
    haze: str  # what distance fades into
    water: str  # its depth
    dark: bool = False


MOODS: dict[str, Mood] = {
    "day": Mood(("1f5fae", "4d93d9", "9cc9ec", "e9f3f4"), "fff6dc", "27452c", "c3dcea", "0d4a6b"),
    "sunset": Mood(
        ("231d4f", "6f2f6f", "d8556a", "ffb35c"), "ffe3a1", "170d22", "d9736b", "2a1745"
    ),
    "dawn": Mood(("37528f", "8b86b8", "eaa9ac", "ffe2bd"), "fff0cf", "26304a", "dfb3b8", "33496f"),
    "dusk": Mood(("0d1636", "2f3672", "80588e", "e98f78"), "ffd9b0", "0a0d1f", "6b5486", "131b40"),
    "night": Mood(
        ("040818", "0a1a3e", "17346e", "3a639c"), "e9f1ff", "04070f", "1d3a68", "061226", dark=True
    ),
    "storm": Mood(
        ("141c25", "293641", "4a5c68", "90a09f"), "eef4e6", "0a0f13", "55686f", "0d262e", dark=True
    ),
    "fog": Mood(("8d9ba3", "aab5ba", "c6cdce", "dfe2df"), "fffaf0", "36454a", "c3cac9", "5a6e75"),
    "snow": Mood(("5f83ad", "94b1cf", "c9d8e6", "f3f1ee"), "fffaf0", "4a6178", "d5e0ea", "38597a"),
    "desert": Mood(
        ("2d6fa8", "79a9c8", "e6c79f", "ffe2b0"), "fff1cc", "7d3f1c", "eac193", "2d6478"
    ),
    "forest": Mood(
        ("4d8a93", "88b5a4", "c3d7a8", "f3f1c8"), "fff6cc", "0c2415", "b3cfa6", "123d38"
    ),
    "autumn": Mood(
        ("5a7fa6", "a3b5bd", "efc794", "ffe0a6"), "fff0c2", "3b1a0a", "e6b682", "3d3a35"
    ),
    "neon": Mood(
        ("07021a", "220a4f", "6c1590", "f0389a"), "8af4ff", "06030f", "5d1c8c", "0a0630", dark=True
    ),
    "fire": Mood(
        ("120405", "3f0a0a", "a12508", "ff8a24"), "ffe08a", "0c0303", "7a1d0a", "2a0806", dark=True
    ),
    "space": Mood(
        ("020208", "070720", "140b38", "2b1457"), "f4e9ff", "030308", "221446", "050418", dark=True
    ),
    "underwater": Mood(
        ("8fe9dc", "2aa7b8", "0a5f85", "03263f"), "e6fff4", "021625", "0c6b8a", "021625"
    ),
    "mars": Mood(("4a1c12", "9a4526", "d98a56", "f7c796"), "fff0dc", "3a120a", "cf8456", "5a2414"),
    "spring": Mood(
        ("4a90d9", "8fc1ec", "cfe3ee", "fdebe6"), "fff8e6", "2f5a2e", "d8e2dc", "2b6a80"
    ),
    "noir": Mood(
        ("0b0c0e", "24262a", "54585e", "a9adb0"), "f4f4f0", "08090a", "5e6368", "15181b", dark=True
    ),
    "dream": Mood(("3a2a78", "8a5cc0", "e79ad0", "ffd9e0"), "fff3ff", "1e1440", "c391cf", "2e2470"),
}


@dataclass(frozen=True)
class Palette:
    """A mood as linear arrays, a little its own for every seed."""

    sky: Field  # (stops, 3)
    light: Colour
    land: Colour
    haze: Colour
    water: Colour
    dark: bool

    def sky_at(self, t: Field) -> Field:
        """Sky colours for heights 0 (zenith) … 1 (horizon): shape (3, *t.shape)."""
        return blend_stops(self.sky, t)

    def far(self, nearness: float, land: Colour | None = None) -> Colour:
        """The ground's colour, from 0 (lost in haze) to 1 (at the viewer's feet)."""
        return mix(self.haze, self.land if land is None else land, nearness)


def palette(mood: str, rng: np.random.Generator) -> Palette:
    """The mood's colours, their hue and warmth turned slightly by chance."""
    chosen = _turn_hue(MOODS[mood], rng.uniform(-0.018, 0.018), rng.uniform(0.94, 1.1))
    return Palette(
        sky=np.stack([rgb(stop) for stop in chosen.sky]),
        light=rgb(chosen.light),
        land=rgb(chosen.land),
        haze=rgb(chosen.haze),
        water=rgb(chosen.water),
        dark=chosen.dark,
    )


def rgb(text: str) -> Colour:
    """A colour from six hex digits."""
    return np.array([int(text[i : i + 2], 16) / 255 for i in (0, 2, 4)], np.float32)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """`one` with a share of `other`."""
    return one + (other - one) * np.float32(share)


def blend_stops(stops: Field, t: Field) -> Field:
    """Colours between evenly spaced stops for `t` in 0…1; shape (3, *t.shape)."""
    last = len(stops) - 1
    position = np.clip(t, 0, 1) * last
    index = np.minimum(position.astype(np.int32), last - 1)
    share = smooth(position - index)[..., None]
    return np.asarray(
        np.moveaxis(stops[index] * (1 - share) + stops[index + 1] * share, -1, 0), np.float32
    )


def luminance(colours: Field) -> Field:
    """Perceived brightness of `(3, …)` colours (Rec. 709)."""
    return np.asarray(0.2126 * colours[0] + 0.7152 * colours[1] + 0.0722 * colours[2], np.float32)


def warm(colours: Field, low: float = 0.6, high: float = 1.0) -> Field:
    """The share of the bright part that counts as light, 0…1."""
    return ramp(luminance(colours), low, high)


def invented(rng: np.random.Generator) -> Field:
    """Five stops from dark to light of chance hues that match: shape (5, 3)."""
    hue, step = rng.random(), rng.choice([0.07, 0.11, 0.45, -0.09])
    stops = [
        colorsys.hsv_to_rgb((hue + step * i + rng.uniform(-0.02, 0.02)) % 1, s, v)
        for i, (s, v) in enumerate(
            ((0.75, 0.1), (0.85, 0.34), (0.78, 0.7), (0.6, 0.95), (0.16, 1.0))
        )
    ]
    return np.array(stops, np.float32)


def _turn_hue(mood: Mood, hue: float, saturation: float) -> Mood:
    def turn(text: str) -> str:
        h, s, v = colorsys.rgb_to_hsv(*rgb(text).tolist())
        turned = colorsys.hsv_to_rgb((h + hue) % 1, min(s * saturation, 1), v)
        return "".join(f"{round(part * 255):02x}" for part in turned)

    sky = tuple(turn(stop) for stop in mood.sky)
    return Mood(
        sky, turn(mood.light), turn(mood.land), turn(mood.haze), turn(mood.water), mood.dark
    )
