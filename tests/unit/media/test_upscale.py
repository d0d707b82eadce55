from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taskreel.domain.errors import PermanentError
from taskreel.media.upscale import upscale_picture
from unit.media.decode_results import read_picture


@pytest.mark.parametrize(
    ("scale", "size"), [(2, (320, 240)), (4, (640, 480)), (1.5, (240, 180)), (3.3, (528, 396))]
)
def test_enlarging_gives_exactly_the_scaled_size(
    detailed: Path, tmp_path: Path, scale: float, size: tuple[int, int]
) -> None:
    info = upscale_picture(detailed, scale=scale, out=tmp_path / "a.png")
    assert (info.width, info.height) == size


def test_enlarging_preserves_the_picture_and_sharpens_edges_without_halos(
    detailed: Path, tmp_path: Path
) -> None:
    upscale_picture(detailed, scale=4, out=tmp_path / "sharp.png")
    upscale_picture(detailed, scale=4, out=tmp_path / "plain.png", sharpen=0, denoise=0)
    sharp, plain = (
        read_picture(tmp_path / f"{name}.png").astype(float) for name in ("sharp", "plain")
    )
    original = read_picture(detailed).astype(float)
    reduced = sharp.reshape(120, 4, 160, 4, 3).mean((1, 3))
    assert np.abs(reduced - original).mean() < 8
    assert np.abs(np.diff(sharp, axis=1)).max() > np.abs(np.diff(plain, axis=1)).max()
    assert sharp.max() <= plain.max() + 12


def test_a_tall_picture_is_enlarged_in_bands_without_a_seam(tmp_path: Path) -> None:
    source = tmp_path / "tall.png"
    y, x = np.mgrid[0:700, 0:40]
    Image.fromarray(((np.sin(y / 9) + np.cos(x / 5)) * 60 + 127).astype(np.uint8)).save(source)
    upscale_picture(source, scale=2, out=tmp_path / "a.png", denoise=0)
    rows = read_picture(tmp_path / "a.png").astype(float)[:, :, 0]
    steps = np.abs(np.diff(rows, axis=0)).mean(1)
    assert steps[509:515].max() <= steps.max()
    assert np.abs(np.diff(rows, 2, axis=0)).mean(1)[505:518].max() < 3


def test_enlarging_preserves_transparency(tmp_path: Path) -> None:
    source = tmp_path / "glass.png"
    Image.new("RGBA", (20, 20), (200, 0, 0, 90)).save(source)
    upscale_picture(source, scale=2, out=tmp_path / "a.webp")
    with Image.open(tmp_path / "a.webp") as image:
        alpha = image.convert("RGBA").getchannel("A").getextrema()
    assert alpha[0] == pytest.approx(90, abs=6)


def test_a_result_over_the_limit_is_refused_with_the_scale_that_would_do(tmp_path: Path) -> None:
    source = tmp_path / "wide.png"
    Image.new("RGB", (4000, 3000)).save(source)
    with pytest.raises(PermanentError, match=r"a scale up to 2\.31") as caught:
        upscale_picture(source, scale=4, out=tmp_path / "a.png")
    assert caught.value.code == "media_too_large"
