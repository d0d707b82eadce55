"""Small media, made once: a picture, clips with and without sound, a voice, music."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taskreel.media.animate import MotionOptions, animate_pictures
from taskreel.media.compose import compose_film
from taskreel.media.scenes import FilmOptions, Scene


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="session")
def red(folder: Path) -> Path:
    return _plain(folder / "red.png", (220, 30, 30))


@pytest.fixture(scope="session")
def blue(folder: Path) -> Path:
    return _plain(folder / "blue.png", (30, 30, 220))


@pytest.fixture(scope="session")
def detailed(folder: Path) -> Path:
    path = folder / "detailed.png"
    y, x = np.mgrid[0:120, 0:160]
    tones = ((x // 8 + y // 8) % 2 * 140 + x * 0.6).astype(np.uint8)
    Image.fromarray(np.stack([tones, 255 - tones, (y * 2).astype(np.uint8)], -1)).save(path)
    return path


@pytest.fixture(scope="session")
def voice(folder: Path) -> Path:
    """Two seconds: a quiet second, then a second of loud tone."""
    return _tone(folder / "voice.wav", [(1.0, 0.0), (1.0, 0.5)], rate=22_050, channels=1)


@pytest.fixture(scope="session")
def tone(folder: Path) -> Path:
    return _tone(folder / "tone.wav", [(3.0, 0.25)], rate=44_100, channels=2)


@pytest.fixture(scope="session")
def silent_clip(folder: Path, red: Path) -> Path:
    path = folder / "silent.mp4"
    animate_pictures(
        [red],
        options=MotionOptions(prompt="static", seconds=1, width=160, height=90, fps=15),
        out=path,
    )
    return path


@pytest.fixture(scope="session")
def sounding_clip(folder: Path, blue: Path, tone: Path) -> Path:
    path = folder / "sounding.webm"
    look = FilmOptions(width=90, height=160, fps=25)
    compose_film(
        [Scene(visual=blue, seconds=1.2, move="static")], out=path, music=tone, options=look
    )
    return path


def _plain(path: Path, colour: tuple[int, int, int]) -> Path:
    Image.new("RGB", (160, 90), colour).save(path)
    return path


def _tone(path: Path, parts: list[tuple[float, float]], *, rate: int, channels: int) -> Path:
    pieces = [
        np.sin(np.arange(round(seconds * rate)) * 2 * np.pi * 440 / rate) * level
        for seconds, level in parts
    ]
    samples = np.repeat((np.concatenate(pieces) * 32767).astype("<i2")[:, None], channels, axis=1)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path
