"""Existing content made personal: names in a text, a palette and a caption on pictures, a spoken greeting in a film."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from taskreel.domain.errors import PermanentError
from taskreel.jobtypes.personalization import personal_text, renamed
from taskreel.ports import Done, Generation, MediaWorkers, Output

_SECONDS = 1500.0
_STRONGEST_TINT = 0.85


async def personalize(workers: MediaWorkers, request: Generation) -> Done:
    """Apply the aspects that the content can take; what was applied and what was not is in the data."""
    params = request.params
    if params.get("text") is not None:
        text, applied, skipped = personal_text(params)
        return Done(data={"text": text, **_report(params, applied, skipped)})
    out = request.folder / f"{request.name}.bin"
    made, applied, skipped = await workers.run(
        _of_file,
        request.inputs[0].path,
        dict(params),
        out,
        on_progress=request.report,
        timeout_seconds=_SECONDS,
    )
    return Done(outputs=(Output(path=made),), data=_report(params, applied, skipped))


def _of_file(
    source: Path, params: Mapping[str, Any], out: Path, on_progress: Any
) -> tuple[Path, list[str], dict[str, str]]:
    """In a worker: a picture or a film, changed."""
    from taskreel.media.probe import probe_file

    info = probe_file(source)
    if info.content_type.startswith("image/"):
        return _of_picture(source, params, out)
    if info.has_video:
        return _of_film(source, params, out, on_progress)
    raise PermanentError(
        f"Personalization works on texts, pictures and videos, not on {info.content_type}.",
        code="unsupported_media",
    )


def _of_picture(
    source: Path, params: Mapping[str, Any], out: Path
) -> tuple[Path, list[str], dict[str, str]]:
    from PIL import Image

    from taskreel.media.image_output import save_picture
    from taskreel.media.open_media import open_picture

    image, applied, skipped = open_picture(source), [], _unspoken(params)
    if params.get("palette"):
        pixels = np.asarray(image.convert("RGB"), np.float32)
        image = Image.fromarray(_tinted(pixels, _rgb(params["palette"]), params["intensity"]))
        applied.append("palette")
    words, named, lost = _caption(params)
    skipped |= lost
    if words:
        image = _captioned(image, words, params["intensity"])
        applied += [*named, "caption"]
        skipped |= _unwritten(words)
    if params.get("voice"):
        skipped["voice"] = "a picture has none"
    made = out.with_suffix(".png")
    save_picture(image, made, note="personalized")
    return made, applied, skipped


def _of_film(
    source: Path, params: Mapping[str, Any], out: Path, on_progress: Any
) -> tuple[Path, list[str], dict[str, str]]:
    """Tinted frame by frame, then captioned and spoken over as one scene of a composition."""
    from taskreel.media.compose import FilmOptions, Scene, compose_film
    from taskreel.media.probe import probe_file

    made, applied, skipped = source, [], _unspoken(params)
    if params.get("palette"):
        made = out.with_name(f"{out.stem}-tinted.mp4")
        _tint_film(source, made, _rgb(params["palette"]), params["intensity"])
        applied.append("palette")
    words, named, lost = _caption(params)
    skipped |= lost
    speech = _greeting(words, params, out, skipped)
    if words:
        info = probe_file(made)
        scene = Scene(visual=made, narration=speech, narrated=words, seconds=info.duration_seconds)
        look = FilmOptions(
            width=info.width or 1280, height=info.height or 720, fps=round(info.fps or 30)
        )
        made = out.with_suffix(".mp4")
        compose_film([scene], out=made, look=look, on_progress=on_progress)
        applied += [*named, "caption", *(["voice"] if speech else [])]
        skipped |= _unwritten(words)
    if speech and params.get("language"):
        applied.append(f"language: {params['language']}")
        del skipped["language"]
    return made, applied, skipped


def _greeting(
    words: str, params: Mapping[str, Any], out: Path, skipped: dict[str, str]
) -> Path | None:
    from taskreel.media.speech import VOICES, available, speak

    voice = params.get("voice")
    if not voice:
        return None
    if not words or not available():
        skipped["voice"] = (
            "speech needs the optional extra"
            if words
            else "there is nothing to say: give a caption"
        )
        return None
    target = out.with_name(f"{out.stem}-voice.wav")
    language = (params.get("language") or "en").lower()
    speak(words, out=target, voice=voice if voice in VOICES else "narrator", language=language)
    return target


def _tint_film(source: Path, out: Path, colour: tuple[int, int, int], intensity: float) -> None:
    from taskreel.media.audio_io import SoundReader
    from taskreel.media.encode import SOUND_RATE, FilmWriter, make_sound_frame, to_even_size
    from taskreel.media.frames import FrameShape, read_clip_pictures
    from taskreel.media.probe import probe_file

    info = probe_file(source)
    size, fps = to_even_size(info.width or 1280, info.height or 720), round(info.fps or 30)
    reader = SoundReader.of(source) if info.has_audio else None
    rows = size[1]
    u, v = _chroma(colour)
    strength = _STRONGEST_TINT * intensity
    with FilmWriter(out, size=size, fps=fps, sound=reader is not None) as film:
        for picture in read_clip_pictures(source, FrameShape(size, fps)):
            planes = picture.copy()
            middle = rows + rows // 4
            for start, end, target in ((rows, middle, u), (middle, rows + rows // 2, v)):
                part = planes[start:end].astype(np.float32)
                planes[start:end] = (part + (target - part) * strength).astype(np.uint8)
            film.picture(planes)
            missing = round(film.seconds * SOUND_RATE) - round(film.sound_seconds * SOUND_RATE)
            if reader is not None and missing > 0:
                film.sound([make_sound_frame(reader.read(missing))])


def _chroma(colour: tuple[int, int, int]) -> tuple[float, float]:
    """BT.709 colour difference, limited range."""
    r, g, b = (value / 255 for value in colour)
    light = 0.2126 * r + 0.7152 * g + 0.0722 * b
    return 128 + 224 * (b - light) / 1.8556, 128 + 224 * (r - light) / 1.5748


def _tinted(
    pixels: npt.NDArray[np.float32], colour: tuple[int, int, int], intensity: float
) -> npt.NDArray[np.uint8]:
    """The picture in shades of a colour, as far as the intensity says; its light stays."""
    light = pixels @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    tone = np.array(colour, np.float32)
    own = max(1.0, float(tone @ np.array([0.2126, 0.7152, 0.0722], np.float32)))
    shaded = np.clip(light[..., None] * (tone / own), 0, 255)
    mixed = pixels + (shaded - pixels) * (_STRONGEST_TINT * intensity)
    return np.clip(mixed + 0.5, 0, 255).astype(np.uint8)


def _captioned(image: Any, words: str, intensity: float) -> Any:
    from PIL import Image, ImageDraw

    from taskreel.media.fonts import load_font, remove_undrawable
    from taskreel.media.overlay import wrap_text

    width, height = image.size
    face = load_font(max(12, height // 16), words)
    sheet = Image.new("RGBA", image.size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(sheet)
    alpha = round(255 * (0.4 + 0.6 * intensity))
    pen.multiline_text(
        (width / 2, height * 0.93),
        "\n".join(wrap_text(remove_undrawable(words), face, width * 0.9)),
        font=face,
        fill=(255, 255, 255, alpha),
        stroke_width=max(1, height // 240),
        stroke_fill=(0, 0, 0, alpha),
        anchor="md",
        align="center",
    )
    return Image.alpha_composite(image.convert("RGBA"), sheet).convert("RGB")


def _unwritten(words: str) -> dict[str, str]:
    from taskreel.media.fonts import find_undrawable

    lacking = find_undrawable([words])
    return {"characters": f"no font here can draw {lacking}"} if lacking else {}


def _caption(params: Mapping[str, Any]) -> tuple[str, list[str], dict[str, str]]:
    """The caption asked for with its names replaced, or a dedication to them; which names it took, and which not."""
    names = params.get("names") or {}
    if params.get("caption"):
        return renamed(str(params["caption"]), names, params["intensity"])
    return (f"For {' and '.join(names.values())}", ["names"], {}) if names else ("", [], {})


def _unspoken(params: Mapping[str, Any]) -> dict[str, str]:
    """The language, unless something comes to be spoken in it."""
    why = "a caption stands as it is given; only a text can be translated"
    return {"language": why} if params.get("language") else {}


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _report(
    params: Mapping[str, Any], applied: list[str], skipped: Mapping[str, str]
) -> dict[str, Any]:
    if not applied:
        reasons = "; ".join(f"{aspect}: {reason}" for aspect, reason in skipped.items())
        raise PermanentError(
            f"None of the aspects could be applied: {reasons}.", code="nothing_applied"
        )
    return {"applied": applied, "skipped": dict(skipped), "intensity": params["intensity"]}
