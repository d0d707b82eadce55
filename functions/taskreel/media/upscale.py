"""Enlarge a picture by resampling in steps, with noise reduction and sharpening of edges."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageFilter

from taskreel.domain.errors import PermanentError
from taskreel.media.image_output import save_picture
from taskreel.media.open_media import open_image
from taskreel.media.probe import MediaInfo, probe_file

if TYPE_CHECKING:
    from pathlib import Path

Grey: TypeAlias = npt.NDArray[np.uint8]

MAX_SCALE = 8
MAX_PIXELS = 64_000_000
#: One step at most doubles the size, so that each sharpening works on its own scale.
STEP = 2.0
#: Bands bound the memory of float intermediates; the margin covers the reach of a Lanczos kernel
#: over two enlarged pixels and of the sharpening, so that no seam shows.
BAND_ROWS = 512
MARGIN_ROWS = 14


def upscale_picture(
    image: Path, *, scale: float, out: Path, denoise: float = 0.35, sharpen: float = 0.7
) -> MediaInfo:
    """Enlarge `image` by `scale` (over 1, at most 8) into `out`: .png, .jpg or .webp.

    PNG and WebP retain transparency. `denoise` and `sharpen` are 0 (plain Lanczos) to 1. Raises
    PermanentError for a result of more than 64 million pixels.
    """
    picture = open_image(image)
    width, height = _compute_size(picture, scale)
    colours = picture.convert("RGB")
    if denoise > 0:
        colours = _reduce_noise(colours, denoise)
    while colours.width < width:
        step = min(STEP, width / colours.width)
        last = step * colours.width >= width - 1
        size = (
            (width, height) if last else (round(colours.width * step), round(colours.height * step))
        )
        colours = _enlarge(colours, size, sharpen * (step - 1))
    if picture.mode == "RGBA" and out.suffix.lower() in (".png", ".webp"):
        colours.putalpha(picture.getchannel("A").resize((width, height), Image.Resampling.LANCZOS))
    save_picture(colours, out, note=f"enlarged {scale:g} times")
    return probe_file(out)


def _compute_size(picture: Image.Image, scale: float) -> tuple[int, int]:
    if not 1 < scale <= MAX_SCALE:
        message = f"scale is {scale:g}; it must be over 1 and at most {MAX_SCALE}."
        raise PermanentError(message, code="bad_scale")
    width, height = round(picture.width * scale), round(picture.height * scale)
    if width * height > MAX_PIXELS:
        most = (MAX_PIXELS / (picture.width * picture.height)) ** 0.5
        message = (
            f"{picture.width} x {picture.height} enlarged {scale:g} times has"
            f" {width * height / 1e6:.0f} million pixels; the limit is {MAX_PIXELS // 1_000_000}"
            f" million. Choose a scale up to {most:.2f}."
        )
        raise PermanentError(message, code="media_too_large")
    return width, height


def _reduce_noise(image: Image.Image, strength: float) -> Image.Image:
    """Remove speckles from flat areas (median filter); edges and texture stay unchanged."""
    calm = image.filter(ImageFilter.MedianFilter(3))
    detail = ImageChops.difference(image, calm).convert("L").filter(ImageFilter.BoxBlur(1))
    mask = detail.point([round(255 * strength * max(0.0, 1 - level / 14)) for level in range(256)])
    return Image.composite(calm, image, mask)


def _enlarge(image: Image.Image, size: tuple[int, int], sharpen: float) -> Image.Image:
    """Resample and sharpen band by band, each with a margin that is cut off: little memory."""
    width, height = size
    rows = image.height / height
    result = Image.new("RGB", size)
    for top in range(0, height, BAND_ROWS):
        bottom = min(top + BAND_ROWS, height)
        begin, end = max(top - MARGIN_ROWS, 0), min(bottom + MARGIN_ROWS, height)
        box = (0, begin * rows, image.width, min(end * rows, image.height))
        band = image.resize((width, end - begin), Image.Resampling.LANCZOS, box=box)
        if sharpen > 0:
            band = _sharpen(band, sharpen)
        result.paste(band.crop((0, top - begin, width, bottom - begin)), (0, top))
    return result


def _sharpen(image: Image.Image, strength: float) -> Image.Image:
    """Sharpen the brightness within the neighbourhood's range: no halos (as in FidelityFX CAS)."""
    luma, cb, cr = image.convert("YCbCr").split()
    soft = luma.filter(ImageFilter.GaussianBlur(1.1))
    crisp = _limit_sharpening(np.asarray(luma), np.asarray(soft), strength)
    return Image.merge("YCbCr", (Image.fromarray(crisp), cb, cr)).convert("RGB")


def _limit_sharpening(sharp: Grey, blurred: Grey, strength: float) -> Grey:
    low, high = (
        _filter_neighbours(sharp, choose).astype(np.float32) for choose in (np.minimum, np.maximum)
    )
    luma = sharp.astype(np.float32)
    edge = np.clip((high - low - 4) / 40, 0, 1)
    raised = luma + (luma - blurred) * (1.8 * strength * edge)
    return (np.clip(raised, np.maximum(low - 3, 0), np.minimum(high + 3, 255)) + 0.5).astype(
        np.uint8
    )


def _filter_neighbours(plane: Grey, choose: np.ufunc) -> Grey:
    """Return the least or greatest value of each pixel's 3 x 3 neighbourhood."""
    across: Grey = plane.copy()
    choose(across[:, 1:], plane[:, :-1], out=across[:, 1:])
    choose(across[:, :-1], plane[:, 1:], out=across[:, :-1])
    both: Grey = across.copy()
    choose(both[1:], across[:-1], out=both[1:])
    choose(both[:-1], across[1:], out=both[:-1])
    return both
