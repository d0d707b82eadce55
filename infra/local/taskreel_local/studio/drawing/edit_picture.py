"""Image to image: the given picture in the prompt's colours, light and weather, with its things."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from taskreel.media.image_output import save_picture
from taskreel.media.open_media import open_picture
from taskreel.media.probe import MediaInfo, probe_file
from taskreel_local.studio.drawing.canvas import Canvas
from taskreel_local.studio.drawing.draw_picture import MAKER, PAINTED_PIXELS
from taskreel_local.studio.drawing.noise import Dice, Field
from taskreel_local.studio.drawing.painting import IN_FRONT, STANDING
from taskreel_local.studio.drawing.palette import luminance, palette, rgb
from taskreel_local.studio.drawing.picture_plan import Plan, read
from taskreel_local.studio.drawing.sky import Scene
from taskreel_local.studio.drawing.weather import paint_weather

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MOOD_SHARE, COLOUR_SHARE = 0.5, 0.75


def edit_picture(
    *pictures: Path, prompt: str, seed: int, width: int, height: int, out: Path
) -> MediaInfo:
    """Change a picture as far as the prompt's words say how, and crop it to a size.

    Several pictures share it, side by side, in their order. Colours tint it, moods light it,
    weather lies over it, and things are drawn into it. A prompt without such a word gives a
    painting of the picture.
    """
    scale = min(1.0, (PAINTED_PIXELS / (width * height)) ** 0.5)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    given = _join_pictures(pictures, size)
    dice = Dice(f"{prompt.strip().lower()}|{seed}")
    plan = read(prompt, dice.of("plan"))
    if not (plan.moods or plan.things or plan.named):
        given = given.filter(ImageFilter.MedianFilter(5)).filter(ImageFilter.EDGE_ENHANCE_MORE)
    canvas = Canvas(*size)
    canvas.rgb[:] = np.moveaxis(np.asarray(given, np.float32) / 255, -1, 0)
    _change_canvas(canvas, plan, dice)
    pixels = (np.moveaxis(np.clip(canvas.rgb, 0, 1), 0, -1) * 255 + 0.5).astype(np.uint8)
    image = Image.fromarray(pixels)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    save_picture(image, out, note=f"prompt: {prompt}; seed: {seed}", maker=MAKER)
    return probe_file(out)


def _join_pictures(pictures: Sequence[Path], size: tuple[int, int]) -> Image.Image:
    """The pictures in columns of one width, each cropped to its own."""
    joined = Image.new("RGB", size)
    edges = [size[0] * number // len(pictures) for number in range(len(pictures) + 1)]
    for picture, (left, right) in zip(pictures, pairwise(edges), strict=True):
        column = (max(1, right - left), size[1])
        fitted = ImageOps.fit(open_picture(picture), column, Image.Resampling.LANCZOS)
        joined.paste(fitted.convert("RGB"), (left, 0))
    return joined


def _change_canvas(canvas: Canvas, plan: Plan, dice: Dice) -> None:
    colours = palette(plan.mood, dice.of("palette"))
    if plan.moods:
        grey = luminance(canvas.rgb)
        toned = colours.sky_at(1 - grey) if colours.dark else colours.sky_at(0.2 + 0.8 * grey)
        lit = toned * (0.25 + 0.75 * grey) if plan.mood != "noir" else np.stack([grey] * 3)
        share = 1.0 if plan.mood == "noir" else MOOD_SHARE
        canvas.rgb[:] += (lit - canvas.rgb) * np.float32(share)
    scene = Scene(
        canvas,
        plan,
        dice,
        colours,
        canvas.height * 0.6,
        (canvas.width * 0.3, canvas.height * 0.2),
        moonlit=False,
    )
    painters = {**STANDING, **IN_FRONT}
    drawn = [thing for thing in painters if plan.has(thing)]
    # A colour that belongs to a thing to be drawn is that thing's; any other tints the picture.
    for hue in plan.named:
        if hue not in {plan.colours.get(thing) for thing in drawn}:
            _tint(canvas, rgb(hue))
    for thing in drawn:
        painters[thing](scene)
    paint_weather(scene)


def _tint(canvas: Canvas, colour: Field) -> None:
    """Give the picture a hue; light and shade stay."""
    grey = luminance(canvas.rgb)
    own = max(float(luminance(colour)), 0.05)
    dark = colour[:, None, None] * np.clip(grey / own, 0, 1)
    bright = np.clip((grey - own) / max(1 - own, 0.05), 0, 1)
    toned = dark + (1 - dark) * bright
    canvas.rgb[:] += (toned - canvas.rgb) * np.float32(COLOUR_SHARE)
