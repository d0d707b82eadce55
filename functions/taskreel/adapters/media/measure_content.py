"""Measurements of a file or a text, behind the Provider port."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import Any

from taskreel.domain.errors import PermanentError
from taskreel.ports import Done, Generation, MediaWorkers

_SECONDS = 600.0
_LONGEST_SCENE_SECONDS = 86_400
_MOST_SPEAKERS = 100
_MOST_HEADINGS = 1000


async def analyse_content(workers: MediaWorkers, request: Generation) -> Done:
    """Measure the content; a script also by its scenes and speakers."""
    from taskreel.media.analyse import analyse_file

    text = request.params.get("text")
    if text is None:
        expected = request.params.get("contentType")
        found = await workers.run(
            analyse_file, request.inputs[0].path, expected=expected, timeout_seconds=_SECONDS
        )
        return Done(data={"measured": _as_json(asdict(found))})
    file = request.folder / f"{request.name}.txt"
    file.write_text(text, "utf-8")
    found = await workers.run(analyse_file, file, timeout_seconds=_SECONDS)
    measured = _as_json(asdict(found))
    return Done(data={"measured": measured, **_measure_script(text)})


def _as_json(value: Any) -> Any:
    """The value as camelCase JSON, without fields that do not apply."""
    if isinstance(value, dict):
        return {
            _to_camel_case(name): _as_json(one)
            for name, one in value.items()
            if one is not None and name != "sha256"
        }
    return [_as_json(one) for one in value] if isinstance(value, list | tuple) else value


def _to_camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _measure_script(text: str) -> dict[str, Any]:
    """Scenes and speakers of a script: JSON with `scenes`, or text with INT./EXT. headings."""
    try:
        script = json.loads(text)
    except (ValueError, RecursionError):
        script = None
    if isinstance(script, dict) and isinstance(script.get("scenes"), list):
        return {"script": _measure_scenes(script["scenes"])}
    headings = [
        line.strip()
        for line in text.splitlines()
        if line.strip().startswith(("INT.", "EXT.", "INT/EXT"))
    ]
    return (
        {"script": {"scenes": len(headings), "headings": headings[:_MOST_HEADINGS]}}
        if headings
        else {}
    )


def _measure_scenes(scenes: list[Any]) -> dict[str, Any]:
    if not all(isinstance(scene, dict) for scene in scenes):
        raise PermanentError("Each of a script's scenes must be an object.", code="bad_parameters")
    dialogues = [scene["dialogue"] for scene in scenes if isinstance(scene.get("dialogue"), list)]
    spoken = [line for dialogue in dialogues for line in dialogue if isinstance(line, dict)]
    lines = Counter(_speaker_of(line) for line in spoken)
    seconds = [scene.get("durationSeconds") or scene.get("duration") for scene in scenes]
    known = [
        one for one in seconds if isinstance(one, int | float) and 0 < one < _LONGEST_SCENE_SECONDS
    ]
    return {
        "scenes": len(scenes),
        "linesBySpeaker": dict(lines.most_common(_MOST_SPEAKERS)),
        "durationSeconds": round(sum(known), 1) if known else None,
    }


def _speaker_of(line: dict[str, Any]) -> str:
    """The speaker's name, fit for the name of a document's field."""
    name = str(line.get("speaker") or "").encode(errors="replace").decode()
    return name.strip("_ ")[:100] or "unknown"
