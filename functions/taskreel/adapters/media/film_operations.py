"""Films, from scenes or from clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskreel.ports import Done, Generation, MediaWorkers, Output

if TYPE_CHECKING:
    from taskreel.media.compose import Composition
    from taskreel.media.film_text import FilmText
    from taskreel.media.scenes import Scene

#: At most; the attempt itself may end sooner.
_FILM_SECONDS, _STEP_SECONDS = 7200.0, 900.0
#: Around a narration, and of a picture that nothing else gives a length.
_AROUND_SECONDS, _STILL_SECONDS = 1.2, 5.0


async def compose_film(workers: MediaWorkers, request: Generation) -> Done:
    """Make a film of scenes; `params["scenes"]` refer to files by their index in `inputs`."""
    from taskreel.media.compose import compose_film as compose_scenes
    from taskreel.media.scenes import Cards

    params = request.params
    scenes = [
        await _load_scene(workers, request, index, given)
        for index, given in enumerate(params["scenes"])
    ]
    master, music = params.get("master"), params.get("music")
    out = request.folder / f"{request.name}.{params['outputFormat']}"
    film = out if master is None else out.with_name(f"{request.name}-silent.mp4")
    heading, closing = params.get("title") or "", params.get("credits") or ()
    made = await workers.run(
        compose_scenes,
        scenes,
        out=film,
        options=_film_options(params),
        music=request.inputs[music].path if music is not None and master is None else None,
        cards=Cards(heading=heading, subheading=params.get("subtitle") or "", closing=closing),
        on_progress=lambda fraction: request.report(0.05 + 0.9 * fraction),
        timeout_seconds=_FILM_SECONDS,
    )
    notes = _collect_notes(params, scenes, made)
    if master is not None:
        sounds = _input_paths(request, master, music)
        notes.append(
            await workers.run(
                _lay_sound, film, sounds, made.text, out=out, timeout_seconds=_FILM_SECONDS
            )
        )
    outputs = [Output(path=out), *await _add_companions(workers, params, out, made)]
    data = {**_scene_facts(params, scenes, made), **_as_note(notes)}
    return Done(outputs=tuple(outputs), data=data)


async def assemble_films(workers: MediaWorkers, request: Generation) -> Done:
    """Join clips under one sound, written once in each format."""
    from taskreel.media.assemble import assemble_films as assemble_clips
    from taskreel.media.stitch import StitchOptions

    params = request.params
    outs = [request.folder / f"{request.name}.{form}" for form in params["outputFormats"]]
    paths = [given.path for given in request.inputs]
    made = await workers.run(
        assemble_clips,
        paths[: params["videos"]],
        paths[params["videos"]] if len(paths) > params["videos"] else None,
        outs=outs,
        options=StitchOptions(**given_params(params, "width", "height", "fps", "quality", "fit")),
        on_progress=request.report,
        timeout_seconds=_FILM_SECONDS,
    )
    data = {"formats": list(params["outputFormats"]), **_as_note([made.note])}
    return Done(outputs=tuple(Output(path=out) for out in outs), data=data)


async def _add_companions(
    workers: MediaWorkers, params: Mapping[str, Any], film: Path, made: Composition
) -> list[Output]:
    """Make the files that go with the film: its subtitles and its poster."""
    from taskreel.media.frames import extract_frame
    from taskreel.media.subtitles import format_srt

    companions = []
    if params.get("subtitleFile") and made.cues:
        subtitles = film.with_suffix(".srt")
        subtitles.write_text(format_srt(made.cues), encoding="utf-8")
        companions.append(Output(path=subtitles, suffix=".srt"))
    if params.get("poster"):
        poster, at = film.with_name(f"{film.stem}-poster.jpg"), _choose_poster_time(made)
        await workers.run(
            extract_frame, film, out=poster, at_seconds=at, timeout_seconds=_STEP_SECONDS
        )
        companions.append(Output(path=poster, suffix="-poster.jpg"))
    return companions


def _choose_poster_time(made: Composition) -> float:
    """The middle of the title card or first scene: what the film is called, or begins with."""
    start, length = made.scenes[0]
    return start + length / 2


async def _load_scene(
    workers: MediaWorkers, request: Generation, index: int, given: Mapping[str, Any]
) -> Scene:
    from taskreel.media.scenes import Scene

    visuals = [request.inputs[place].path for place in given.get("visuals", ())]
    narration = given.get("narration")
    sound = None if narration is None else request.inputs[narration].path
    if len(visuals) > 1:
        visuals = [await _join_visuals(workers, request, index, given, visuals, sound)]
    return Scene(
        visual=visuals[0] if visuals else None,
        seconds=given.get("seconds"),
        narration=sound,
        narrated=given.get("text") or "",
        title=given.get("title") or "",
        subtitle=given.get("subtitle") or "",
        name=given.get("name") or "",
        move=given.get("move") or "",
    )


async def _join_visuals(
    workers: MediaWorkers,
    request: Generation,
    index: int,
    given: Mapping[str, Any],
    visuals: Sequence[Path],
    sound: Path | None,
) -> Path:
    """Join several pictures or clips of one scene into one clip."""
    out = request.folder / f"{request.name}-scene-{index}.mp4"
    seconds = given.get("seconds")
    await workers.run(
        _join_files, visuals, sound, request.params, seconds, out=out, timeout_seconds=_STEP_SECONDS
    )
    return out


def _join_files(
    visuals: Sequence[Path],
    sound: Path | None,
    params: Mapping[str, Any],
    seconds: float | None,
    out: Path,
) -> None:
    from taskreel.media.animate import MotionOptions, animate_pictures
    from taskreel.media.probe import probe_file
    from taskreel.media.stitch import StitchOptions, stitch_videos

    shape = {
        "width": 1280,
        "height": 720,
        **given_params(params, "width", "height", "fps", "quality"),
    }
    if any(_moves(visual) for visual in visuals):
        stitch_videos(
            visuals, out=out, options=StitchOptions(fit=params.get("fit") or "cover", **shape)
        )
        return
    spoken = (probe_file(sound).duration_seconds or 0) + _AROUND_SECONDS if sound else 0
    length = max(seconds or 0, spoken) or _STILL_SECONDS * len(visuals)
    motion = MotionOptions(seed=params["seed"], seconds=length, **shape)
    animate_pictures(visuals, motion, out=out)


def _moves(visual: Path) -> bool:
    from taskreel.media.animations import is_animated
    from taskreel.media.probe import probe_file

    return is_animated(visual) or not probe_file(visual).content_type.startswith("image/")


def _lay_sound(film: Path, sounds: Sequence[Path], text: FilmText, out: Path) -> str:
    """Replace the film's sound by one, over music if any. Returns a note for the caller."""
    from taskreel.media.assemble import assemble_films as assemble_clips
    from taskreel.media.assemble import remux_film
    from taskreel.media.audio_io import measure_sound_seconds
    from taskreel.media.mix import MixOptions, MusicBed, SoundClip, mix_sounds
    from taskreel.media.probe import probe_file

    mixed = film.with_suffix(".flac")
    bed = MusicBed(path=sounds[1]) if len(sounds) > 1 else None
    seconds = max(
        measure_sound_seconds(sounds[0]), (probe_file(film).duration_seconds or 0.0) if bed else 0.0
    )
    options = MixOptions(played_as=".m4a")
    mix_sounds([SoundClip(path=sounds[0])], bed, seconds=seconds, out=mixed, options=options)
    joined = out.with_name(f"{out.stem}-joined{out.suffix}")
    note = assemble_clips([film], mixed, outs=[joined]).note
    remux_film(joined, out, text)  # an assembly has no text of its own
    return note


def _film_options(params: Mapping[str, Any]) -> Any:
    from taskreel.media.scenes import FilmOptions

    names = ("width", "height", "fps", "quality", "transition", "captions", "seed", "fit")
    more = {
        "transition_seconds": params.get("transitionSeconds"),
        "music_gain_db": params.get("musicGainDb"),
    }
    return FilmOptions(
        **given_params(params, *names),
        **{name: value for name, value in more.items() if value is not None},
    )


def _scene_facts(
    params: Mapping[str, Any], scenes: Sequence[Scene], made: Composition
) -> dict[str, Any]:
    """The start, length and kind of narration of each scene."""
    spans = made.scenes[1:] if params.get("title") else made.scenes
    rows = [
        {
            "title": scene.title or given.get("name") or None,
            "startSeconds": round(start, 3),
            "durationSeconds": round(length, 3),
            "narration": _describe_narration(scene, params),
        }
        for scene, given, (start, length) in zip(scenes, params["scenes"], spans, strict=False)
    ]
    told = {row["narration"] for row in rows}
    return {
        "title": params.get("title"),
        "scenes": rows,
        "narration": "speech" if "speech" in told else "captions" if "captions" in told else "none",
    }


def _describe_narration(scene: Scene, params: Mapping[str, Any]) -> str:
    if scene.narration:
        return "speech"
    return "captions" if scene.narrated and params.get("captions") != "none" else "none"


def _collect_notes(
    params: Mapping[str, Any], scenes: Sequence[Scene], made: Composition
) -> list[str]:
    """Notes on what the caller may not expect."""
    notes = []
    unheard = sum(bool(scene.narrated and not scene.narration) for scene in scenes)
    if unheard and params.get("master") is None:
        notes.append(_explain_unheard(params, unheard, len(scenes)))
    if made.undrawn:
        notes.append(
            f"The font of their text lacks {made.undrawn[:40]}: omitted from the pictures. "
            "Subtitles have them: captions `soft`, or subtitleFile."
        )
    if params.get("subtitleFile") and not made.cues:
        notes.append("There is no subtitle file: no scene has a narration.")
    return notes


def _explain_unheard(params: Mapping[str, Any], unheard: int, scenes: int) -> str:
    """Say what becomes of narrations without a sound; nothing where captions were all the wish."""
    hidden = params.get("captions") == "none"
    if not (params.get("spoken") or hidden):
        return ""
    shown = "are not in the film" if hidden else "are captions"
    return (
        f"The narrations of {unheard} of {scenes} scenes {shown}: there is no speech of them."
        " A provider with audio-synthesis speaks them (GET /api/providers), or give your own audio."
    )


def _as_note(notes: Sequence[str]) -> dict[str, str]:
    text = " ".join(filter(None, notes))
    return {"note": text} if text else {}


def given_params(params: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The parameters among `names` that were given."""
    return {name: params[name] for name in names if params.get(name) is not None}


def _input_paths(request: Generation, *places: int | None) -> list[Path]:
    return [request.inputs[place].path for place in places if place is not None]
