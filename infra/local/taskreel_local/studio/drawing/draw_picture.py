"""Text to image without a network: a scene painted from the prompt's words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from taskreel.media.image_output import save_picture
from taskreel.media.probe import MediaInfo, probe_file
from taskreel_local.studio.drawing.painting import paint

if TYPE_CHECKING:
    from pathlib import Path

MAKER = "Taskreel studio (local, no AI model)"
# Larger pictures are painted at this size and enlarged, so that memory and time stay bounded.
PAINTED_PIXELS = 1600 * 1600


def draw(
    prompt: str, *, seed: int, width: int, height: int, out: Path, quality: int = 92
) -> MediaInfo:
    """Paint `prompt` as PNG, JPEG or WebP, by `out`'s suffix.

    The same prompt, seed and size give the same pixels.
    """
    scale = min(1.0, (PAINTED_PIXELS / (width * height)) ** 0.5)
    canvas = paint(
        prompt, seed=seed, width=max(1, round(width * scale)), height=max(1, round(height * scale))
    )
    pixels = (np.moveaxis(canvas.rgb, 0, -1) * 255 + 0.5).astype(np.uint8)
    image = Image.fromarray(pixels)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    note = f"prompt: {prompt}; seed: {seed}"
    save_picture(image, out, quality=quality, note=note, maker=MAKER)
    return probe_file(out)
