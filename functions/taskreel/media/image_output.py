"""Write still pictures, with the program that made them in their metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import ExifTags, Image, PngImagePlugin

from taskreel.domain.errors import PermanentError

if TYPE_CHECKING:
    from pathlib import Path

MAKER = "Taskreel (no AI model)"


def save_picture(
    image: Image.Image, out: Path, *, quality: int = 92, note: str = "", maker: str = MAKER
) -> None:
    """Write PNG, JPEG or WebP by suffix, with `maker` and `note` in its tags.

    Raises PermanentError for another suffix.
    """
    match out.suffix.lower():
        case ".png":
            tags = PngImagePlugin.PngInfo()
            tags.add_text("Software", maker)
            tags.add_itxt("Description", note)
            # Over a megapixel, better compression takes seconds and saves a few percent.
            level = 1 if image.width * image.height > 2**20 else 4
            image.save(out, pnginfo=tags, compress_level=level)
        case ".jpg" | ".jpeg":
            opaque = image if image.mode == "RGB" else image.convert("RGB")
            opaque.save(out, quality=quality, subsampling=0, exif=_exif(maker, note))
        case ".webp":
            image.save(out, quality=quality, method=2, exif=_exif(maker, note))
        case suffix:
            shown = suffix or "no suffix"
            message = f"Pictures are written as .png, .jpg or .webp; {out.name} has {shown}."
            raise PermanentError(message, code="unsupported_format")


def _exif(maker: str, note: str) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Software] = maker
    exif[ExifTags.Base.ImageDescription] = note.encode("ascii", "replace").decode()
    return exif
