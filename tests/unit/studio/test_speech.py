from __future__ import annotations

import sys
from pathlib import Path

import pytest

from taskreel.domain.errors import PermanentError
from taskreel.media.loudness import measure_loudness
from taskreel_local.studio import speech
from taskreel_local.studio.speech import speak


def test_speech_is_spoken_at_its_loudness_and_faster_when_asked(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader")
    slow = speak(
        "The keeper climbs the stairs, and lights the lamp.",
        out=tmp_path / "a.wav",
        words_per_minute=120,
    )
    fast = speak(
        "The keeper climbs the stairs, and lights the lamp.",
        out=tmp_path / "b.opus",
        words_per_minute=240,
    )
    assert slow.duration_seconds is not None
    assert fast.duration_seconds is not None
    assert 1.4 < slow.duration_seconds / fast.duration_seconds < 2.6
    assert measure_loudness(tmp_path / "a.wav").integrated_lufs == pytest.approx(-16, abs=1.5)


@pytest.mark.parametrize("voice_name", sorted(speech.VOICES))
def test_every_voice_speaks_other_languages_too(voice_name: str, tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader")
    info = speak(
        "Guten Morgen, lieber Leuchtturm.", out=tmp_path / "a.wav", voice=voice_name, language="de"
    )
    assert (info.duration_seconds or 0) > 0.8


@pytest.mark.parametrize(
    ("text", "options", "code"),
    [
        ("…!", {}, "empty_text"),
        ("hello", {"language": "klingonese"}, "unknown_voice"),
        ("hello", {"words_per_minute": 5}, "bad_parameters"),
        ("hello", {"pitch": 120}, "bad_parameters"),
        ("word " * 20_000, {}, "text_too_long"),
    ],
)
def test_what_cannot_be_spoken_is_refused(
    text: str, options: dict[str, object], code: str, tmp_path: Path
) -> None:
    pytest.importorskip("espeakng_loader")
    with pytest.raises(PermanentError) as caught:
        speak(text, out=tmp_path / "a.wav", **options)  # type: ignore[arg-type]
    assert caught.value.code == code


def test_without_the_extra_speech_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speech._load_engine.cache_clear()
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(PermanentError, match="scripts/bootstrap --speech"):
        speak("hello", out=tmp_path / "a.wav")
    assert not speech.is_installed()


@pytest.mark.parametrize(
    "language",
    [
        *("de-DE", "en-GB", "es-ES", "es-MX", "fr-FR", "fr-CA", "it-IT", "ja-JP", "nl-NL"),
        *("pl-PL", "zh-CN", "pt-BR", "en_US"),
    ],
)
def test_a_language_may_have_a_region(language: str, tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader")
    info = speak("Anna, Berlin, Europa.", out=tmp_path / "a.wav", language=language)
    assert (info.duration_seconds or 0) > 0.3
