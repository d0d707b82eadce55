"""The inputs of other services' models as requests of job types.

Each service, and each model of it, has names and forms of its own for the same things. The tables
and functions here say which of them stand for which fields and options of a job type.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from taskreel.domain.errors import InvalidError
from taskreel.jobtypes import JOB_TYPES
from taskreel.jobtypes.ai_processing import MusicParameters
from taskreel.jobtypes.audio_synthesis import VoiceSettings
from taskreel.jobtypes.job_type import JobType
from taskreel.jobtypes.submission import Submission
from taskreel.web.documented_bodies import list_names, spread_fields
from taskreel.web.job_submission import SubmissionBody, validate_submission
from taskreel.web.other_apis.model_names import NamedModel

_MOST_IMAGES = 10
#: Usual names of inputs → the fields and options of job types.
_FIELD_NAMES: Mapping[str, str] = {
    "num_inference_steps": "steps",
    "guidance_scale": "guidance",
    "upscale_factor": "scale",
    "face": "face_enhance",
    "face_enhancement": "face_enhance",
    "generate_audio": "audio",
    "voice_id": "voice",
    "language_code": "language",
    "audio_format": "output_format",
    "duration_seconds": "duration",
    "seconds_total": "duration",
    "music_length_ms": "duration",
}
#: The names of one picture to start from, or of several …
_PICTURE_NAMES = frozenset(
    {
        *("image", "image_url", "input_image", "image_prompt", "start_image", "start_image_url"),
        *("first_frame_image", "first_frame_url"),
        *("image_urls", "input_images", "image_input"),
    }
)
#: … and of the one that a clip ends with, which comes after the others.
_LAST_PICTURE_NAMES = frozenset(
    {
        *("end_image", "end_image_url", "tail_image_url"),
        *("last_frame", "last_frame_image", "last_frame_url"),
    }
)
_COUNT_NAMES = frozenset({"num_images", "num_outputs", "n"})
#: fal's names of sizes.
_SIZES: Mapping[str, tuple[int, int]] = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}
#: Names of a picture's size without its shape → a side of a square.
_SIDES: Mapping[str, int] = {
    "1K": 1024,
    "2K": 2048,
    "4K": 4096,
    "0.5 MP": 704,
    "1 MP": 1024,
    "2 MP": 1440,
    "4 MP": 2048,
}
#: Words for a shape that the model chooses. No set: a client may send a value without a hash.
_OPEN_SHAPES = ("auto", "match_input_image")


#: Our path of one of several pictures.
_PICTURE_PLACE = re.compile(r"image_urls\[(\d{1,3})\]")
#: Our objects of fields that the inputs of models have on their first level.
_GROUP = re.compile(r"^(options|settings|parameters)\.")
_CAPITAL = re.compile(r"(?<=[a-z0-9])[A-Z]")
#: Our fields that a model's name chooses.
_CHOSEN = frozenset({"model", "provider"})
#: Our fields → the inputs that may stand for them, beside those of `_FIELD_NAMES`.
_STAND_INS: Mapping[str, frozenset[str]] = {
    "num_images": _COUNT_NAMES,
    "image_url": _PICTURE_NAMES | _LAST_PICTURE_NAMES,
    "image_urls": _PICTURE_NAMES | _LAST_PICTURE_NAMES,
    "width": frozenset({"image_size", "resolution", "size"}),
    "height": frozenset({"image_size", "resolution", "size"}),
    "text": frozenset({"prompt"}),
    "input": frozenset({"prompt"}),
}


def translate_input(
    named: NamedModel, given: Mapping[str, Any], *, at: str = "input"
) -> tuple[JobType[Any], SubmissionBody]:
    """The job type and its request for the input of a model.

    Inputs that no provider here has a use for are `ignored`. Raises InvalidError, whose paths begin
    with `at`.
    """
    job_type = JOB_TYPES[named.job_type]
    try:
        if named.is_own:
            return job_type, validate_submission(given, job_type, [])
        fields = _rename_fields(named, given)
        if named.model is not None:
            fields["model"] = named.model
        if named.task is not None:
            request, dropped = _build_task(job_type.submission, named.task, fields)
        else:
            request, dropped = spread_fields(job_type.submission, {}, fields)
        theirs = {_rename(name): name for name in given}
        prefix = f"{at}." if at else ""
        ignored = [f"{prefix}{theirs.get(name, name)}" for name in dropped]
        return job_type, validate_submission(request, job_type, ignored)
    except InvalidError as error:
        raise name_given_inputs(error, named, given, at=at) from None


def name_given_inputs(
    error: InvalidError, named: NamedModel, given: Mapping[str, Any], *, at: str = "input"
) -> InvalidError:
    """The error with the paths of the inputs that were given for our fields, which are under `at`.

    The model itself is no input of one that has a name.
    """
    if not named.is_own:
        error = error.rename(partial(_find_given_name, given))
    return error.under(at)


def spell_input(path: str) -> str:
    """One of our fields as the clients spell inputs: `image_urls[0]`, without our object of it."""
    return _CAPITAL.sub(lambda found: f"_{found[0].lower()}", _GROUP.sub("", path))


def _find_given_name(given: Mapping[str, Any], path: str) -> str:
    """The path of one of our fields, by the name of the input that stands for it."""
    if path in _CHOSEN and path not in given:
        return ""
    field = path.partition(".")[0].partition("[")[0]
    if field in given:
        return path
    path = spell_input(path)
    field = path.partition(".")[0].partition("[")[0]
    if field in given:
        return path
    place = _PICTURE_PLACE.fullmatch(path)
    if place is not None:
        pictures = [picture for picture, _ in _list_pictures(given)]
        return pictures[int(place[1])] if int(place[1]) < len(pictures) else path
    stand_ins = _STAND_INS.get(field, ())
    names = [name for name in given if name in stand_ins or _FIELD_NAMES.get(name) == field]
    if len(names) != 1:  # of several pictures, any may be the wrong one
        return path
    stand_in = given[names[0]]
    is_inside = isinstance(stand_in, Mapping) and field in stand_in
    return f"{names[0]}.{field}" if is_inside else names[0]


def _build_task(
    submission: type[Submission], task: str, fields: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """A request of ai-processing, which passes unknown parameters on: they are omitted here."""
    own_names, options = list_names(submission), list_names(MusicParameters)
    request = {name: value for name, value in fields.items() if name in own_names}
    parameters = {name: value for name, value in fields.items() if name in options}
    dropped = [name for name in fields if name not in own_names | options | {"prompt"}]
    request |= {"task": task, "input": fields.get("prompt") or "", "parameters": parameters}
    return request, dropped


def _rename(name: str) -> str:
    return _FIELD_NAMES.get(name, name)


def _rename_fields(named: NamedModel, given: Mapping[str, Any]) -> dict[str, Any]:
    """The input under our names. A value of null is omitted: the clients send it for no value."""
    given = {name: value for name, value in given.items() if value is not None}
    fields: dict[str, Any] = {}
    if named.job_type == "audio-synthesis":
        given = _flatten_voice(given)
    for name, value in given.items():
        if name in _COUNT_NAMES:
            fields |= _parse_count(named, value)
        elif name == "image_size":
            fields |= _parse_size(value)
        elif named.job_type == "image-generation" and value in _list_sides(name):
            fields["width"] = fields["height"] = _SIDES[value]
        elif name == "aspect_ratio" and value in _OPEN_SHAPES:
            continue
        elif name not in _PICTURE_NAMES | _LAST_PICTURE_NAMES:
            form = _FORMS.get(name)
            fields[_rename(name)] = form(value) if form else value
    fields |= _collect_pictures(named, given)
    return _group_voice(fields) if named.job_type == "audio-synthesis" else fields


# ── Pictures ─────────────────────────────────────────────────────────────────────────────────────


def _list_pictures(given: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """All pictures of an input and their paths in it, the last frame at the end."""
    found: list[tuple[str, Any]] = []
    for names in (_PICTURE_NAMES, _LAST_PICTURE_NAMES):
        for name, value in given.items():
            if name in names and isinstance(value, list):
                found += [(f"{name}[{index}]", one) for index, one in enumerate(value)]
            elif name in names and value is not None:
                found.append((name, value))
    return found


def _collect_pictures(named: NamedModel, given: Mapping[str, Any]) -> dict[str, Any]:
    """All pictures of an input in the field of the job type."""
    found = [picture for _, picture in _list_pictures(given)]
    if not found:
        return {}
    if named.job_type in {"image-upscale", "background-removal"}:
        return {"image_url": found[0]}
    return {"image_urls": found}


def _parse_count(named: NamedModel, given: Any) -> dict[str, Any]:
    if named.job_type != "image-generation" or given == 1:
        return {}
    if not isinstance(given, int) or not 1 <= given <= _MOST_IMAGES:
        raise InvalidError.at("num_images", f"must be a whole number from 1 to {_MOST_IMAGES}")
    return {"num_images": given}


def _parse_size(given: Any) -> dict[str, Any]:
    """`{"width", "height"}`, or fal's name of a size."""
    if isinstance(given, Mapping):
        return {name: given[name] for name in ("width", "height") if name in given}
    if not isinstance(given, str) or given not in _SIZES:
        names = ", ".join(_SIZES)
        raise InvalidError.at("image_size", f"must have width and height, or be one of: {names}")
    width, height = _SIZES[given]
    return {"width": width, "height": height}


def _list_sides(name: str) -> tuple[str, ...]:
    return tuple(_SIDES) if name in {"resolution", "size"} else ()


# ── Speech ───────────────────────────────────────────────────────────────────────────────────────


def _flatten_voice(given: Mapping[str, Any]) -> dict[str, Any]:
    """MiniMax's `voice_setting` and `audio_setting` on the level of the other inputs."""
    flat = dict(given)
    for group in ("voice_setting", "audio_setting"):
        inner = flat.pop(group, None)
        if isinstance(inner, Mapping):
            flat |= {name: value for name, value in inner.items() if value is not None}
    if flat.get("output_format") in ("url", "hex"):  # the form of the answer, not of the sound
        del flat["output_format"]
    return flat


def _group_voice(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a voice in their object; the text by its name."""
    request = dict(fields)
    known = list_names(VoiceSettings)
    settings = {name: request.pop(name) for name in fields if name in known}
    given = request.get("settings", {})
    # Settings that are not an object stay as they are: the model refuses them.
    if settings and isinstance(given, Mapping):
        request["settings"] = {**settings, **given}
    if "prompt" in request:
        request.setdefault("text", request.pop("prompt"))
    return request


# ── Forms of values ──────────────────────────────────────────────────────────────────────────────


def _parse_seconds(given: Any) -> Any:
    """`8`, `"8"` or `"8s"` as a number; anything else unchanged, for the model to refuse."""
    try:
        return float(given.removesuffix("s")) if isinstance(given, str) else given
    except ValueError:
        return given


def _parse_milliseconds(given: Any) -> Any:
    return given / 1000 if isinstance(given, int | float) else given


def _parse_format(given: Any) -> Any:
    """The format alone, of `jpg` or ElevenLabs' `mp3_44100_128`."""
    if not isinstance(given, str):
        return given
    name = given.partition("_")[0]
    return "jpeg" if name == "jpg" else name


#: Inputs whose values have other forms than those of our options.
_FORMS: Mapping[str, Callable[[Any], Any]] = {
    "duration": _parse_seconds,
    "seconds_total": _parse_seconds,
    "music_length_ms": _parse_milliseconds,
    "format": _parse_format,
    "output_format": _parse_format,
    "audio_format": _parse_format,
}
