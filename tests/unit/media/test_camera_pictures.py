"""Pictures as cameras make them: HEIC, 16 bit, with a colour profile."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from taskreel.media.open_media import open_image
from taskreel.media.probe import probe_file
from taskreel.media.sniff import detect_kind
from taskreel.media.upscale import upscale_picture
from unit.media.decode_results import read_picture

HEIC = Path(__file__).parent / "files" / "telephone.heic"  # left half red, right half blue


def test_a_heic_picture_is_a_picture(tmp_path: Path) -> None:
    info = probe_file(HEIC)
    assert (info.content_type, info.width, info.height) == ("image/heic", 96, 64)
    upscale_picture(HEIC, scale=2, out=tmp_path / "large.png")
    picture = read_picture(tmp_path / "large.png").astype(int)
    assert picture.shape == (128, 192, 3)
    assert np.abs(picture[64, 40] - (200, 40, 40)).max() < 12
    assert np.abs(picture[64, 150] - (30, 60, 190)).max() < 12


@pytest.mark.parametrize(
    ("brand", "others", "found"),
    [
        (b"heic", b"mif1heic", "image/heic"),
        (b"heix", b"mif1heix", "image/heic"),
        (b"mif1", b"mif1heic", "image/heic"),
        (b"mif1", b"mif1avif", "image/avif"),
        (b"avif", b"avifmif1", "image/avif"),
        (b"isom", b"isommp41", "video/mp4"),
        (b"qt  ", b"qt  ", "video/quicktime"),
    ],
)
def test_the_brands_of_a_file_tell_pictures_from_films(
    brand: bytes, others: bytes, found: str, tmp_path: Path
) -> None:
    body = b"ftyp" + brand + b"\0\0\0\0" + others
    (tmp_path / "a.bin").write_bytes(struct.pack(">I", len(body) + 4) + body + b"\0" * 64)
    assert detect_kind(tmp_path / "a.bin").content_type == found


def test_a_grey_picture_of_16_bits_has_the_same_tones(tmp_path: Path) -> None:
    deep = np.linspace(0, 65535, 64).astype(np.uint16)[None, :].repeat(32, axis=0)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    row = np.asarray(open_image(tmp_path / "deep.png"))[16, :, 0].astype(int)
    assert np.abs(row - np.linspace(0, 255, 64)).max() <= 1


def test_a_picture_in_another_colour_space_is_shown_in_srgb(tmp_path: Path) -> None:
    """A Lab profile stands for any: the picture's own numbers are not sRGB's."""
    srgb = Image.new("RGB", (16, 16), (200, 80, 40))
    profile = ImageCms.createProfile("sRGB")
    swapped = _swap_red_and_blue(ImageCms.ImageCmsProfile(profile).tobytes())
    srgb.save(tmp_path / "own.png", icc_profile=swapped)
    picture = np.asarray(open_image(tmp_path / "own.png")).astype(int)[8, 8]
    assert np.abs(picture - (40, 80, 200)).max() < 60, picture
    assert picture[2] > picture[0]


def test_an_unreadable_profile_is_ignored(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (200, 80, 40)).save(tmp_path / "a.png", icc_profile=b"no profile")
    assert np.asarray(open_image(tmp_path / "a.png"))[8, 8].tolist() == [200, 80, 40]


def _swap_red_and_blue(profile: bytes) -> bytes:
    """A profile whose first channel is blue: the offsets of rXYZ and bXYZ change places."""
    data = bytearray(profile)
    (count,) = struct.unpack(">I", data[128:132])
    at = {bytes(data[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(count)}
    red, blue = at[b"rXYZ"], at[b"bXYZ"]
    data[red + 4 : red + 12], data[blue + 4 : blue + 12] = (
        data[blue + 4 : blue + 12],
        data[red + 4 : red + 12],
    )
    return bytes(data)
