"""Speech by espeak-ng and music from a seed, behind the Provider port."""

from __future__ import annotations

import hashlib
from typing import Any

from taskreel.ports import Done, Generation, MediaWorkers, Output

_SPEECH_SECONDS, _MUSIC_SECONDS = 300.0, 600.0
_USUAL_PACE = 160
_SHORTEST_MUSIC, _LONGEST_MUSIC = 2.0, 3600.0


async def speak_text(workers: MediaWorkers, request: Generation) -> Done:
    """Speak the text. A voice that the studio lacks becomes one of its own, always the same."""
    from taskreel_local.studio.speech import VOICES, speak

    params = request.params
    wanted = str(params.get("voice") or "narrator")
    voice = wanted if wanted in VOICES else _choose_voice(list(VOICES), wanted)
    out = request.folder / f"{request.name}.{params.get('outputFormat', 'mp3')}"
    pace = round(_USUAL_PACE * params.get("speed", 1.0))
    info = await workers.run(
        speak,
        params["text"],
        out=out,
        voice=voice,
        language=params.get("language", "en"),
        words_per_minute=min(max(pace, 80), 400),
        pitch=params.get("pitch"),
        timeout_seconds=_SPEECH_SECONDS,
    )
    data: dict[str, Any] = {
        "voice": voice,
        "engine": "espeak-ng",
        "durationSeconds": info.duration_seconds,
    }
    if voice != wanted:
        data["note"] = f"The studio has no voice {wanted!r}; {voice!r} stands in for it."
    return Done(outputs=(Output(path=out),), data=data)


async def compose_tune(workers: MediaWorkers, request: Generation) -> Done:
    """Compose music in the mood of the prompt."""
    from taskreel_local.studio.music import compose_music

    params = request.params
    seconds = min(max(float(params.get("duration") or 30), _SHORTEST_MUSIC), _LONGEST_MUSIC)
    out = request.folder / f"{request.name}.{params.get('outputFormat', 'mp3')}"
    await workers.run(
        compose_music,
        str(params.get("prompt") or ""),
        seed=params["seed"],
        seconds=seconds,
        out=out,
        timeout_seconds=_MUSIC_SECONDS,
    )
    return Done(outputs=(Output(path=out),), data={"durationSeconds": seconds})


def _choose_voice(voices: list[str], wanted: str) -> str:
    return voices[hashlib.sha256(wanted.encode()).digest()[0] % len(voices)]
