"""Films from scenes, from clips, and single steps of media work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskreel.ports import Done, Generation, MediaWorkers, Output

if TYPE_CHECKING:
    from taskreel.media.compose import Composition, Scene

_FILM_SECONDS, _STEP_SECONDS = 1700.0, 900.0
#: Around a narration, and of a picture that nothing else gives a length.
_AROUND_SECONDS, _STILL_SECONDS = 1.2, 5.0


async def compose_film(workers: MediaWorkers, request: Generation) -> Done:
    """Scenes to a film; `params["scenes"]` names each one's files by their place in `inputs`."""
    from taskreel.media.compose import compose_film

    params = request.params
    scenes = [
        await _scene(workers, request, index, given) for index, given in enumerate(params["scenes"])
    ]
    master, music = params.get("master"), params.get("music")
    out = request.folder / f"{request.name}.{params['outputFormat']}"
    film = out if master is None else out.with_name(f"{request.name}-silent.mp4")
    made = await workers.run(
        compose_film,
        scenes,
        out=film,
        look=_look(params),
        music=request.inputs[music].path if music is not None and master is None else None,
        heading=params.get("title") or "",
        subheading=params.get("subtitle") or "",
        closing=params.get("credits") or (),
        on_progress=lambda fraction: request.report(0.05 + 0.9 * fraction),
        timeout_seconds=_FILM_SECONDS,
    )
    notes = _notes(params, scenes, made)
    if master is not None:
        sounds = _paths(request, master, music)
        notes.append(
            await workers.run(_lay_sound, film, sounds, out=out, timeout_seconds=_FILM_SECONDS)
        )
    return Done(outputs=(Output(path=out),), data={**_facts(params, scenes, made), **_noted(notes)})


async def assemble_films(workers: MediaWorkers, request: Generation) -> Done:
    """Clips under one sound, once in each format."""
    from taskreel.media.assemble import assemble_films

    params = request.params
    outs = [request.folder / f"{request.name}.{form}" for form in params["outputFormats"]]
    paths = [given.path for given in request.inputs]
    made = await workers.run(
        assemble_films,
        paths[: params["videos"]],
        paths[params["videos"]] if len(paths) > params["videos"] else None,
        outs=outs,
        **_given(params, "width", "height", "fps", "quality"),
        on_progress=request.report,
        timeout_seconds=_FILM_SECONDS,
    )
    data = {"formats": list(params["outputFormats"]), **_noted([made.note])}
    return Done(outputs=tuple(Output(path=out) for out in outs), data=data)


async def process_media(workers: MediaWorkers, request: Generation) -> Done:
    """One of the four operations on the input files."""
    params = request.params
    out = request.folder / f"{request.name}.{params['outputFormat']}"
    paths = [given.path for given in request.inputs]
    await workers.run(
        _OPERATIONS[params["operation"]], paths, params, out=out, timeout_seconds=_STEP_SECONDS
    )
    return Done(outputs=(Output(path=out),), data={"operation": params["operation"]})


async def _scene(
    workers: MediaWorkers, request: Generation, index: int, given: Mapping[str, Any]
) -> Scene:
    from taskreel.media.compose import Scene

    visuals = [request.inputs[place].path for place in given.get("visuals", ())]
    narration = given.get("narration")
    sound = None if narration is None else request.inputs[narration].path
    if len(visuals) > 1:
        visuals = [await _several(workers, request, index, given, visuals, sound)]
    return Scene(
        visual=visuals[0] if visuals else None,
        seconds=given.get("seconds"),
        narration=sound,
        narrated=given.get("text") or "",
        title=given.get("title") or "",
        subtitle=given.get("subtitle") or "",
        move=given.get("move") or "",
    )


async def _several(  # what one scene is made from
    workers: MediaWorkers,
    request: Generation,
    index: int,
    given: Mapping[str, Any],
    visuals: Sequence[Path],
    sound: Path | None,
) -> Path:
    """A scene of several pictures or clips as one clip."""
    out = request.folder / f"{request.name}-scene-{index}.mp4"
    seconds = given.get("seconds")
    await workers.run(
        _join, visuals, sound, request.params, seconds, out=out, timeout_seconds=_STEP_SECONDS
    )
    return out


def _join(
    visuals: Sequence[Path],
    sound: Path | None,
    params: Mapping[str, Any],
    seconds: float | None,
    out: Path,
) -> None:
    from taskreel.media.animate import animate_pictures
    from taskreel.media.probe import probe_file
    from taskreel.media.stitch import stitch_videos

    shape = {"width": 1280, "height": 720, **_given(params, "width", "height", "fps", "quality")}
    if any(not probe_file(visual).content_type.startswith("image/") for visual in visuals):
        stitch_videos(visuals, out=out, fill=True, **shape)
        return
    spoken = (probe_file(sound).duration_seconds or 0) + _AROUND_SECONDS if sound else 0
    length = max(seconds or 0, spoken) or _STILL_SECONDS * len(visuals)
    animate_pictures(visuals, seed=params["seed"], seconds=length, out=out, **shape)


def _lay_sound(film: Path, sounds: Sequence[Path], out: Path) -> str:
    """One sound, over music if there is any, under the whole film instead of its own; returns what there is to say."""
    from taskreel.media.assemble import assemble_films
    from taskreel.media.audio_io import measure_sound_seconds
    from taskreel.media.mix import MusicBed, SoundClip, mix_sounds
    from taskreel.media.probe import probe_file

    mixed = film.with_suffix(".flac")
    bed = MusicBed(path=sounds[1]) if len(sounds) > 1 else None
    seconds = max(
        measure_sound_seconds(sounds[0]), (probe_file(film).duration_seconds or 0.0) if bed else 0.0
    )
    mix_sounds([SoundClip(path=sounds[0])], bed, seconds=seconds, out=mixed, played_as=".m4a")
    return assemble_films([film], mixed, outs=[out]).note


def _look(params: Mapping[str, Any]) -> Any:
    from taskreel.media.compose import FilmOptions

    names = ("width", "height", "fps", "quality", "transition", "captions", "seed")
    more = {
        "transition_seconds": params.get("transitionSeconds"),
        "music_gain_db": params.get("musicGainDb"),
    }
    return FilmOptions(
        **_given(params, *names),
        **{name: value for name, value in more.items() if value is not None},
    )


def _facts(params: Mapping[str, Any], scenes: Sequence[Scene], made: Composition) -> dict[str, Any]:
    """Where each scene begins, and whether it is spoken or can only be read."""
    spans = made.scenes[1:] if params.get("title") else made.scenes
    rows = [
        {
            "title": scene.title or given.get("name") or None,
            "startSeconds": round(start, 3),
            "durationSeconds": round(length, 3),
            "narration": "speech" if scene.narration else "captions" if scene.narrated else "none",
        }
        for scene, given, (start, length) in zip(scenes, params["scenes"], spans, strict=False)
    ]
    told = {row["narration"] for row in rows}
    return {
        "title": params.get("title"),
        "scenes": rows,
        "narration": "speech" if "speech" in told else "captions" if "captions" in told else "none",
    }


def _notes(params: Mapping[str, Any], scenes: Sequence[Scene], made: Composition) -> list[str]:
    """What the caller may not expect."""
    notes = []
    if params.get("spoken") and any(scene.narrated and not scene.narration for scene in scenes):
        notes.append(
            "Without speech, captions tell the story: scripts/bootstrap --speech adds a voice."
        )
    if made.undrawn:
        notes.append(
            f"No font here can draw {made.undrawn[:40]}: left out. Install one that can, such as Noto."
        )
    return notes


def _noted(notes: Sequence[str]) -> dict[str, str]:
    text = " ".join(filter(None, notes))
    return {"note": text} if text else {}


def _given(params: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: params[name] for name in names if params.get(name) is not None}


def _paths(request: Generation, *places: int | None) -> list[Path]:
    return [request.inputs[place].path for place in places if place is not None]


def _video_stitch(files: Sequence[Path], params: Mapping[str, Any], out: Path) -> None:
    from taskreel.media.stitch import stitch_videos

    stitch_videos(files, out=out, **_given(params, "width", "height", "fps", "quality", "fill"))


def _audio_stitch(files: Sequence[Path], params: Mapping[str, Any], out: Path) -> None:
    from taskreel.media.audio import stitch_audio

    gap, fade = params.get("gapSeconds") or 0.0, params.get("crossfadeSeconds") or 0.0
    stitch_audio(files, out=out, gap_seconds=gap, crossfade_seconds=fade)


def _music_mix(files: Sequence[Path], params: Mapping[str, Any], out: Path) -> None:
    from taskreel.media.audio import mix_music

    voice, music = files
    names = {
        "lead_seconds": "leadSeconds",
        "tail_seconds": "tailSeconds",
        "music_gain_db": "musicGainDb",
        "duck_db": "duckDb",
        "target_lufs": "targetLufs",
    }
    chosen = {
        ours: params[theirs] for ours, theirs in names.items() if params.get(theirs) is not None
    }
    mix_music(voice, music, out=out, **chosen)


def _frame_extract(files: Sequence[Path], params: Mapping[str, Any], out: Path) -> None:
    from taskreel.media.frames import extract_frame

    (video,) = files
    extract_frame(video, out=out, at_seconds=params.get("atSeconds"))


_OPERATIONS = {
    "video-stitch": _video_stitch,
    "audio-stitch": _audio_stitch,
    "music-mix": _music_mix,
    "frame-extract": _frame_extract,
}
