"""Pictures and films made personal: a palette, a caption, and a spoken greeting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from taskreel.domain.errors import PermanentError
from taskreel.domain.personal_text import replace_names
from taskreel.media.probe import probe_file

#: Speaks words into a .wav file: `(words, file, voice, language)`. Returns the reason where it
#: cannot. A module-level function: it is sent to a worker process.
Speaker: TypeAlias = Callable[[str, Path, str, str], str | None]

NO_SPEECH = (
    "no speech is made here: make the greeting with audio-synthesis and add it with video-assembly"
)
_STRONGEST_TINT = 0.85


def personalize_file(
    source: Path,
    params: Mapping[str, Any],
    out: Path,
    *,
    speak: Speaker | None,
    on_progress: Callable[[float], None],
) -> tuple[Path, list[str], dict[str, str]]:
    """Change a picture or a film. Runs in a worker process.

    Returns the new file beside `out`, what was applied, and what was skipped with the reason.
    Raises PermanentError for content of another kind.
    """
    info = probe_file(source)
    if info.content_type.startswith("image/"):
        return _personalize_picture(source, params, out)
    if info.has_video:
        return _personalize_film(source, params, out, speak, on_progress)
    raise PermanentError(
        f"Personalization works on texts, pictures and videos, not on {info.content_type}.",
        code="unsupported_media",
    )


def _personalize_picture(
    source: Path, params: Mapping[str, Any], out: Path
) -> tuple[Path, list[str], dict[str, str]]:
    from PIL import Image

    from taskreel.media.image_output import save_picture
    from taskreel.media.open_media import open_picture

    image, applied, skipped = open_picture(source), [], _skip_language(params)
    if params.get("palette"):
        pixels = np.asarray(image.convert("RGB"), np.float32)
        image = Image.fromarray(
            _tint_pixels(pixels, _parse_colour(params["palette"]), params["intensity"])
        )
        applied.append("palette")
    words, named, lost = _caption_words(params)
    skipped |= lost
    if words:
        image = _draw_caption(image, words, params["intensity"])
        applied += [*named, "caption"]
        skipped |= _skip_characters(words)
    if params.get("voice"):
        skipped["voice"] = "a picture has none"
    made = out.with_suffix(".png")
    save_picture(image, made, note="personalized")
    return made, applied, skipped


def _personalize_film(
    source: Path,
    params: Mapping[str, Any],
    out: Path,
    speak: Speaker | None,
    on_progress: Callable[[float], None],
) -> tuple[Path, list[str], dict[str, str]]:
    """Tint frame by frame, then add caption and greeting as one scene of a composition."""
    from taskreel.media.compose import compose_film
    from taskreel.media.scenes import FilmOptions, Scene

    made, applied, skipped = source, [], _skip_language(params)
    if params.get("palette"):
        made = out.with_name(f"{out.stem}-tinted.mp4")
        _tint_film(source, made, _parse_colour(params["palette"]), params["intensity"])
        applied.append("palette")
    words, named, lost = _caption_words(params)
    skipped |= lost
    speech = _speak_greeting(words, params, out, skipped, speak)
    if words:
        info = probe_file(made)
        scene = Scene(visual=made, narration=speech, narrated=words, seconds=info.duration_seconds)
        style = FilmOptions(
            width=info.width or 1280, height=info.height or 720, fps=round(info.fps or 30)
        )
        made = out.with_suffix(".mp4")
        compose_film([scene], out=made, options=style, on_progress=on_progress)
        applied += [*named, "caption", *(["voice"] if speech else [])]
        skipped |= _skip_characters(words)
    if speech and params.get("language"):
        applied.append(f"language: {params['language']}")
        del skipped["language"]
    return made, applied, skipped


def _speak_greeting(
    words: str,
    params: Mapping[str, Any],
    out: Path,
    skipped: dict[str, str],
    speak: Speaker | None,
) -> Path | None:
    """The caption spoken into a file; None, with the reason in `skipped`, where it is not."""
    voice = params.get("voice")
    if not voice:
        return None
    if not words:
        skipped["voice"] = "there is nothing to say: give a caption"
        return None
    if speak is None:
        skipped["voice"] = NO_SPEECH
        return None
    target = out.with_name(f"{out.stem}-voice.wav")
    language = (params.get("language") or "en").lower()
    reason = speak(words, target, voice, language)
    if reason:
        skipped["voice"] = reason
        return None
    return target


def _tint_film(source: Path, out: Path, colour: tuple[int, int, int], intensity: float) -> None:
    from taskreel.media.audio_io import SoundReader
    from taskreel.media.encode import FilmWriter, to_even_size
    from taskreel.media.frame_filters import FrameShape
    from taskreel.media.frames import read_clip_pictures
    from taskreel.media.sound_track import SOUND_RATE, make_sound_frame

    info = probe_file(source)
    size, fps = to_even_size(info.width or 1280, info.height or 720), round(info.fps or 30)
    reader = SoundReader.open(source) if info.has_audio else None
    rows = size[1]
    u, v = _chroma_of(colour)
    strength = _STRONGEST_TINT * intensity
    with FilmWriter(out, size=size, fps=fps, sound=reader is not None) as film:
        for picture in read_clip_pictures(source, FrameShape(size, Fraction(fps))):
            planes = picture.copy()
            middle = rows + rows // 4
            for start, end, target in ((rows, middle, u), (middle, rows + rows // 2, v)):
                part = planes[start:end].astype(np.float32)
                planes[start:end] = (part + (target - part) * strength).astype(np.uint8)
            film.add_picture(planes)
            missing = round(film.seconds * SOUND_RATE) - round(film.sound_seconds * SOUND_RATE)
            if reader is not None and missing > 0:
                film.add_sound([make_sound_frame(reader.read(missing))])


def _chroma_of(colour: tuple[int, int, int]) -> tuple[float, float]:
    """BT.709 colour difference, limited range."""
    r, g, b = (value / 255 for value in colour)
    light = 0.2126 * r + 0.7152 * g + 0.0722 * b
    return 128 + 224 * (b - light) / 1.8556, 128 + 224 * (r - light) / 1.5748


def _tint_pixels(
    pixels: npt.NDArray[np.float32], colour: tuple[int, int, int], intensity: float
) -> npt.NDArray[np.uint8]:
    """The picture tinted by a colour; `intensity` 0…1, luminance unchanged."""
    light = pixels @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    tone = np.array(colour, np.float32)
    own = max(1.0, float(tone @ np.array([0.2126, 0.7152, 0.0722], np.float32)))
    shaded = np.clip(light[..., None] * (tone / own), 0, 255)
    mixed = pixels + (shaded - pixels) * (_STRONGEST_TINT * intensity)
    return np.clip(mixed + 0.5, 0, 255).astype(np.uint8)


def _draw_caption(image: Any, words: str, intensity: float) -> Any:
    from PIL import Image, ImageDraw

    from taskreel.media.draw_text import Face
    from taskreel.media.fonts import remove_undrawable
    from taskreel.media.overlay import wrap_text

    width, height = image.size
    face = Face(max(12, height // 16))
    sheet = Image.new("RGBA", image.size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(sheet)
    alpha = round(255 * (0.4 + 0.6 * intensity))
    face.draw_lines(
        pen,
        (width / 2, height * 0.93),
        wrap_text(remove_undrawable(words), face, width * 0.9),
        anchor="bottom",
        spacing=4,
        fill=(255, 255, 255, alpha),
        stroke_width=max(1, height // 240),
        stroke_fill=(0, 0, 0, alpha),
    )
    return Image.alpha_composite(image.convert("RGBA"), sheet).convert("RGB")


def _skip_characters(words: str) -> dict[str, str]:
    from taskreel.media.fonts import find_undrawable

    lacking = find_undrawable([words])
    return {"characters": f"no font here can draw {lacking}"} if lacking else {}


def _caption_words(params: Mapping[str, Any]) -> tuple[str, list[str], dict[str, str]]:
    """The words of the caption, the aspects they apply, and those they skip with the reason.

    Without a caption the names are a dedication.
    """
    names = params.get("names") or {}
    if params.get("caption"):
        return replace_names(str(params["caption"]), names, params["intensity"])
    return (f"For {' and '.join(names.values())}", ["names"], {}) if names else ("", [], {})


def _skip_language(params: Mapping[str, Any]) -> dict[str, str]:
    """The language as skipped; a spoken greeting takes it back."""
    why = "a caption is not translated; only a text is"
    return {"language": why} if params.get("language") else {}


def _parse_colour(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
